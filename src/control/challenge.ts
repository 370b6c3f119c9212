// POST /machine/set-dns: a node proves to a certificate authority that it has its name (RFC 8555 section 8.4). What it may put
// into the public DNS is exactly that proof, under exactly its own name, and so often in an hour.

import { utf8 } from '../base/bytes.ts';
import type { NodeId } from '../base/ids.ts';
import type { NodeRecord } from '../registry/record.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import type { SetDnsRequest } from '../wire/errand.ts';
import type { Call } from './connection.ts';
import { noteNode, type DnsPublisher, type MapSource, type Note } from './ports.ts';
import type { Standing } from './standing.ts';

export interface ChallengePorts {
  readonly now: () => number;
  readonly snapshot: () => Snapshot;
  readonly netmap: Pick<MapSource, 'node'>;
  readonly standing: Pick<Standing, 'ownsName'>;
  readonly note: Note;
  readonly publishDns: DnsPublisher | undefined;
}

const PREFIX = '_acme-challenge.';
/** A SHA-256 in base64url without padding: nothing else can be said in the DNS by this way. */
const PROOF = /^[A-Za-z0-9_-]{43}$/;
const HOUR_MS = 3_600_000;
/** Certificate authorities take five failures of a name in an hour; a wildcard needs two records. */
const PER_HOUR = 10;

/** Counts what each asked for within the last hour. */
const createAllowance = (now: () => number) => {
  const asked = new Map<NodeId, number[]>();
  return {
    tryTake: (id: NodeId): boolean => {
      const sinceMs = now() - HOUR_MS;
      // The oldest come first: whoever asked is put behind the others.
      for (const [other, times] of asked) {
        if ((times.at(-1) ?? 0) > sinceMs) break;
        asked.delete(other);
      }
      const times = (asked.get(id) ?? []).filter((time) => time > sinceMs);
      if (times.length >= PER_HOUR) return false;
      asked.delete(id);
      asked.set(id, [...times, now()]);
      return true;
    },
  };
};

export const createChallengeErrand = ({ now, snapshot, netmap, standing, note, publishDns }: ChallengePorts) => {
  const allowance = createAllowance(now);

  /** Why not: a status and what `tailscale cert` shows. */
  const objection = ({ Name, Type, Value }: SetDnsRequest, node: NodeRecord): readonly [number, string] | undefined => {
    const own = netmap.node(node.id);
    if (!snapshot().tailnet.features.https)
      return [403, 'HTTPS is off in this tailnet; an administrator can switch it on in tailnet.json5'];
    if (!own?.authorized) return [403, 'this machine waits for an administrator'];
    if (node.expiresMs !== null && node.expiresMs <= now())
      return [403, 'the key of this machine is over; log in again with «tailscale up»'];
    if (Name !== `${PREFIX}${own.fqdn}` || Type !== 'TXT')
      return [403, 'that is not the challenge of the name of this machine'];
    if (!standing.ownsName(node))
      return [
        403,
        'this name belongs to something else in the tailnet; an administrator can give it to the machine in nodes.json5',
      ];
    if (!PROOF.test(Value)) return [400, 'that is not the proof that a certificate authority asks for'];
    if (!publishDns)
      return [501, 'this server was not told where to publish DNS records, so it cannot help with certificates'];
    if (!allowance.tryTake(node.id))
      return [429, `this machine asked for ${PER_HOUR} certificates within an hour; it may ask again later`];
    return undefined;
  };

  return async (call: Call, request: SetDnsRequest, node: NodeRecord): Promise<void> => {
    const no = objection(request, node);
    if (no) return call.answer(...no);
    // The client tells the certificate authority at once: answer when the record is there.
    const published = await (publishDns as DnsPublisher)({ name: request.Name, value: request.Value });
    if (published.ok) {
      note('info', 'certificate challenge published', noteNode(node));
      return call.answer(200, utf8('{}'));
    }
    const { code, reason } = published;
    note('warn', 'certificate challenge not published', { ...noteNode(node), code, reason });
    return call.answer(502, reason);
  };
};
