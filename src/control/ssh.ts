// Check mode of Tailscale SSH: the machine that is logged in to asks the server before it lets somebody in, and the answer
// waits for a person to confirm. A confirmation holds for the time that the policy gives (protocol: ssh/tailssh/tailssh.go;
// headscale's hscontrol/noise.go has the same three steps).

import { formatBase32, utf8 } from '../base/bytes.ts';
import { parseNodeId, type NodeId } from '../base/ids.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import type { Random } from '../keys/crypto.ts';
import type { SshDecision } from '../policy/population.ts';
import type { Registry } from '../registry/registry.ts';
import type { SshAction } from '../wire/ssh.ts';
import type { Call } from './connection.ts';
import type { Control, MapSource, Note, SshCheck } from './ports.ts';

const PATH = /^\/machine\/ssh\/action\/(\d{1,16})\/to\/(\d{1,16})$/;
const ID_BYTES = 20;
/** The client asks again after half an hour; we answer before. */
const HOLD_MS = 10 * 60_000;
const MAX_CHECKS = 1000;
/** Of one machine, so that none can take the room of all. */
const MAX_CHECKS_OF_ONE = 50;
/** No system has users with longer names, and a person reads them on a page. */
const MAX_USER = 64;
/** How long a decision is remembered for its page, and for a client that lost the answer. */
const DECIDED_MS = 60_000;

export interface SshPorts {
  readonly now: () => number;
  readonly random: Random;
  readonly registry: Registry;
  readonly netmap: MapSource;
  readonly note: Note;
  readonly url: string;
  readonly loginMs: number;
}

export interface SshChecks extends Pick<Control, 'sshChecks' | 'decideSshCheck'> {
  readonly handle: (call: Call) => Promise<void>;
}

const ACCEPT: SshAction = {
  accept: true,
  allowAgentForwarding: true,
  allowLocalPortForwarding: true,
  allowRemotePortForwarding: true,
};
const reject = (message: string): SshAction => ({ reject: true, message: `${message}\n` });
const NOT_ALLOWED = reject('The policy of the tailnet does not allow this session.');

export const createSshChecks = (ports: SshPorts): SshChecks => {
  const { netmap, now, registry } = ports;
  const checks = new Map<string, SshCheck>();
  /** Requests that wait for a decision, by check. */
  const waiters = new Map<string, Set<() => void>>();
  /** When a confirmation was given, by who asks for what. */
  const passed = new Map<string, number>();

  /** A node that is not let in, or that went while somebody waited, is in no policy. */
  const decide = (source: NodeId, destination: NodeId, sshUser: string): SshDecision => {
    const { population } = netmap;
    const known = population.node(source) !== undefined && population.node(destination) !== undefined;
    return known ? population.sshDecision(source, destination, sshUser) : { action: 'deny', checkPeriodMs: 0 };
  };

  const forget = (): void => {
    for (const [id, check] of checks) if (check.expiresMs <= now()) checks.delete(id);
  };

  /** A confirmation is the person's where the source has an owner, else the node's. */
  const subjectOf = (source: NodeId, destination: NodeId, localUser: string): string =>
    `${netmap.node(source)?.owner ?? source} ${destination} ${localUser}`;

  const actionUrl = (check: SshCheck): string =>
    `https://unused/machine/ssh/action/${check.source}/to/${check.destination}` +
    `?ssh_user=${encodeURIComponent(check.sshUser)}&local_user=${encodeURIComponent(check.localUser)}&auth_id=${check.id}`;

  const open = (source: NodeId, destination: NodeId, sshUser: string, localUser: string): SshCheck | undefined => {
    forget();
    const own = [...checks.values()].filter((check) => check.destination === destination);
    if (checks.size >= MAX_CHECKS || own.length >= MAX_CHECKS_OF_ONE) return undefined;
    const id = formatBase32(ports.random(ID_BYTES)).toLowerCase();
    const createdMs = now();
    const expiresMs = createdMs + ports.loginMs;
    const check: SshCheck = { id, source, destination, sshUser, localUser, createdMs, expiresMs, state: 'pending' };
    checks.set(id, check);
    return check;
  };

  /** The check as it is when it was decided, the client gave up, or it is time to answer something. */
  const decided = ({ id, expiresMs }: SshCheck, gone: AbortSignal): Promise<SshCheck | undefined> =>
    new Promise((resolve) => {
      const told = (): void => {
        clearTimeout(timer);
        gone.removeEventListener('abort', told);
        waiters.get(id)?.delete(told);
        if (waiters.get(id)?.size === 0) waiters.delete(id);
        resolve(checks.get(id));
      };
      const timer = setTimeout(told, Math.min(HOLD_MS, Math.max(expiresMs - now(), 0)));
      waiters.set(id, (waiters.get(id) ?? new Set()).add(told));
      gone.addEventListener('abort', told);
      if (checks.get(id)?.state !== 'pending' || gone.aborted) told();
    });

  const actionFor = async (call: Call, source: NodeId, destination: NodeId): Promise<SshAction> => {
    const localUser = call.query.get('local_user') ?? '';
    // The policy's own URL names the local user alone; in all that it gives out, the two are the same.
    const sshUser = call.query.get('ssh_user') ?? localUser;
    if (sshUser.length > MAX_USER || localUser.length > MAX_USER) return NOT_ALLOWED;
    const decision = decide(source, destination, sshUser);
    if (decision.action === 'accept') return ACCEPT;
    if (decision.action === 'deny') return NOT_ALLOWED;
    const subject = subjectOf(source, destination, localUser);
    const agoMs = now() - (passed.get(subject) ?? -Infinity);
    // Less than nothing: the clock was set back.
    if (agoMs >= 0 && agoMs < decision.checkPeriodMs) return ACCEPT;

    const asked = checks.get(call.query.get('auth_id') ?? '');
    const isSame = asked?.source === source && asked.destination === destination && asked.localUser === localUser;
    if (!asked || !isSame || asked.expiresMs <= now()) {
      const check = open(source, destination, sshUser, localUser);
      if (!check) return reject('Too many sessions wait for a confirmation; try again later.');
      ports.note('info', 'ssh check begun', { source, destination, sshUser });
      const message = `# This session needs a confirmation. To give it, open:\n#\n#   ${ports.url}/ssh/check/${check.id}\n`;
      return { message, holdAndDelegate: actionUrl(check) };
    }
    const check = await decided(asked, call.gone);
    if (!check || check.state === 'pending') return { holdAndDelegate: actionUrl(asked) };
    if (check.state === 'denied') return reject('The session was refused.');
    // While the person made up their mind, the policy may have changed its own.
    const today = decide(source, destination, sshUser);
    if (today.action === 'deny') return NOT_ALLOWED;
    if (today.checkPeriodMs > 0) passed.set(subject, now());
    return ACCEPT;
  };

  return {
    handle: async (call) => {
      const match = PATH.exec(call.path);
      const [source, destination] = [Number(match?.[1]), Number(match?.[2])];
      if (!match || source === 0 || destination === 0) {
        call.answer(404, 'not found');
        return;
      }
      // Only the machine that is logged in to may ask.
      const node = registry.view.nodes.get(parseNodeId(destination));
      if (node?.machineKey !== call.peer.machineKey || !registry.view.nodes.has(parseNodeId(source))) {
        call.answer(404, 'not found');
        return;
      }
      const action = await actionFor(call, parseNodeId(source), parseNodeId(destination));
      call.answer(200, utf8(JSON.stringify(action)));
    },
    sshChecks: () => {
      forget();
      return [...checks.values()];
    },
    decideSshCheck: (id, decision, decidedBy): Outcome<SshCheck> => {
      const check = checks.get(id);
      if (check?.state !== 'pending' || check.expiresMs <= now())
        return refuse('control/unknown-check', 'There is no such check, or its time is over.');
      const state = decision === 'accept' ? 'approved' : 'denied';
      const after: SshCheck = { ...check, state, expiresMs: now() + DECIDED_MS };
      checks.set(id, after);
      for (const tell of waiters.get(id) ?? []) tell();
      const { source, destination } = check;
      ports.note('info', 'ssh check decided', { decision, decidedBy, source, destination });
      return accept(after);
    },
  };
};
