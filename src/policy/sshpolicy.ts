// The SSH policy of one node, and the decision that the server takes when a client asks it to check a login. Check rules
// come before accept rules, each in the order of the file; the first that matches wins in the client.

import type { UserId } from '../base/ids.ts';
import type { SshAction, SshPolicy, SshPrincipal, SshRule } from '../wire/ssh.ts';
import { addAll, addBit, bitsOf, hasBit, type Bitset } from './bitset.ts';
import type { CompiledSshRule } from './compile.ts';
import type { SshLogin } from './document.ts';
import type { PolicyUser } from './facts.ts';
import { entriesOf } from './sources.ts';
import type { Membership, NodeClass, NodeEntry, SetState } from './state.ts';

const ACCEPT: SshAction = Object.freeze({
  accept: true,
  allowAgentForwarding: true,
  allowLocalPortForwarding: true,
  allowRemotePortForwarding: true,
});
/** The host is a placeholder: a client asks its own control server (tailcfg.SSHAction.HoldAndDelegate). */
const CHECK: SshAction = Object.freeze({
  holdAndDelegate: 'https://unused/machine/ssh/action/$SRC_NODE_ID/to/$DST_NODE_ID?local_user=$LOCAL_USER',
});

/** Where a client tells that a session could not be recorded. */
const RECORDING_FAILED = 'https://unused/machine/ssh/recording-failed';

/** Whether the node is a destination: of everybody in the sources, or of its own user only. */
const standing = ({ cls }: NodeEntry, compiled: CompiledSshRule): 'all' | 'own' | undefined => {
  if (compiled.destinations.some((atom) => cls.identityAtoms.includes(atom))) return 'all';
  return compiled.self && !cls.tagged ? 'own' : undefined;
};

/** How often a source lists a node: `autogroup:tagged` stands for every tag, so it does once for each that the node has. */
const timesListed = (state: Membership, compiled: CompiledSshRule, cls: NodeClass): number => {
  let tags = 0;
  let listed = false;
  let tagged = false;
  for (const id of compiled.sourceAtoms) {
    if (!cls.identityAtoms.includes(id)) continue;
    listed = true;
    const kind = state.policy.atoms[id]?.kind;
    if (kind === 'tag') tags++;
    if (kind === 'tagged') tagged = true;
  }
  if (tagged) return cls.tagCount;
  return tags > 0 ? tags : listed ? 1 : 0;
};

const isSource = (state: Membership, compiled: CompiledSshRule, cls: NodeClass): boolean =>
  hasBit((state.sets[compiled.sources] as SetState).identity, cls.index);

const principalsOf = (
  state: Membership,
  compiled: CompiledSshRule,
  entries: Iterable<NodeEntry>,
): readonly SshPrincipal[] => {
  const texts: string[] = [];
  for (const { node, cls } of entries) {
    const times = timesListed(state, compiled, cls);
    for (let i = 0; i < times; i++) texts.push(...node.addresses);
  }
  return Object.freeze(texts.sort().map((nodeIP) => ({ nodeIP })));
};

const localpartOf = (login: string): string => login.slice(0, login.lastIndexOf('@'));
const domainOf = (login: string): string => login.slice(login.lastIndexOf('@') + 1);

/** Root is denied unless it is listed. */
const sshUsersOf = (users: readonly SshLogin[]): Record<string, string> => {
  const map = new Map<string, string>([['root', '']]);
  for (const user of users) {
    if (user.kind === 'login') map.set(user.name, user.name);
    else if (user.kind === 'nonroot') map.set('*', '=');
  }
  return Object.fromEntries(map);
};

/** `ip:port` of every node that carries a tag of the rule's recorders. */
const recorderAddresses = (state: Membership, compiled: CompiledSshRule): readonly string[] => {
  const recording = state.classes.flatMap((cls) =>
    cls?.identityAtoms.some((atom) => compiled.recorders.includes(atom)) === true ? [cls.index] : [],
  );
  const addresses: string[] = [];
  for (const { node } of entriesOf(state, recording)) {
    for (const address of node.addresses) addresses.push(address.includes(':') ? `[${address}]:80` : `${address}:80`);
  }
  return addresses.sort();
};

/** The rule demands a recording, and nobody is there to make it: a client without recorders would just not record. */
const lacksRecorder = (state: Membership, compiled: CompiledSshRule): boolean =>
  compiled.recorders.length > 0 &&
  compiled.rule.enforceRecorder &&
  !state.classes.some((cls) => cls?.identityAtoms.some((atom) => compiled.recorders.includes(atom)));

const actionOf = (state: Membership, compiled: CompiledSshRule): SshAction => {
  const { action, enforceRecorder } = compiled.rule;
  const base = action === 'check' ? CHECK : ACCEPT;
  if (compiled.recorders.length === 0) return base;
  const recorders = recorderAddresses(state, compiled);
  if (recorders.length === 0) return enforceRecorder ? UNRECORDED : base;
  const message = 'The session recorder is away.';
  const onRecordingFailure = {
    ...(enforceRecorder ? { RejectSessionWithMessage: message, TerminateSessionWithMessage: message } : {}),
    NotifyURL: RECORDING_FAILED,
  };
  return { ...base, recorders, onRecordingFailure };
};

const UNRECORDED: SshAction = Object.freeze({ reject: true, message: 'There is no session recorder.\n' });

/** A user's untagged devices among the sources, by user in the order of their ids. */
const sourcesByUser = (
  state: Membership,
  compiled: CompiledSshRule,
  own: UserId | null,
): readonly (readonly [UserId, NodeEntry[]])[] => {
  const byUser = new Map<UserId, NodeEntry[]>();
  const classes = own === null ? classesIn(state, compiled) : (state.classesOf.get(own) ?? []);
  for (const cls of classes) {
    if (cls.tagged || !isSource(state, compiled, cls)) continue;
    for (const [user, members] of cls.byOwner) {
      if (own !== null && user !== own) continue;
      const entries = [...members].map((id) => state.nodes.get(id) as NodeEntry);
      const known = byUser.get(user);
      if (known) known.push(...entries);
      else byUser.set(user, entries);
    }
  }
  return [...byUser].sort(([a], [b]) => a - b);
};

const classesIn = (state: Membership, compiled: CompiledSshRule): NodeClass[] =>
  [...bitsOf((state.sets[compiled.sources] as SetState).identity)].map((index) => state.classes[index] as NodeClass);

/** What one rule of the policy comes to on a node, and for whom that is the same: its class, its owner's nodes of the class. */
interface Part {
  readonly rules: readonly SshRule[];
  readonly scope: 'class' | 'owner' | 'node';
}

const rulesFor = (state: Membership, entry: NodeEntry, compiled: CompiledSshRule): Part => {
  const how = standing(entry, compiled);
  if (how === 'all') {
    const known = state.sharedSsh.get(compiled);
    const rules = known ?? compileRule(state, entry, compiled, how);
    if (!known) state.sharedSsh.set(compiled, rules);
    return { rules, scope: 'class' };
  }
  if (how === undefined && !compiled.rule.users.some(({ kind }) => kind === 'localpart')) return NOTHING;
  const rules = compileRule(state, entry, compiled, how);
  if (how === 'own') return { rules, scope: 'owner' };
  return { rules, scope: rules.length === 0 ? 'class' : 'node' };
};

const NOTHING: Part = { rules: [], scope: 'class' };

const compileRule = (
  state: Membership,
  entry: NodeEntry,
  compiled: CompiledSshRule,
  how: 'all' | 'own' | undefined,
): readonly SshRule[] => {
  const { users, acceptEnv } = compiled.rule;
  const localparts = [...new Set(users.flatMap((user) => (user.kind === 'localpart' ? [user.domain] : [])))];
  const rules: SshRule[] = [];
  const add = (principals: readonly SshPrincipal[], sshUsers: Record<string, string>): void => {
    if (principals.length === 0) return;
    const action = actionOf(state, compiled);
    rules.push({ principals, sshUsers, action, ...(acceptEnv.length > 0 ? { acceptEnv } : {}) });
  };
  const own = entry.node.user;
  if (localparts.length === 0) {
    if (how === 'all') {
      add(
        principalsOf(state, compiled, entriesOf(state, bitsOf((state.sets[compiled.sources] as SetState).identity))),
        sshUsersOf(users),
      );
    } else if (how === 'own' && own !== null) {
      add(
        principalsOf(
          state,
          compiled,
          sourcesByUser(state, compiled, own).flatMap(([, list]) => list),
        ),
        sshUsersOf(users),
      );
    }
    return rules;
  }
  // With a localpart each source user maps to a login of their own, so the rule is split by user.
  const addUser = (user: PolicyUser | undefined, entries: readonly NodeEntry[]): void => {
    const principals = principalsOf(state, compiled, entries);
    add(principals, sshUsersOf(users));
    for (const domain of localparts) {
      if (user === undefined || domainOf(user.login) !== domain) continue;
      const name = localpartOf(user.login);
      add(principals, { [name]: name });
    }
  };
  if (how !== undefined) {
    for (const [user, entries] of sourcesByUser(state, compiled, how === 'own' ? own : null)) {
      addUser(state.userOf(user), entries);
    }
    if (how === 'all') {
      const tagged = classesIn(state, compiled).filter((cls) => cls.tagged);
      const entries = [
        ...entriesOf(
          state,
          tagged.map(({ index }) => index),
        ),
      ];
      add(principalsOf(state, compiled, entries), sshUsersOf(users));
    }
  } else if (isSource(state, compiled, entry.cls)) {
    // The service gives a source node these rules as well. For itself alone they open nothing to anybody else.
    if (entry.cls.tagged) add(principalsOf(state, compiled, [entry]), sshUsersOf(users));
    else addUser(own === null ? undefined : state.userOf(own), [entry]);
  }
  return rules;
};

export const sshPolicyOf = (state: Membership, entry: NodeEntry): SshPolicy => {
  const { cls } = entry;
  const { user } = entry.node;
  const known = cls.ssh ?? (user === null ? undefined : cls.sshOf.get(user)) ?? entry.ssh;
  if (known) return known;
  const parts = state.ssh.map(({ compiled }) => rulesFor(state, entry, compiled));
  const policy = Object.freeze({ rules: parts.flatMap(({ rules }) => rules) });
  if (parts.every(({ scope }) => scope === 'class')) cls.ssh = policy;
  else if (user !== null && parts.every(({ scope }) => scope !== 'node')) cls.sshOf.set(user, policy);
  else entry.ssh = policy;
  return policy;
};

/** The rules by which others open shells on the node: without those that a client is given only for being their source. */
export const shellRulesOf = (state: Membership, entry: NodeEntry): readonly SshRule[] =>
  state.ssh.flatMap(({ compiled }) =>
    standing(entry, compiled) === undefined ? [] : rulesFor(state, entry, compiled).rules,
  );

export interface SshDecision {
  readonly action: 'accept' | 'check' | 'deny';
  /** How long a passed check holds; 0: never. Only for `check`. */
  readonly checkPeriodMs: number;
  /** The place in `ssh`; absent for `deny`. */
  readonly ruleIndex?: number;
  /** The local user that `user` maps to; absent for `deny`. */
  readonly localUser?: string;
}

const DENY: SshDecision = Object.freeze({ action: 'deny', checkPeriodMs: 0 });

/** The local user, or undefined where the rule doesn't let the person in under that name. */
const localUserOf = (users: readonly SshLogin[], owner: PolicyUser | undefined, name: string): string | undefined => {
  for (const user of users) {
    if (user.kind === 'login' && user.name === name) return name;
    if (user.kind === 'nonroot' && name !== 'root') return name;
    const isOwn = user.kind === 'localpart' && owner !== undefined && domainOf(owner.login) === user.domain;
    if (isOwn && localpartOf(owner.login) === name) return name;
  }
  return undefined;
};

export const sshDecision = (
  state: Membership,
  source: NodeEntry,
  destination: NodeEntry,
  name: string,
): SshDecision => {
  for (const { compiled } of state.ssh) {
    const how = standing(destination, compiled);
    if (how === undefined || !isSource(state, compiled, source.cls)) continue;
    const sameUser = !source.cls.tagged && source.node.user === destination.node.user;
    if (how === 'own' && !sameUser) continue;
    const owner = source.cls.tagged || source.node.user === null ? undefined : state.userOf(source.node.user);
    const localUser = localUserOf(compiled.rule.users, owner, name);
    if (localUser === undefined) continue;
    if (lacksRecorder(state, compiled)) return DENY;
    const { action, checkPeriodMs, index } = compiled.rule;
    return { action, checkPeriodMs: action === 'check' ? checkPeriodMs : 0, ruleIndex: index, localUser };
  }
  return DENY;
};

/** Adds the classes whose SSH policy names nodes of the class, and drops what was kept for them. */
export const touchSsh = (state: Membership, cls: NodeClass, touched: Bitset): void => {
  for (const { compiled, destinations } of state.ssh) {
    const records = compiled.recorders.some((atom) => cls.identityAtoms.includes(atom));
    if (!records && !isSource(state, compiled, cls)) continue;
    state.sharedSsh.delete(compiled);
    addAll(touched, destinations);
    if (!records) continue;
    // A recorder is named wherever the rule stands: also on source nodes for themselves, and on a user's own devices.
    addAll(touched, (state.sets[compiled.sources] as SetState).identity);
    if (compiled.self) for (const other of state.classes) if (other?.tagged === false) addBit(touched, other.index);
  }
};
