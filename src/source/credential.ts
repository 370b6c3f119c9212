// How a git host knows us. Values come from files or the environment as Secrets and are turned into one Authorization
// header at the moment of a request; they are never part of a URL.

import type { Secret } from '../base/secret.ts';

export type Credential =
  /** A personal, project or fine-grained access token. */
  | { readonly kind: 'token'; readonly token: Secret<string> }
  /** A user name with a password, or a deploy token with its user name. */
  | { readonly kind: 'basic'; readonly username: string; readonly password: Secret<string> }
  /** A GitHub App: its private key signs a short-lived request for an installation token. */
  | {
      readonly kind: 'github-app';
      readonly appId: string;
      readonly installationId: string;
      readonly privateKeyPem: Secret<string>;
      /** `https://api.github.com`, or `https://HOST/api/v3` on GitHub Enterprise. */
      readonly apiUrl?: string;
    };
