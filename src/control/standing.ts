// Who is who, and who is welcome now: the questions that every request asks, answered from the snapshot that serves and
// the registry's view.

import type { Login, Tag } from '../base/ids.ts';
import { accept, refuse, type Outcome, type Refusal } from '../base/outcome.ts';
import { ipSetOf } from '../base/ipset.ts';
import type { MachineKey, NodeKey } from '../keys/text.ts';
import type { NodeDeclaration } from '../config/nodes.ts';
import { addressPools, refusedTags } from '../policy/approve.ts';
import type { PolicyUser } from '../policy/facts.ts';
import type { Assignment } from '../registry/event.ts';
import type { NodeRecord } from '../registry/record.ts';
import type { Registry } from '../registry/registry.ts';
import { declarationOf } from '../snapshot/lookup.ts';
import { relayRegions } from '../snapshot/relays.ts';
import { currentLogin, findPerson } from '../snapshot/person.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { OLDEST_RELEASE } from '../wire/capability.ts';
import type { Peer } from './upgrade.ts';

export interface Standing {
  readonly assignment: () => Assignment;
  /** Labels of nodes.json5, of the server and of relays: a node that has one and isn't meant gives it up. */
  readonly claimedNames: () => ReadonlySet<string>;
  /** Whether the name of the node belongs to nothing else; what nodes.json5 says to the node's own name, is the node's. */
  readonly ownsName: (node: NodeRecord) => boolean;
  /** The same for a machine that joins: a newcomer may get its address from a pool of the policy (`ipPool`). */
  readonly assignmentFor: (machineKey: MachineKey, tags: readonly Tag[], person: PolicyUser | undefined) => Assignment;
  /** The node that a request is about, if it is the asking machine's. Whether it is welcome is another question. */
  readonly nodeOf: (peer: Peer, key: NodeKey) => Outcome<NodeRecord>;
  /**
   * Whether a node still belongs here: it and its owner are not disabled, and the owner is still of the tailnet. One that
   * doesn't keeps its map stream, which shows it an empty tailnet (see netmap/resolve.ts).
   */
  readonly isWelcome: (node: NodeRecord) => Outcome<void>;
  /** A person of the tailnet, listed or by a rule for the domain. */
  readonly personOf: (login: Login) => Outcome<PolicyUser>;
  /** Logins that the person had before. */
  readonly formerLoginsOf: (login: Login) => readonly Login[];
  /** Whether the person may give these tags to a node. */
  readonly mayTag: (person: PolicyUser, tags: readonly Tag[]) => Outcome<void>;
  readonly tooOld: () => Refusal;
}

const UNKNOWN_NODE = refuse('control/unknown-node', 'The server knows no such node; log in again with «tailscale up».');
export const WRONG_MACHINE = refuse('control/wrong-machine', 'This node key belongs to another machine.');

export const tagsRefused = (tags: readonly string[]): Refusal =>
  refuse('control/tags-refused', `requested tags [${tags.join(' ')}] are invalid or not permitted`);

/** The label of the node whose name that would be, or under whose name it would lie. */
const labelUnder = (name: string, base: string): string[] => {
  const host = name.toLowerCase();
  return host.endsWith(`.${base}`)
    ? [
        host
          .slice(0, -base.length - 1)
          .split('.')
          .at(-1) as string,
      ]
    : [];
};

interface Reserved {
  readonly assignment: Assignment;
  readonly claimed: ReadonlySet<string>;
}

/** Clients choose their host names, and get certificates for their names: so the server's name can't be theirs, nor a relay's. */
const reservedIn = (snapshot: Snapshot, serverHost: string): Reserved => {
  const { derp, derpmap, dns, nodes, policy, tailnet } = snapshot;
  const base = tailnet.baseDomain;
  const relays = relayRegions({ derp, derpmap, policy: policy.document?.derpMap }).flatMap((region) => region.nodes);
  const hosts = [serverHost, ...relays.flatMap(({ hostName, certName }) => [hostName, certName ?? ''])];
  const claimed = new Set([
    ...nodes.flatMap((node) => node.name ?? []),
    ...hosts.flatMap((host) => labelUnder(host, base)),
  ]);
  // Records below the name of a node are often there for that node.
  const records = dns.extraRecords.flatMap(({ name }) =>
    labelUnder(name, base).filter((label) => name.toLowerCase() === `${label}.${base}`),
  );
  const assignment = {
    prefixes: [tailnet.addresses.ipv4, tailnet.addresses.ipv6],
    reservedAddresses: ipSetOf(nodes.flatMap((node) => node.addresses ?? [])),
    reservedNames: new Set([...claimed, ...records]),
  };
  return { assignment, claimed };
};

/** `serverHost`: the host of the server's URL. */
export const createStanding = (snapshot: () => Snapshot, registry: Registry, serverHost: string): Standing => {
  const known = new WeakMap<Snapshot, Reserved>();

  const reserved = (): Reserved => {
    const serving = snapshot();
    const now = known.get(serving) ?? reservedIn(serving, serverHost);
    known.set(serving, now);
    return now;
  };
  const assignment = (): Assignment => reserved().assignment;

  const declarationFor = ({ stableId, name: label, login, tags }: NodeRecord): NodeDeclaration | undefined => {
    const owner = login === null ? null : currentLogin(snapshot(), login);
    return declarationOf(snapshot(), { stableId, label, owner, tags });
  };

  const personOf = (login: Login): Outcome<PolicyUser> => {
    const person = findPerson(snapshot(), login);
    if (person?.disabled) return refuse('control/user-disabled', `${login} is disabled in this tailnet.`);
    if (person) return accept({ id: person.id, login: person.login, role: person.role });
    return refuse('control/unknown-user', `${login} is not a user of this tailnet.`);
  };

  const isWelcome = (node: NodeRecord): Outcome<void> => {
    const owner = node.login === null ? null : currentLogin(snapshot(), node.login);
    if (declarationFor(node)?.disabled)
      return refuse('control/node-disabled', 'This machine is disabled in this tailnet.');
    if (owner === null) return accept(undefined);
    const person = personOf(owner);
    return person.ok ? accept(undefined) : person;
  };

  return {
    personOf,
    isWelcome,
    assignment,
    claimedNames: () => reserved().claimed,
    ownsName: (node) => declarationFor(node)?.name !== undefined || !assignment().reservedNames.has(node.name),
    assignmentFor: (machineKey, tags, person) => {
      const { policy, tailnet } = snapshot();
      const [pool] = registry.view.byMachineKey.has(machineKey) ? [] : addressPools(policy, { tags }, person);
      return pool === undefined ? assignment() : { ...assignment(), prefixes: [pool, tailnet.addresses.ipv6] };
    },
    nodeOf: (peer, key) => {
      const id = registry.view.byNodeKey.get(key);
      const node = id === undefined ? undefined : registry.view.nodes.get(id);
      if (!node) return UNKNOWN_NODE;
      if (node.machineKey !== peer.machineKey) return WRONG_MACHINE;
      return accept(node);
    },
    formerLoginsOf: (login) => snapshot().userByLogin.get(login.toLowerCase())?.formerly ?? [],
    mayTag: (person, tags) => {
      const refused = tags.length === 0 ? [] : refusedTags(snapshot().policy, person, tags);
      if (refused.length === 0) return accept(undefined);
      return tagsRefused(refused);
    },
    tooOld: () =>
      refuse('control/too-old', `This client is too old for the server: install Tailscale ${OLDEST_RELEASE} or newer.`),
  };
};

/** A node has an owner or tags, never both. */
export const ownership = (
  standing: Standing,
  person: PolicyUser | undefined,
  tags: readonly Tag[],
): { readonly login: Login | null; readonly formerLogins?: readonly Login[] } =>
  tags.length > 0 || !person
    ? { login: null }
    : { login: person.login, formerLogins: standing.formerLoginsOf(person.login) };
