// keys.json5: pre-auth keys and API credentials by the hash of their secret. The secret itself is shown once, when the key
// is made, and never enters the repository.

import type { Span } from '../base/diagnostic.ts';
import { parseMoment } from '../base/duration.ts';
import type { Login, Tag } from '../base/ids.ts';
import { reportDuplicates, type Reading } from './reading.ts';

export interface DeclaredAuthKey {
  /** The part between `tpkey-auth-` and the secret. */
  readonly id: string;
  /** SHA-256 of the secret's text in UTF-8, 32 bytes as hex. */
  readonly sha256: string;
  /** Whose nodes the key makes; absent exactly when `tags` is not empty. */
  readonly owner?: Login;
  readonly tags: readonly Tag[];
  readonly reusable: boolean;
  readonly ephemeral: boolean;
  /** Nodes that join by it need no approval where approval is manual. */
  readonly preapproved: boolean;
  readonly expiresMs: number | null;
  readonly description: string;
  readonly at: Span;
}

export interface DeclaredApiCredential {
  /** The part between `tpkey-api-` and the secret. */
  readonly id: string;
  readonly sha256: string;
  readonly owner?: Login;
  readonly tags: readonly Tag[];
  readonly scopes: readonly string[];
  readonly expiresMs: number | null;
  readonly description: string;
  readonly at: Span;
}

export interface KeysDocument {
  readonly authKeys: readonly DeclaredAuthKey[];
  readonly apiCredentials: readonly DeclaredApiCredential[];
}

interface KeyFile {
  readonly id: string;
  readonly hash: string;
  readonly owner?: string;
  readonly tags?: readonly string[];
  readonly expires?: string;
  readonly description: string;
}

interface KeysFile {
  readonly authKeys: readonly (KeyFile & {
    readonly reusable: boolean;
    readonly ephemeral: boolean;
    readonly preapproved: boolean;
  })[];
  readonly apiCredentials: readonly (KeyFile & { readonly scopes: readonly string[] })[];
}

const readCommon = (file: KeyFile, list: string, i: number, reading: Reading) => {
  if (file.owner !== undefined && file.tags !== undefined) {
    reading.report({
      code: 'config/conflicting-fields',
      span: reading.keyAt(list, i, 'tags'),
      message: 'A key has an owner or tags, not both.',
      help: 'A node with tags has no owner. Keep `owner` or `tags`.',
      related: [{ span: reading.keyAt(list, i, 'owner'), message: 'the owner' }],
    });
  } else if (file.owner === undefined && file.tags === undefined) {
    reading.report({
      code: 'config/missing-field',
      span: reading.at(list, i, 'id'),
      message: 'The key says neither `owner` nor `tags`.',
      help: "Say whose nodes it makes: owner: 'alice@example.com', or tags: ['tag:server'].",
    });
  }
  return {
    id: file.id,
    sha256: file.hash.slice('sha256:'.length),
    ...(file.owner === undefined ? {} : { owner: file.owner as Login }),
    tags: (file.tags ?? []) as readonly Tag[],
    expiresMs: file.expires === undefined ? null : (parseMoment(file.expires, 'end') ?? null),
    description: file.description,
    at: reading.at(list, i),
  };
};

export const readKeys = (value: unknown, reading: Reading): KeysDocument => {
  const file = value as KeysFile;
  for (const list of ['authKeys', 'apiCredentials'] as const) {
    reportDuplicates(
      reading,
      file[list].map(({ id }, i) => ({ key: id, span: reading.at(list, i, 'id') })),
      (id) => `The id \`${id}\` is given twice.`,
    );
    reportDuplicates(
      reading,
      file[list].map(({ hash }, i) => ({ key: hash, span: reading.at(list, i, 'hash') })),
      () => 'Two keys have the same secret.',
    );
  }
  return {
    authKeys: file.authKeys.map((key, i) => ({
      ...readCommon(key, 'authKeys', i, reading),
      reusable: key.reusable,
      ephemeral: key.ephemeral,
      preapproved: key.preapproved,
    })),
    apiCredentials: file.apiCredentials.map((key, i) => ({
      ...readCommon(key, 'apiCredentials', i, reading),
      scopes: key.scopes,
    })),
  };
};
