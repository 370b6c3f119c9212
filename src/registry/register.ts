// What a registration does: finds the node that the machine already has or makes one, and spends the pre-auth key. A client
// repeats a registration when it didn't read the answer, so doing it twice is doing it once (Tailscale's
// control/controlclient/direct.go retries; a single-use key must not fail the second time).

import type { NodeId, Tag } from '../base/ids.ts';
import { parseNodeId, stableIdOf } from '../base/ids.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import type { MachineKey } from '../keys/text.ts';
import { addressesFit, nextAddresses } from './addresses.ts';
import type { Changes, RegistryChange } from './change.ts';
import type { RegisterEvent } from './event.ts';
import { isNumberedForm, uniqueName, wishedLabel } from './names.ts';
import type { KeyId, NodeRecord } from './record.ts';
import { changeNode, type Tables } from './state.ts';

/** Upper and lower case are the same person, and so is a login that they had before. */
const isLoginOf = (
  node: NodeRecord,
  { login, formerLogins = [] }: Pick<RegisterEvent, 'login' | 'formerLogins'>,
): boolean => {
  const mine = node.login?.toLowerCase();
  if (mine === undefined || login === null) return node.login === login;
  return [login, ...formerLogins].some((each) => each.toLowerCase() === mine);
};

/** Whether the node is one person's and the login another's. */
export const isOtherPersons = (node: NodeRecord, by: Pick<RegisterEvent, 'login' | 'formerLogins'>): boolean =>
  node.login !== null && by.login !== null && !isLoginOf(node, by);

const sameOwner = (node: NodeRecord, event: RegisterEvent): boolean =>
  isLoginOf(node, event) && node.tags.length > 0 === event.tags.length > 0;

const sameTags = (a: readonly Tag[], b: readonly Tag[]): boolean =>
  new Set(a).size === new Set([...a, ...b]).size && new Set(b).size === new Set(a).size;

const isExpired = (node: NodeRecord, nowMs: number): boolean => node.expiresMs !== null && node.expiresMs <= nowMs;

/**
 * The node that this is a registration of: the one with the node key; else the one whose key is being replaced; else the
 * machine's node of the same owner, which has lost its old key. When another person logs in on a machine that says it
 * replaces a key, that person gets a node of their own.
 */
const findNode = (tables: Tables, event: RegisterEvent): Outcome<NodeRecord | undefined> => {
  const get = (id: NodeId | undefined): NodeRecord | undefined => (id === undefined ? undefined : tables.nodes.get(id));
  const current = get(tables.byNodeKey.get(event.nodeKey));
  if (current) {
    // Node keys are public: whoever presents one must be the machine that brought it.
    if (current.machineKey !== event.machineKey) {
      return refuse('registry/machine-mismatch', 'This node key belongs to another machine.');
    }
    return accept(current);
  }
  const replaced = event.oldNodeKey === null ? undefined : get(tables.byNodeKey.get(event.oldNodeKey));
  if (replaced?.machineKey === event.machineKey) {
    if (!isOtherPersons(replaced, event)) return accept(replaced);
  }
  const siblings = (tables.byMachineKey.get(event.machineKey) ?? []).map((id) => get(id));
  return accept(siblings.find((node) => node !== undefined && sameOwner(node, event)));
};

/**
 * A client that didn't wait for the answer may come back with another node key: `tailscale up --force-reauth` logs in twice and
 * makes a key for each (controlclient/direct.go, LoginInteractive). For so long after its use, a key is still good for the
 * machine and the node that it was used for.
 */
const REPEAT_MS = 5 * 60_000;

/** The node that the machine has just joined by this key, where there is one. */
export const justJoinedBy = (
  { nodes, keyUses }: { [name in 'nodes' | 'keyUses']: Pick<Tables[name], 'get'> },
  keyId: KeyId,
  machineKey: MachineKey,
  nowMs: number,
): NodeRecord | undefined => {
  const use = keyUses.get(keyId);
  const node = use && nowMs - use.lastMs <= REPEAT_MS ? nodes.get(use.lastNode) : undefined;
  const isIts = node?.machineKey === machineKey && node.keyId === keyId && !isExpired(node, nowMs);
  return isIts ? node : undefined;
};

/** `spend`: the key lets the machine in now; `repeated`: the machine is in already, and nothing is to be done; `again`: it joined a
 * moment ago, and comes with another node key. */
const checkKey = (
  tables: Tables,
  event: RegisterEvent,
  node: NodeRecord | undefined,
): Outcome<'spend' | 'repeated' | 'again' | 'none'> => {
  const { key } = event;
  if (!key) return accept('none');
  const isCurrent = node?.nodeKey === event.nodeKey && !isExpired(node, event.nowMs);
  if (isCurrent && node.keyId === key.id) return accept('repeated');
  if (typeof tables.keys.get(key.id)?.revokedMs === 'number')
    return refuse('registry/key-revoked', 'This auth key was revoked.');
  const spent = !key.reusable && (tables.keyUses.get(key.id)?.count ?? 0) > 0;
  if (!spent) return accept('spend');
  if (isCurrent) return accept('repeated');
  if (node && justJoinedBy(tables, key.id, event.machineKey, event.nowMs) === node) return accept('again');
  return refuse('registry/key-used', 'This auth key was made for one use and has been used.');
};

const settleLogin = (tables: Tables, event: RegisterEvent, nodeId: NodeId): Changes => {
  if (event.loginId === null) return accept([]);
  const login = tables.logins.get(event.loginId);
  if (!login) return refuse('registry/unknown-login', 'There is no such login.');
  if (login.machineKey !== event.machineKey || login.nodeKey !== event.nodeKey) {
    return refuse('registry/machine-mismatch', 'This login belongs to another machine.');
  }
  if (login.state === 'approved') {
    // Two people may decide at once: the first is heard, and the same again is no news.
    const joined = login.nodeId === nodeId ? tables.nodes.get(nodeId) : undefined;
    const isSame = joined !== undefined && isLoginOf(joined, event) && sameTags(joined.tags, event.tags);
    return isSame ? accept([]) : refuse('registry/login-settled', 'This login was approved already.');
  }
  if (login.state === 'denied') return refuse('registry/login-settled', 'This login was denied.');
  if (login.expiresMs <= event.nowMs) return refuse('registry/login-expired', 'This login took too long; start again.');
  const { decidedBy, nowMs } = event;
  return accept([
    { kind: 'login', before: login, after: { ...login, state: 'approved', decidedBy, decidedMs: nowMs, nodeId } },
  ]);
};

const useOf = (tables: Tables, event: RegisterEvent, nodeId: NodeId): readonly RegistryChange[] => {
  if (!event.key) return [];
  const before = tables.keyUses.get(event.key.id) ?? null;
  const after = {
    keyId: event.key.id,
    count: (before?.count ?? 0) + 1,
    firstMs: before?.firstMs ?? event.nowMs,
    lastMs: event.nowMs,
    lastNode: nodeId,
  };
  return [{ kind: 'key-use', before, after }];
};

/** The relay of another node on the same machine: a client tells it again only when it next looks at its network. */
const homeOf = (tables: Tables, machineKey: MachineKey): number =>
  (tables.byMachineKey.get(machineKey) ?? [])
    .map((id) => tables.nodes.get(id)?.homeDerp ?? 0)
    .find((home) => home > 0) ?? 0;

const addNode = (tables: Tables, event: RegisterEvent): Outcome<NodeRecord> => {
  const addresses = nextAddresses(event.assignment, tables.cursor, (address) => tables.byAddress.has(address));
  if (!addresses) return refuse('registry/addresses-exhausted', 'The tailnet has no free address left.');
  const id = parseNodeId(tables.nextNodeId);
  return accept({
    id,
    stableId: stableIdOf(id),
    machineKey: event.machineKey,
    nodeKey: event.nodeKey,
    previousNodeKey: null,
    nlKey: event.nlKey,
    keySignature: event.keySignature,
    discoKey: event.discoKey,
    login: event.login,
    tags: [...new Set(event.tags)].sort(),
    name: uniqueName(
      wishedLabel(event.hostinfo),
      (name) => event.assignment.reservedNames.has(name) || tables.byName.has(name),
    ),
    renamed: false,
    addresses,
    hostinfo: event.hostinfo,
    capver: event.capver,
    endpoints: [],
    endpointTypes: [],
    homeDerp: homeOf(tables, event.machineKey),
    createdMs: event.nowMs,
    expiresMs: event.expiresMs,
    lastSeenMs: event.nowMs,
    ephemeral: event.ephemeral,
    authorized: event.authorized,
    keyId: event.key?.id ?? null,
    approvedRoutes: [],
    attributes: {},
  });
};

const renewNode = (tables: Tables, event: RegisterEvent, node: NodeRecord): Outcome<Partial<NodeRecord>> => {
  const label = wishedLabel(event.hostinfo);
  const isTaken = (name: string): boolean => event.assignment.reservedNames.has(name) || tables.byName.has(name);
  const keepsName = node.renamed || isNumberedForm(node.name, label);
  const fits = addressesFit(node.addresses, event.assignment);
  const addresses = fits
    ? node.addresses
    : nextAddresses(event.assignment, tables.cursor, (address) => tables.byAddress.has(address));
  if (!addresses) return refuse('registry/addresses-exhausted', 'The tailnet has no free address left.');
  return accept({
    nodeKey: event.nodeKey,
    previousNodeKey: node.nodeKey === event.nodeKey ? node.previousNodeKey : node.nodeKey,
    nlKey: event.nlKey ?? node.nlKey,
    keySignature: event.keySignature ?? (node.nodeKey === event.nodeKey ? node.keySignature : null),
    discoKey: event.discoKey ?? node.discoKey,
    login: event.login,
    tags: [...new Set(event.tags)].sort(),
    name: keepsName ? node.name : uniqueName(label, isTaken),
    addresses,
    hostinfo: event.hostinfo,
    capver: event.capver,
    expiresMs: event.expiresMs,
    lastSeenMs: event.nowMs,
    ephemeral: event.ephemeral,
    keyId: event.key?.id ?? null,
    // What an administrator granted was granted to the owner that the node had then.
    ...(sameOwner(node, event)
      ? { authorized: node.authorized || event.authorized }
      : { authorized: event.authorized, approvedRoutes: [], attributes: {} }),
  });
};

export const decideRegister = (tables: Tables, event: RegisterEvent): Changes => {
  if ((event.login === null) !== event.tags.length > 0) throw new TypeError('a node has an owner or tags');
  const found = findNode(tables, event);
  if (!found.ok) return found;
  const node = found.value;
  const key = checkKey(tables, event, node);
  if (!key.ok) return key;
  // What else the client says about itself is a note, which no disk has to take.
  if (key.value === 'repeated') return accept([]);
  const settled = settleLogin(tables, event, node?.id ?? parseNodeId(tables.nextNodeId));
  if (!settled.ok) return settled;
  if (!node) {
    const added = addNode(tables, event);
    if (!added.ok) return added;
    return accept([
      { kind: 'node-added', node: added.value },
      ...useOf(tables, event, added.value.id),
      ...settled.value,
    ]);
  }
  const renewed = renewNode(tables, event, node);
  if (!renewed.ok) return renewed;
  const changed = changeNode(node, renewed.value);
  const use = key.value === 'again' ? [] : useOf(tables, event, node.id);
  return accept([...(changed ? [changed] : []), ...use, ...settled.value]);
};
