// One selector of the policy language, by kind. Identity selectors choose nodes; address selectors choose addresses and
// keep the literal as written, because the filter must carry exactly that literal.

import type { Span } from '../base/diagnostic.ts';
import type { IpRange } from '../base/ipset.ts';
import type { Tag } from '../base/ids.ts';
import type { Role } from './facts.ts';

export type Selector = SelectorKind & {
  /** As written, trimmed. */
  readonly text: string;
  readonly at: Span;
};

export type SelectorKind =
  /** `*`: the tailnet's own ranges and every approved subnet as a source, anything as a destination. */
  | { readonly kind: 'any' }
  /** The untagged devices of one person. */
  | { readonly kind: 'user'; readonly login: string }
  /** `user:*@domain`. */
  | { readonly kind: 'domain'; readonly domain: string }
  | { readonly kind: 'group'; readonly name: string }
  | { readonly kind: 'tag'; readonly tag: Tag }
  | { readonly kind: 'member' }
  | { readonly kind: 'tagged' }
  | { readonly kind: 'role'; readonly role: Role }
  /** Destination only: the source's own devices. */
  | { readonly kind: 'self' }
  /** Destination only: public addresses through an exit node. */
  | { readonly kind: 'internet' }
  /** Source only: any address at all. */
  | { readonly kind: 'danger-all' }
  /** Source only: people of other tailnets. There are none here, so it chooses nobody. */
  | { readonly kind: 'shared' }
  /** An address, a prefix, or a host alias of either. */
  | {
      readonly kind: 'address';
      /** Canonical: `100.64.0.1` or `10.0.0.0/8`; a /32 or /128 is a plain address. */
      readonly literal: string;
      readonly range: IpRange;
      readonly host?: string;
    }
  | { readonly kind: 'ipset'; readonly name: string }
  /** `svc:name`. */
  | { readonly kind: 'service'; readonly name: string };
