// The registry's rules: from a state and an event to the changes that follow, or a refusal. Pure: the clock and every
// random number come with the event. register.ts holds the longest of them.

import { accept, refuse } from '../base/outcome.ts';
import { addressesFit, nextAddresses } from './addresses.ts';
import type { Changes, RegistryChange } from './change.ts';
import type { Assignment, RegistryEvent } from './event.ts';
import { isLabel, isNumberedForm, uniqueName, wishedLabel } from './names.ts';
import type { LoginRecord, NodeRecord } from './record.ts';
import { decideRegister } from './register.ts';
import { askerOf, changeNode, type Tables } from './state.ts';

/** Logins that may wait at a time: strangers can begin one. */
export const MAX_PENDING_LOGINS = 1000;
/** Pre-auth keys made at run time that are kept. */
export const MAX_KEYS = 10_000;
/** How long a login is remembered after its time is over, so that a client that asks late gets a true answer. */
export const LOGIN_MEMORY_MS = 3_600_000;
const MAX_ATTRIBUTES = 100;

const NOTHING: Changes = accept([]);

const change = (node: NodeRecord, patch: Partial<NodeRecord>): Changes => {
  const changed = changeNode(node, patch);
  return changed ? accept([changed]) : NOTHING;
};

const decideRename = (tables: Tables, node: NodeRecord, name: string | null, assignment: Assignment): Changes => {
  const isTaken = (label: string): boolean =>
    assignment.reservedNames.has(label) || (tables.byName.get(label) ?? node.id) !== node.id;
  if (name === null) return change(node, { name: uniqueName(wishedLabel(node.hostinfo), isTaken), renamed: false });
  if (!isLabel(name)) {
    return refuse(
      'registry/name-invalid',
      'A name has 1 to 63 lower-case letters, digits and dashes, with no dash at its ends.',
    );
  }
  if (isTaken(name)) return refuse('registry/name-taken', `The name ${name} belongs to another node.`);
  return change(node, { name, renamed: true });
};

const decideFollowHostname = (tables: Tables, node: NodeRecord, assignment: Assignment): Changes => {
  const label = wishedLabel(node.hostinfo);
  if (node.renamed || isNumberedForm(node.name, label)) return NOTHING;
  const isTaken = (name: string): boolean => assignment.reservedNames.has(name) || tables.byName.has(name);
  return change(node, { name: uniqueName(label, isTaken) });
};

const decideYieldName = (tables: Tables, node: NodeRecord, { reservedNames }: Assignment): Changes => {
  if (!reservedNames.has(node.name)) return NOTHING;
  const isTaken = (name: string): boolean => reservedNames.has(name) || tables.byName.has(name);
  return change(node, { name: uniqueName(wishedLabel(node.hostinfo), isTaken), renamed: false });
};

const decideReaddress = (tables: Tables, node: NodeRecord, assignment: Assignment): Changes => {
  if (addressesFit(node.addresses, assignment)) return NOTHING;
  const addresses = nextAddresses(assignment, tables.cursor, (address) => tables.byAddress.has(address));
  if (!addresses) return refuse('registry/addresses-exhausted', 'The tailnet has no free address left.');
  return change(node, { addresses });
};

const decideAttributes = (
  node: NodeRecord,
  wishes: (RegistryEvent & { readonly kind: 'set-attributes' })['attributes'],
): Changes => {
  const attributes = new Map(Object.entries(node.attributes));
  for (const [name, wish] of Object.entries(wishes)) {
    if (wish === null) attributes.delete(name);
    else attributes.set(name, wish);
  }
  if (attributes.size > MAX_ATTRIBUTES) {
    return refuse('registry/too-many-attributes', `A node has at most ${MAX_ATTRIBUTES} attributes.`);
  }
  return change(node, { attributes: Object.fromEntries(attributes) });
};

/** Those that nobody can decide any more. A draft walks over what it has changed as well. */
const overLogins = (tables: Tables, nowMs: number): readonly LoginRecord[] =>
  [...tables.logins.values()].filter(
    (login) => login.state === 'pending' && login.expiresMs <= nowMs && tables.logins.get(login.id) === login,
  );

const decideBeginLogin = (tables: Tables, login: LoginRecord): Changes => {
  if (tables.logins.has(login.id)) return refuse('registry/login-settled', 'This login exists already.');
  const waiting = tables.pendingLogins.get(askerOf(login.machineKey, login.nodeKey));
  const previous = waiting === undefined ? undefined : tables.logins.get(waiting);
  if (previous && previous.expiresMs > login.createdMs) return NOTHING;
  const isFull = !previous && tables.pendingLogins.size >= MAX_PENDING_LOGINS;
  // Who filled the room an hour ago must not keep others out until the next sweep.
  const over = isFull ? overLogins(tables, login.createdMs) : [];
  if (isFull && over.length === 0) {
    return refuse('registry/too-many-logins', 'Too many logins wait for a decision; try again later.');
  }
  const begun: RegistryChange = { kind: 'login', before: null, after: login };
  const gone = previous ? [previous] : over;
  return accept([...gone.map((before): RegistryChange => ({ kind: 'login', before, after: null })), begun]);
};

const decideSweep = (tables: Tables, nowMs: number): Changes => {
  const changes: RegistryChange[] = [];
  for (const login of tables.logins.values()) {
    if (login.expiresMs + LOGIN_MEMORY_MS < nowMs) changes.push({ kind: 'login', before: login, after: null });
  }
  return accept(changes);
};

const sortedUnique = <T extends string>(items: readonly T[]): readonly T[] => [...new Set(items)].sort();

const decideNode = (tables: Tables, event: Extract<RegistryEvent, { readonly id: NodeRecord['id'] }>): Changes => {
  const node = tables.nodes.get(event.id);
  if (!node) return refuse('registry/unknown-node', 'There is no such node.');
  switch (event.kind) {
    case 'set-expiry':
      return change(node, { expiresMs: event.expiresMs });
    case 'remove':
      return accept([{ kind: 'node-removed', node, cause: event.cause }]);
    case 'authorize':
      return change(node, { authorized: event.authorized });
    case 'rename':
      return decideRename(tables, node, event.name, event.assignment);
    case 'follow-hostname':
      return decideFollowHostname(tables, node, event.assignment);
    case 'yield-name':
      return decideYieldName(tables, node, event.assignment);
    case 'readdress':
      return decideReaddress(tables, node, event.assignment);
    case 'set-tags':
      // The last tag gone leaves nobody who owns the node.
      if (event.tags.length === 0)
        return refuse('registry/no-owner', 'A node without tags needs an owner: log in again.');
      return change(node, { tags: sortedUnique(event.tags), login: null });
    case 'approve-routes':
      return change(node, { approvedRoutes: sortedUnique(event.routes) });
    case 'set-attributes':
      return decideAttributes(node, event.attributes);
    default:
      return change(node, { keySignature: event.keySignature });
  }
};

/** The changes have to be folded in, in order, before the next event is decided. */
export const decide = (tables: Tables, event: RegistryEvent): Changes => {
  switch (event.kind) {
    case 'register':
      return decideRegister(tables, event);
    case 'create-key':
      if (tables.keys.has(event.key.id)) return refuse('registry/key-exists', 'A key with this id exists already.');
      if (tables.keys.size >= MAX_KEYS) {
        return refuse('registry/too-many-keys', `There are ${MAX_KEYS} keys; delete some that are not needed.`);
      }
      return accept([{ kind: 'key', before: null, after: event.key }]);
    case 'revoke-key': {
      const key = tables.keys.get(event.id);
      if (!key) return refuse('registry/unknown-key', 'There is no such key.');
      if (key.revokedMs !== null) return NOTHING;
      return accept([{ kind: 'key', before: key, after: { ...key, revokedMs: event.nowMs } }]);
    }
    case 'delete-key': {
      const key = tables.keys.get(event.id);
      if (!key) return refuse('registry/unknown-key', 'There is no such key.');
      const use = tables.keyUses.get(event.id);
      const gone: RegistryChange = { kind: 'key', before: key, after: null };
      return accept(use ? [gone, { kind: 'key-use', before: use, after: null }] : [gone]);
    }
    case 'begin-login':
      return decideBeginLogin(tables, event.login);
    case 'deny-login': {
      const login = tables.logins.get(event.id);
      if (!login) return refuse('registry/unknown-login', 'There is no such login.');
      if (login.state === 'denied') return NOTHING;
      if (login.state !== 'pending') return refuse('registry/login-settled', 'This login was already approved.');
      const after: LoginRecord = { ...login, state: 'denied', decidedBy: event.decidedBy, decidedMs: event.nowMs };
      return accept([{ kind: 'login', before: login, after }]);
    }
    case 'sweep':
      return decideSweep(tables, event.nowMs);
    default:
      return decideNode(tables, event);
  }
};
