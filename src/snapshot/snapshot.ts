// A Snapshot is one revision of the tailnet folder, checked and compiled: deep-frozen, swapped by one assignment, held by
// one reference for a whole request. Everything declared that a client may ever notice is in here.

import type { Login, Revision, StableId, Tag, UserId } from '../base/ids.ts';
import type { DerpRegion, DerpSettings } from '../config/derp.ts';
import type { DnsSettings } from '../config/dns.ts';
import type { DeclaredApiCredential, DeclaredAuthKey } from '../config/keys.ts';
import type { NodeDeclaration } from '../config/nodes.ts';
import type { RouteApproval } from '../config/routes.ts';
import type { TailnetSettings } from '../config/tailnet.ts';
import type { DeclaredUser, DomainRule } from '../config/users.ts';
import type { CompiledPolicy } from '../policy/compile.ts';

export interface User extends DeclaredUser {
  readonly id: UserId;
}

export interface Snapshot {
  readonly revision: Revision;
  /** `sha256:<hex>` over the meaning of the files: the same whatever their order, comments, spacing or order of keys. */
  readonly digest: string;
  readonly tailnet: TailnetSettings;
  /** Sorted by login; the disabled ones too. */
  readonly users: readonly User[];
  readonly userById: ReadonlyMap<UserId, User>;
  /** By lower-cased login. */
  readonly userByLogin: ReadonlyMap<string, User>;
  /** The same by their lower-cased former logins: for what was registered under one. */
  readonly userByFormerLogin: ReadonlyMap<string, User>;
  readonly domainRules: readonly DomainRule[];
  /** Without a policy file: everything in the tailnet may talk to everything. */
  readonly policy: CompiledPolicy;
  /** The text as it stands in the repository; null without a policy file. */
  readonly policyFile: { readonly file: string; readonly text: string } | null;
  readonly routes: readonly RouteApproval[];
  readonly dns: DnsSettings;
  /** By id. */
  readonly authKeys: ReadonlyMap<string, DeclaredAuthKey>;
  readonly apiCredentials: ReadonlyMap<string, DeclaredApiCredential>;
  readonly nodes: readonly NodeDeclaration[];
  readonly derp: DerpSettings;
  /** Of derpmap.json5. */
  readonly derpmap: readonly DerpRegion[];
}

/** What a selector looks at in a registered node. */
export interface SelectableNode {
  readonly stableId: StableId;
  /** The MagicDNS label that the node got from its own host name, not a declared one. */
  readonly label: string;
  /** Null exactly when the node is tagged. */
  readonly owner: Login | null;
  readonly tags: readonly Tag[];
}
