// What every registry does, whatever keeps it. Each adapter runs this one list.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Address, Prefix } from '../../src/base/address.ts';
import { ipSetOf } from '../../src/base/ipset.ts';
import type { RegistryChange } from '../../src/registry/change.ts';
import type { NodeRecord } from '../../src/registry/record.ts';
import type { Registry } from '../../src/registry/registry.ts';
import { LOGIN_CASES } from './contract-logins.ts';
import { applied, joined, refused, type Step } from './contract-steps.ts';
import {
  alice,
  assignment,
  authKey,
  bob,
  keyId,
  login,
  loginId,
  machineKey,
  nodeKey,
  register,
  START_MS,
  tag,
  waitingLogin,
} from './sample.ts';

const once = { id: keyId('once'), reusable: false };
const often = { id: keyId('often'), reusable: true };

const CASES: Readonly<Record<string, Step>> = {
  'a machine joins and gets an id, a name and an address of each family': async (registry) => {
    const node = await joined(registry, register(1, { hostinfo: { Hostname: "Alice's MacBook Pro.local" } }));
    assert.equal(node.stableId, `n${node.id.toString(36)}TP`);
    assert.equal(node.name, 'alices-macbook-pro');
    assert.deepEqual(node.addresses, ['100.64.0.1', 'fd7a:115c:a1e0::1']);
    const { view } = registry;
    assert.equal(view.nodes.get(node.id), node);
    assert.equal(view.byNodeKey.get(nodeKey(1)), node.id);
    assert.deepEqual(view.byMachineKey.get(machineKey(1)), [node.id]);
    assert.equal(view.byName.get('alices-macbook-pro'), node.id);
    assert.equal(view.byAddress.get('100.64.0.1' as Address), node.id);
  },

  'names that are taken get numbers, and a number that was given back is used again': async (registry) => {
    const names: string[] = [];
    const nodes: NodeRecord[] = [];
    for (let n = 1; n <= 4; n++) {
      const node = await joined(registry, register(n, { hostinfo: { Hostname: 'web' } }));
      names.push(node.name);
      nodes.push(node);
    }
    assert.deepEqual(names, ['web', 'web-1', 'web-2', 'web-3']);
    await applied(registry, { kind: 'remove', id: nodes[1]!.id, cause: 'administrator' });
    assert.equal((await joined(registry, register(5, { hostinfo: { Hostname: 'WEB' } }))).name, 'web-1');
  },

  'an address that was given back waits until the others were used': async (registry) => {
    const small = { ...assignment, prefixes: ['10.0.0.0/29' as Prefix] };
    const join = (n: number): Promise<NodeRecord> => joined(registry, register(n, { assignment: small }));
    const first = await join(1);
    assert.deepEqual(first.addresses, ['10.0.0.1']);
    await applied(registry, { kind: 'remove', id: first.id, cause: 'administrator' });
    const rest: string[] = [];
    for (let n = 2; n <= 7; n++) rest.push(...(await join(n)).addresses);
    assert.deepEqual(rest, ['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6', '10.0.0.1']);
    refused(await registry.apply(register(8, { assignment: small })), 'registry/addresses-exhausted');
  },

  'addresses and names that the tailnet declares are left to their nodes': async (registry) => {
    const declared = {
      ...assignment,
      reservedAddresses: ipSetOf(['100.64.0.1' as Address]),
      reservedNames: new Set(['web']),
    };
    const node = await joined(registry, register(1, { hostinfo: { Hostname: 'web' }, assignment: declared }));
    assert.equal(node.name, 'web-1');
    assert.deepEqual(node.addresses, ['100.64.0.2', 'fd7a:115c:a1e0::2']);
  },

  'new prefixes give new addresses to nodes that ask, and only where the old ones do not fit': async (registry) => {
    const node = await joined(registry, register(1));
    const same = await applied(registry, { kind: 'readdress', id: node.id, assignment });
    assert.deepEqual(same.changes, []);
    const moved = { ...assignment, prefixes: ['10.1.0.0/16' as Prefix] };
    const { node: after } = await applied(registry, { kind: 'readdress', id: node.id, assignment: moved });
    assert.deepEqual(after?.addresses, ['10.1.0.1']);
    assert.equal(registry.view.byAddress.get('100.64.0.1' as Address), undefined);
  },

  'the same registration twice is one registration': async (registry) => {
    const first = await joined(registry, register(1, { key: once }));
    const again = await applied(registry, register(1, { key: once, nowMs: START_MS + 5000 }));
    assert.deepEqual(again.changes, []);
    assert.deepEqual(again.node, first);
    assert.equal(registry.view.keyUses.get(once.id)?.count, 1);
    assert.equal(registry.view.nodes.size, 1);
  },

  'a spent key is good for its machine for some minutes, with whatever node key it comes': async (registry) => {
    const first = await joined(registry, register(1, { key: once }));
    const other = { key: once, nodeKey: nodeKey(9) };
    const { node } = await applied(registry, register(1, { ...other, nowMs: START_MS + 60_000 }));
    assert.deepEqual([node?.id, node?.addresses, node?.nodeKey], [first.id, first.addresses, nodeKey(9)]);
    assert.equal(registry.view.keyUses.get(once.id)?.count, 1);
    const late = { key: once, nodeKey: nodeKey(10), nowMs: START_MS + 600_000 };
    refused(await registry.apply(register(1, late)), 'registry/key-used');
  },

  'a key for one use lets one machine in, also when two ask at once': async (registry) => {
    const outcomes = await Promise.all([1, 2, 3].map((n) => registry.apply(register(n, { key: once }))));
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.ok ? 'joined' : outcome.code)),
      ['joined', 'registry/key-used', 'registry/key-used'],
    );
    assert.equal(registry.view.nodes.size, 1);
  },

  'a spent key does not bring back a node that was removed or has expired': async (registry) => {
    const node = await joined(registry, register(1, { key: once }));
    await applied(registry, { kind: 'set-expiry', id: node.id, expiresMs: START_MS + 10 });
    refused(await registry.apply(register(1, { key: once, nowMs: START_MS + 20 })), 'registry/key-used');
    await applied(registry, { kind: 'remove', id: node.id, cause: 'administrator' });
    refused(await registry.apply(register(1, { key: once, nowMs: START_MS + 30 })), 'registry/key-used');
  },

  'a spent key gives nothing to a node that is in by another way': async (registry) => {
    await joined(registry, register(1, { key: once, login: null, tags: [tag('server')] }));
    const node = await joined(registry, register(2));
    const tried = await applied(registry, register(2, { key: once, login: null, tags: [tag('server')] }));
    assert.deepEqual(tried.changes, []);
    assert.equal(tried.node?.login, node.login);
  },

  'uses of a reusable key are counted': async (registry) => {
    for (const n of [1, 2, 3]) await applied(registry, register(n, { key: often }));
    const { lastNode, ...use } = registry.view.keyUses.get(often.id)!;
    assert.deepEqual(use, { keyId: often.id, count: 3, firstMs: START_MS + 1, lastMs: START_MS + 3 });
    assert.equal(lastNode, registry.view.byNodeKey.get(nodeKey(3)));
  },

  'a key that was revoked meanwhile lets nobody in': async (registry) => {
    await applied(registry, { kind: 'create-key', key: authKey('often', { reusable: true }) });
    await applied(registry, { kind: 'revoke-key', id: often.id, nowMs: START_MS });
    refused(await registry.apply(register(1, { key: often })), 'registry/key-revoked');
    assert.equal(registry.view.keys.get(often.id)?.revokedMs, START_MS);
  },

  'a key is made once and forgotten with its uses': async (registry) => {
    await applied(registry, { kind: 'create-key', key: authKey('once') });
    refused(await registry.apply({ kind: 'create-key', key: authKey('once') }), 'registry/key-exists');
    await applied(registry, register(1, { key: once }));
    await applied(registry, { kind: 'delete-key', id: once.id });
    assert.equal(registry.view.keys.has(once.id), false);
    assert.equal(registry.view.keyUses.has(once.id), false);
    refused(await registry.apply({ kind: 'delete-key', id: once.id }), 'registry/unknown-key');
  },

  'a rotation keeps the node and changes its key': async (registry) => {
    const before = await joined(registry, register(1));
    const after = await joined(registry, register(1, { nodeKey: nodeKey(101), oldNodeKey: nodeKey(1) }));
    assert.equal(after.id, before.id);
    assert.deepEqual(after.addresses, before.addresses);
    assert.equal(after.nodeKey, nodeKey(101));
    assert.equal(after.previousNodeKey, nodeKey(1));
    assert.equal(registry.view.byNodeKey.has(nodeKey(1)), false);
    // Clients name the old key for a long time after the rotation; that is no second rotation.
    const later = await joined(registry, register(1, { nodeKey: nodeKey(101), oldNodeKey: nodeKey(1) }));
    assert.equal(later.previousNodeKey, nodeKey(1));
  },

  'a machine that lost its keys gets its node back, for the same owner only': async (registry) => {
    const before = await joined(registry, register(1));
    const same = await joined(registry, register(1, { nodeKey: nodeKey(101) }));
    assert.equal(same.id, before.id);
    const other = await joined(registry, register(1, { nodeKey: nodeKey(102), login: bob }));
    assert.notEqual(other.id, before.id);
    assert.deepEqual(registry.view.byMachineKey.get(machineKey(1)), [before.id, other.id]);
  },

  'another person who replaces a key gets a node of their own': async (registry) => {
    const before = await joined(registry, register(1));
    const other = await joined(registry, register(1, { nodeKey: nodeKey(101), oldNodeKey: nodeKey(1), login: bob }));
    assert.notEqual(other.id, before.id);
    assert.equal(registry.view.nodes.get(before.id)?.login, alice);
  },

  'a person with another login, or the same in another case, is no other person': async (registry) => {
    const before = await joined(registry, register(1, { login: login('Alice@example.org') }));
    const names = { login: alice, formerLogins: [login('alice@example.org')] };
    const renewed = await joined(registry, register(1, { nodeKey: nodeKey(101), oldNodeKey: nodeKey(1), ...names }));
    assert.deepEqual([renewed.id, renewed.login], [before.id, alice]);
    const lost = await joined(registry, register(1, { nodeKey: nodeKey(102), login: login('ALICE@example.com') }));
    assert.equal(lost.id, before.id);
  },

  'what was granted to one owner is not kept for the next': async (registry) => {
    const node = await joined(registry, register(1));
    await applied(registry, { kind: 'approve-routes', id: node.id, routes: ['10.0.0.0/8' as Prefix] });
    const attributes = { 'custom:tier': { value: 'gold', expiresMs: null } };
    await applied(registry, { kind: 'set-attributes', id: node.id, attributes });
    const tagged = await joined(
      registry,
      register(1, {
        nodeKey: nodeKey(101),
        oldNodeKey: nodeKey(1),
        login: null,
        tags: [tag('server')],
        authorized: false,
      }),
    );
    assert.equal(tagged.id, node.id);
    assert.deepEqual([tagged.approvedRoutes, tagged.attributes, tagged.authorized], [[], {}, false]);
  },

  "a node key can't be taken by another machine, nor an old one replaced": async (registry) => {
    const node = await joined(registry, register(1));
    refused(await registry.apply(register(2, { nodeKey: nodeKey(1) })), 'registry/machine-mismatch');
    const thief = await joined(registry, register(2, { oldNodeKey: nodeKey(1) }));
    assert.notEqual(thief.id, node.id);
    assert.equal(registry.view.nodes.get(node.id)?.nodeKey, nodeKey(1));
  },

  'ids are never used twice': async (registry) => {
    const first = await joined(registry, register(1));
    await applied(registry, { kind: 'remove', id: first.id, cause: 'logout' });
    const second = await joined(registry, register(1));
    assert.notEqual(second.id, first.id);
    assert.notEqual(second.stableId, first.stableId);
    refused(await registry.apply({ kind: 'remove', id: first.id, cause: 'logout' }), 'registry/unknown-node');
  },

  'an administrator names, approves, tags and expires a node': async (registry) => {
    const { id } = await joined(registry, register(1, { authorized: false }));
    await joined(registry, register(2, { hostinfo: { Hostname: 'db' } }));
    refused(await registry.apply({ kind: 'rename', id, name: 'db', assignment }), 'registry/name-taken');
    refused(await registry.apply({ kind: 'rename', id, name: 'Not A Label', assignment }), 'registry/name-invalid');
    await applied(registry, { kind: 'rename', id, name: 'front', assignment });
    await applied(registry, { kind: 'authorize', id, authorized: true });
    refused(await registry.apply({ kind: 'set-tags', id, tags: [] }), 'registry/no-owner');
    await applied(registry, { kind: 'set-tags', id, tags: [tag('web'), tag('eu')] });
    await applied(registry, { kind: 'set-expiry', id, expiresMs: null });
    await applied(registry, { kind: 'set-key-signature', id, keySignature: 'c2ln' });
    const routes = ['10.0.0.0/8', '0.0.0.0/0', '10.0.0.0/8'] as Prefix[];
    await applied(registry, { kind: 'approve-routes', id, routes });
    const node = registry.view.nodes.get(id)!;
    assert.equal(node.name, 'front');
    assert.equal(node.authorized, true);
    assert.deepEqual([node.login, node.tags], [null, ['tag:eu', 'tag:web']]);
    assert.equal(node.expiresMs, null);
    assert.deepEqual(node.approvedRoutes, ['0.0.0.0/0', '10.0.0.0/8']);
    assert.equal(node.keySignature, 'c2ln');
  },

  'a name follows the host name until an administrator gives one': async (registry) => {
    const { id } = await joined(registry, register(1));
    registry.note(id, { hostinfo: { Hostname: 'studio' } });
    assert.equal((await applied(registry, { kind: 'follow-hostname', id, assignment })).node?.name, 'studio');
    await applied(registry, { kind: 'rename', id, name: 'front', assignment });
    registry.note(id, { hostinfo: { Hostname: 'kitchen' } });
    assert.deepEqual((await applied(registry, { kind: 'follow-hostname', id, assignment })).changes, []);
    assert.equal((await applied(registry, { kind: 'rename', id, name: null, assignment })).node?.name, 'kitchen');
  },

  'attributes are set and unset one by one': async (registry) => {
    const { id } = await joined(registry, register(1));
    const tier = { value: 'gold', expiresMs: null };
    await applied(registry, { kind: 'set-attributes', id, attributes: { 'custom:tier': tier } });
    await applied(registry, {
      kind: 'set-attributes',
      id,
      attributes: { 'custom:n': { value: 3, expiresMs: START_MS } },
    });
    await applied(registry, { kind: 'set-attributes', id, attributes: { 'custom:tier': null } });
    assert.deepEqual(registry.view.nodes.get(id)?.attributes, { 'custom:n': { value: 3, expiresMs: START_MS } });
    const many = Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`custom:a${i}`, tier]));
    refused(await registry.apply({ kind: 'set-attributes', id, attributes: many }), 'registry/too-many-attributes');
  },

  'changes are told in order, with the fields that differ': async (registry) => {
    const heard: string[] = [];
    const stop = registry.subscribe((changes: readonly RegistryChange[]) => {
      for (const change of changes) {
        heard.push(
          change.kind === 'node-changed' ? `${change.kind} ${[...change.fields].sort().join(',')}` : change.kind,
        );
      }
    });
    const { id } = await joined(registry, register(1, { key: often }));
    registry.note(id, { endpoints: ['192.0.2.1:41641'], homeDerp: 1 });
    registry.note(id, { homeDerp: 1 });
    await applied(registry, { kind: 'set-expiry', id, expiresMs: START_MS });
    await applied(registry, { kind: 'set-expiry', id, expiresMs: START_MS });
    await applied(registry, register(1, { nodeKey: nodeKey(101), oldNodeKey: nodeKey(1), nowMs: START_MS + 1 }));
    await applied(registry, { kind: 'remove', id, cause: 'inactive' });
    stop();
    await joined(registry, register(2));
    assert.deepEqual(heard, [
      'node-added',
      'key-use',
      'node-changed endpoints,homeDerp',
      'node-changed expiresMs',
      'node-changed expiresMs,keyId,nodeKey,previousNodeKey',
      'node-removed',
    ]);
  },

  'a note between an event and its commit is not lost': async (registry) => {
    const { id } = await joined(registry, register(1));
    const pending = registry.apply({ kind: 'set-expiry', id, expiresMs: START_MS + 7 });
    await Promise.resolve();
    registry.note(id, { endpoints: ['192.0.2.7:41641'] });
    await pending;
    const node = registry.view.nodes.get(id)!;
    assert.deepEqual([node.expiresMs, node.endpoints], [START_MS + 7, ['192.0.2.7:41641']]);
  },

  'events of one turn see each other': async (registry) => {
    const [a, b, c] = await Promise.all([
      registry.apply(register(1, { hostinfo: { Hostname: 'x' } })),
      registry.apply(register(2, { hostinfo: { Hostname: 'x' } })),
      registry.apply(register(1, { nodeKey: nodeKey(101), oldNodeKey: nodeKey(1) })),
    ]);
    assert.ok(a.ok && b.ok && c.ok);
    assert.equal(b.value.node?.name, 'x-1');
    assert.equal(c.value.node?.id, a.value.node?.id);
    assert.equal(registry.view.nodes.size, 2);
  },

  'nothing is taken after the close': async (registry) => {
    const pending = registry.apply(register(1));
    await registry.close();
    assert.ok((await pending).ok, 'what was under way is finished');
    refused(await registry.apply(register(2)), 'registry/closed');
    assert.equal(registry.status().state, 'closed');
  },

  'an owner and tags at once are a mistake of the caller': async (registry) => {
    const wrong = register(1, { login: login('x@example.com'), tags: [tag('web')] });
    await assert.rejects(registry.apply(wrong), TypeError);
    await joined(registry, register(1));
  },
};

/** For adapters that keep anything: what has to be so after the process was another one. */
const LASTING: Readonly<Record<string, (registry: Registry, reopen: () => Promise<Registry>) => Promise<void>>> = {
  'what was acknowledged is there again': async (registry, reopen) => {
    await applied(registry, { kind: 'create-key', key: authKey('once') });
    const node = await joined(registry, register(1, { key: once }));
    await applied(registry, { kind: 'begin-login', login: waitingLogin(2) });
    const { view } = await reopen();
    assert.deepEqual(view.nodes.get(node.id), node);
    assert.deepEqual(view.keys.get(once.id), authKey('once'));
    assert.equal(view.keyUses.get(once.id)?.count, 1);
    assert.deepEqual(view.logins.get(loginId(2)), waitingLogin(2));
    assert.equal(view.pendingLogins.size, 1);
  },

  'a spent key stays spent, and its machine stays in': async (registry, reopen) => {
    await joined(registry, register(1, { key: once }));
    const again = await reopen();
    refused(await again.apply(register(2, { key: once })), 'registry/key-used');
    assert.deepEqual((await applied(again, register(1, { key: once }))).changes, []);
  },

  'ids and addresses of removed nodes are not handed out anew': async (registry, reopen) => {
    const gone = await joined(registry, register(1));
    await applied(registry, { kind: 'remove', id: gone.id, cause: 'administrator' });
    const next = await joined(await reopen(), register(2));
    assert.equal(next.id, gone.id + 1);
    assert.deepEqual(next.addresses, ['100.64.0.2', 'fd7a:115c:a1e0::2']);
  },

  'notes are there after a close': async (registry, reopen) => {
    const { id } = await joined(registry, register(1));
    registry.note(id, { endpoints: ['192.0.2.1:41641'], homeDerp: 7, lastSeenMs: START_MS });
    const node = (await reopen()).view.nodes.get(id)!;
    assert.deepEqual([node.endpoints, node.homeDerp, node.lastSeenMs], [['192.0.2.1:41641'], 7, START_MS]);
  },
};

export interface Tried {
  readonly registry: Registry;
  readonly end: () => Promise<void>;
  /** Closes it and opens it again. */
  readonly reopen?: () => Promise<Registry>;
}

/** Runs every case on a registry of its own; for an adapter that keeps what it has, those about keeping too. */
export const contract = (adapter: string, open: () => Promise<Tried>, keeps: boolean): void => {
  const withRegistry = async (step: (tried: Tried) => Promise<void>): Promise<void> => {
    const tried = await open();
    try {
      await step(tried);
    } finally {
      await tried.end();
    }
  };
  describe(adapter, () => {
    for (const [name, step] of Object.entries({ ...CASES, ...LOGIN_CASES })) {
      test(name, () => withRegistry(({ registry }) => step(registry)));
    }
    for (const [name, step] of Object.entries(keeps ? LASTING : {})) {
      test(name, () =>
        withRegistry(async ({ registry, reopen }) => {
          assert.ok(reopen);
          await step(registry, reopen);
        }),
      );
    }
  });
};
