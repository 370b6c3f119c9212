// What an administrator may ask about pre-auth keys, by the socket: make, list, revoke.

import { parseTag } from '../base/ids.ts';
import type { Login, Tag } from '../base/ids.ts';
import { accept, refuse } from '../base/outcome.ts';
import type { Outcome } from '../base/outcome.ts';
import type { AdminOperation } from '../http/admin.ts';
import type { CreatedKey, KeyAnswer } from '../http/answers.ts';
import { createAuthKey } from '../identity/preauth.ts';
import { parseKeyId } from '../registry/record.ts';
import type { KeyRecord, KeyUse } from '../registry/record.ts';
import type { Parts } from './parts.ts';

const time = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

const stateOf = (
  key: { readonly reusable: boolean; readonly expiresMs: number | null; readonly revokedMs?: number | null },
  use: KeyUse | undefined,
  nowMs: number,
): KeyAnswer['state'] => {
  if (key.revokedMs !== undefined && key.revokedMs !== null) return 'revoked';
  if (key.expiresMs !== null && key.expiresMs <= nowMs) return 'expired';
  return !key.reusable && (use?.count ?? 0) > 0 ? 'used' : 'usable';
};

const describeKey = (parts: Parts, key: KeyRecord): KeyAnswer => {
  const use = parts.registry.view.keyUses.get(key.id);
  return {
    id: key.id,
    user: key.login,
    tags: key.tags,
    reusable: key.reusable,
    ephemeral: key.ephemeral,
    created: new Date(key.createdMs).toISOString(),
    expires: time(key.expiresMs),
    used: use?.count ?? 0,
    origin: 'server',
    state: stateOf(key, use, parts.now()),
    description: key.description,
  };
};

export interface KeyWish {
  /** Null or absent with no tags: the first owner of the tailnet. */
  readonly user?: string | null;
  readonly tags?: readonly string[];
  readonly reusable?: boolean;
  readonly ephemeral?: boolean;
  /** Null: without end. */
  readonly ttlMs?: number | null;
  readonly description?: string;
}

const MAX_TTL_MS = 10 * 365 * 86_400_000;
const MAX_DESCRIPTION = 200;

const ownerFor = (parts: Parts, user: string | null | undefined): Outcome<Login> => {
  const { users, userByLogin } = parts.snapshot();
  if (user === undefined || user === null) {
    const owner =
      users.find(({ role, disabled }) => role === 'owner' && !disabled) ?? users.find(({ disabled }) => !disabled);
    if (owner) return accept(owner.login);
    return refuse('http/bad-request', 'users.json5 names nobody; give the key a tag, or declare a person first.');
  }
  const found = userByLogin.get(user.toLowerCase());
  if (!found) return refuse('http/bad-request', `«${user}» is not in users.json5.`);
  if (found.disabled) return refuse('http/bad-request', `«${user}» is disabled in users.json5.`);
  return accept(found.login);
};

const knownTags = (parts: Parts, tags: readonly string[]): Outcome<readonly Tag[]> => {
  const parsed = tags.map((tag) => [tag, parseTag(tag)] as const);
  const wrong = parsed.find(([, tag]) => tag === undefined);
  if (wrong) return refuse('http/bad-request', `«${wrong[0]}» is not a tag; a tag looks like tag:server.`);
  const owned = parts.snapshot().policy.document?.tagOwners;
  const unknown = owned && parsed.find(([, tag]) => !owned.has(tag as Tag));
  if (unknown) return refuse('http/bad-request', `«${unknown[0]}» has no entry in tagOwners of the policy.`);
  return accept(parsed.map(([, tag]) => tag as Tag));
};

/** Makes a key and answers with its secret, once it is durable. */
export const createKey = async (parts: Parts, wish: KeyWish): Promise<Outcome<CreatedKey>> => {
  const ttlMs = wish.ttlMs ?? null;
  if (ttlMs !== null && !(Number.isSafeInteger(ttlMs) && ttlMs > 0 && ttlMs <= MAX_TTL_MS)) {
    return refuse('http/bad-request', '«ttlMs» is a positive number of milliseconds, at most ten years, or null.');
  }
  const tags = knownTags(parts, wish.tags ?? []);
  if (!tags.ok) return tags;
  if (tags.value.length > 0 && wish.user !== undefined && wish.user !== null) {
    return refuse('http/bad-request', 'A machine has an owner or tags, not both; leave one of them out.');
  }
  const owner = tags.value.length > 0 ? accept(null) : ownerFor(parts, wish.user);
  if (!owner.ok) return owner;
  const nowMs = parts.now();
  const { text, record } = createAuthKey(
    {
      login: owner.value,
      tags: tags.value,
      reusable: wish.reusable === true,
      ephemeral: wish.ephemeral === true,
      preapproved: true,
      expiresMs: ttlMs === null ? null : nowMs + ttlMs,
      description: (wish.description ?? '').slice(0, MAX_DESCRIPTION),
    },
    nowMs,
    parts.random,
  );
  const outcome = await parts.registry.apply({ kind: 'create-key', key: record });
  return outcome.ok ? accept({ ...describeKey(parts, record), key: text.reveal() }) : outcome;
};

export const keyOperations = (parts: Parts): readonly AdminOperation[] => [
  {
    method: 'get',
    path: '/keys',
    run: () => {
      const { authKeys } = parts.snapshot();
      const declared = [...authKeys.values()].map((key): KeyAnswer => {
        const id = parseKeyId(key.id);
        const use = id && parts.registry.view.keyUses.get(id);
        return {
          id: key.id,
          user: key.owner ?? null,
          tags: key.tags,
          reusable: key.reusable,
          ephemeral: key.ephemeral,
          created: '',
          expires: time(key.expiresMs),
          used: use?.count ?? 0,
          origin: 'declared',
          state: stateOf(key, use, parts.now()),
          description: key.description,
        };
      });
      return accept([...[...parts.registry.view.keys.values()].map((key) => describeKey(parts, key)), ...declared]);
    },
  },
  { method: 'post', path: '/keys', run: ({ body }) => createKey(parts, body as KeyWish) },
  {
    method: 'delete',
    path: '/keys/:id',
    run: async ({ params }) => {
      const id = parseKeyId(params['id'] ?? '');
      const key = id && parts.registry.view.keys.get(id);
      if (!key) {
        const declared = parts.snapshot().authKeys.has(params['id'] ?? '');
        return refuse(
          'http/not-found',
          declared ? 'The key is declared in keys.json5; remove it there.' : `There is no key «${params['id']}».`,
        );
      }
      const outcome = await parts.registry.apply({ kind: 'revoke-key', id: key.id, nowMs: parts.now() });
      return outcome.ok ? accept(describeKey(parts, parts.registry.view.keys.get(key.id) ?? key)) : outcome;
    },
  },
];
