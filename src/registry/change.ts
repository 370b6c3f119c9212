// What an event did, one entry per record. This is what the journal keeps and what subscribers hear: a change of a node
// names its fields, so that a reader knows what it can affect without comparing.

import type { Outcome } from '../base/outcome.ts';
import type { RemovalCause } from './event.ts';
import type { KeyRecord, KeyUse, LoginRecord, NodeField, NodeRecord } from './record.ts';

export type RegistryChange =
  | { readonly kind: 'node-added'; readonly node: NodeRecord }
  | {
      readonly kind: 'node-changed';
      readonly before: NodeRecord;
      readonly after: NodeRecord;
      /** Fields whose values differ; never empty. */
      readonly fields: readonly NodeField[];
    }
  | { readonly kind: 'node-removed'; readonly node: NodeRecord; readonly cause: RemovalCause }
  | { readonly kind: 'key'; readonly before: KeyRecord | null; readonly after: KeyRecord | null }
  | { readonly kind: 'key-use'; readonly before: KeyUse | null; readonly after: KeyUse | null }
  | { readonly kind: 'login'; readonly before: LoginRecord | null; readonly after: LoginRecord | null };

/** What a decision comes to. */
export type Changes = Outcome<readonly RegistryChange[]>;
