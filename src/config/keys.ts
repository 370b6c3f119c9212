// keys.json5: pre-auth keys and API credentials by the hash of their secret. The secret itself is shown once, when the key
// is made, and never enters the repository.

import type { Span } from '../base/diagnostic.ts';
import type { Login, Tag } from '../base/ids.ts';

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
