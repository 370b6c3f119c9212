// Makes a data folder with one of everything, as this version leaves it after a crash: a file and a journal behind it. When
// the schema changes, run `node test/registry/stored.ts` before, and keep the folder that it makes in test/registry/golden:
// migration.test.ts then holds every later version to it.

import fs from 'node:fs/promises';
import path from 'node:path';
import type { Prefix } from '../../src/base/address.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { parseDiscoKey, parseNlKey } from '../../src/keys/text.ts';
import type { RegistryEvent } from '../../src/registry/event.ts';
import { openRegistry } from '../../src/registry/open.ts';
import type { RegistryView } from '../../src/registry/registry.ts';
import { SCHEMA_VERSION } from '../../src/registry/schema.ts';
import {
  assignment,
  authKey,
  bob,
  keyId,
  login,
  loginId,
  nodeKey,
  register,
  START_MS,
  tag,
  waitingLogin,
} from './sample.ts';

export const GOLDEN = path.join(import.meta.dirname, 'golden');

const byId = <T>(items: Iterable<T>, key: (item: T) => string): T[] =>
  [...items].sort((a, b) => (key(a) < key(b) ? -1 : 1));

/** Everything in a registry, as plain JSON. */
export const contentOf = (view: RegistryView): unknown =>
  JSON.parse(
    JSON.stringify({
      nodes: byId(view.nodes.values(), ({ stableId }) => stableId),
      keys: byId(view.keys.values(), ({ id }) => id),
      keyUses: byId(view.keyUses.values(), ({ keyId }) => keyId),
      logins: byId(view.logins.values(), ({ id }) => id),
    }),
  );

const make = async (folder: string): Promise<void> => {
  await fs.rm(folder, { recursive: true, force: true });
  const registry = await openRegistry({ folder, holder: 'stored.ts', now: () => START_MS, warn: console.error });
  const apply = async (event: RegistryEvent): Promise<NodeId | undefined> => {
    const outcome = await registry.apply(event);
    if (!outcome.ok) throw new Error(outcome.code);
    return outcome.value.node?.id;
  };
  await apply({ kind: 'create-key', key: authKey('once', { description: 'for the printer' }) });
  await apply({
    kind: 'create-key',
    key: authKey('ci', { login: null, tags: [tag('ci')], reusable: true, ephemeral: true }),
  });
  const first = (await apply(register(1, { key: { id: keyId('once'), reusable: false } }))) as NodeId;
  registry.note(first, {
    discoKey: parseDiscoKey(`discokey:${'d'.repeat(64)}`) ?? null,
    endpoints: ['192.0.2.1:41641', '[2001:db8::1]:41641'],
    endpointTypes: [1, 2],
    homeDerp: 900,
    lastSeenMs: START_MS + 60_000,
  });
  await apply({ kind: 'approve-routes', id: first, routes: ['10.0.0.0/8', '::/0'] as Prefix[] });
  await apply({
    kind: 'set-attributes',
    id: first,
    attributes: { 'custom:tier': { value: 'gold', expiresMs: START_MS } },
  });
  await apply({ kind: 'set-key-signature', id: first, keySignature: 'c2lnbmVk' });
  await apply(register(2, { login: bob, expiresMs: null, nlKey: parseNlKey(`nlpub:${'e'.repeat(64)}`) ?? null }));
  const gone = (await apply(register(3))) as NodeId;
  await apply({ kind: 'begin-login', login: waitingLogin(4) });
  await registry.checkpoint();
  // From here on the journal has it alone.
  await apply({ kind: 'remove', id: gone, cause: 'administrator' });
  await apply(
    register(5, { login: null, tags: [tag('ci')], ephemeral: true, key: { id: keyId('ci'), reusable: true } }),
  );
  await apply(register(1, { nodeKey: nodeKey(101), oldNodeKey: nodeKey(1), login: login('alice@example.com') }));
  await apply({ kind: 'rename', id: first, name: 'front', assignment });
  await apply({ kind: 'revoke-key', id: keyId('ci'), nowMs: START_MS + 1 });
  await apply({ kind: 'deny-login', id: loginId(4), decidedBy: 'bob@example.com', nowMs: START_MS + 2 });
  await fs.writeFile(`${folder}/expected.json`, `${JSON.stringify(contentOf(registry.view), null, 1)}\n`);
  // No close: that would write the file and empty the journal.
  await fs.rm(`${folder}/server.lock`);
  process.exit();
};

if (import.meta.main) await make(path.join(GOLDEN, `schema-${SCHEMA_VERSION}`));
