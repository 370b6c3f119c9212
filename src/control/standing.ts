// Who is who, and who is welcome now: the questions that every request asks, answered from the snapshot that serves and
// the registry's view.

import type { Login, Tag } from '../base/ids.ts';
import { accept, refuse, type Outcome, type Refusal } from '../base/outcome.ts';
import { ipSetOf } from '../base/ipset.ts';
import type { MachineKey, NodeKey } from '../keys/text.ts';
import { addressPools, refusedTags } from '../policy/approve.ts';
import type { PolicyUser } from '../policy/facts.ts';
import type { Assignment } from '../registry/event.ts';
import type { NodeRecord } from '../registry/record.ts';
import type { Registry } from '../registry/registry.ts';
import { declarationOf } from '../snapshot/lookup.ts';
import { currentLogin, findPerson } from '../snapshot/person.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { OLDEST_RELEASE } from '../wire/capability.ts';
import type { Peer } from './upgrade.ts';

export interface Standing {
  readonly assignment: () => Assignment;
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

const assignmentOf = (snapshot: Snapshot): Assignment => ({
  prefixes: [snapshot.tailnet.addresses.ipv4, snapshot.tailnet.addresses.ipv6],
  reservedAddresses: ipSetOf(snapshot.nodes.flatMap((node) => node.addresses ?? [])),
  reservedNames: new Set(snapshot.nodes.flatMap((node) => node.name ?? [])),
});

export const createStanding = (snapshot: () => Snapshot, registry: Registry): Standing => {
  const assignments = new WeakMap<Snapshot, Assignment>();

  const assignment = (): Assignment => {
    const serving = snapshot();
    let known = assignments.get(serving);
    if (!known) {
      known = assignmentOf(serving);
      assignments.set(serving, known);
    }
    return known;
  };

  const personOf = (login: Login): Outcome<PolicyUser> => {
    const person = findPerson(snapshot(), login);
    if (person?.disabled) return refuse('control/user-disabled', `${login} is disabled in this tailnet.`);
    if (person) return accept({ id: person.id, login: person.login, role: person.role });
    return refuse('control/unknown-user', `${login} is not a user of this tailnet.`);
  };

  const isWelcome = (node: NodeRecord): Outcome<void> => {
    const { stableId, name: label, login, tags } = node;
    const owner = login === null ? null : currentLogin(snapshot(), login);
    if (declarationOf(snapshot(), { stableId, label, owner, tags })?.disabled)
      return refuse('control/node-disabled', 'This machine is disabled in this tailnet.');
    if (owner === null) return accept(undefined);
    const person = personOf(owner);
    return person.ok ? accept(undefined) : person;
  };

  return {
    personOf,
    isWelcome,
    assignment,
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
