// What a policy is applied to: people as declared, nodes as registered. Plain values, so that the server, the review and
// the tests build them alike.

import type { Address, Prefix } from '../base/address.ts';
import type { Json } from '../base/canonical.ts';
import type { Login, NodeId, StableId, Tag, UserId } from '../base/ids.ts';

export type Role = 'owner' | 'admin' | 'it-admin' | 'network-admin' | 'billing-admin' | 'auditor' | 'member';

export interface PolicyUser {
  readonly id: UserId;
  readonly login: Login;
  readonly role: Role;
}

export interface PolicyNode {
  readonly id: NodeId;
  readonly stableId: StableId;
  /** Fully qualified, without the trailing dot. */
  readonly name: string;
  /** The owner; null exactly when the node is tagged. */
  readonly user: UserId | null;
  readonly tags: readonly Tag[];
  /** IPv4 first. */
  readonly addresses: readonly Address[];
  /** What the node advertises. */
  readonly routableIPs: readonly Prefix[];
  /** Final: by hand, declared and automatic approval together. Includes exit routes. */
  readonly approvedRoutes: readonly Prefix[];
  readonly createdMs: number;
  /** False where a subnet router is known to be silent: it loses its primary routes. Absent counts as true. */
  readonly alive?: boolean;
  /**
   * Since when it carries each of `approvedRoutes`, in their order: numbers that only grow. Of several routers of a subnet,
   * the one that carried it for longest without a break comes first.
   */
  readonly carriesSince?: readonly number[];
  /** It offers to be an app connector, and the policy has an application for it. */
  readonly connector?: boolean;
  /** Posture attributes, `node:os` and so on; absent attributes are unset. */
  readonly posture?: ReadonlyMap<string, Json>;
}

export interface TailnetFacts {
  /** The tailnet's name, for example `example.com`. */
  readonly name: string;
  /** Domains that `user:*@domain` and `localpart:*@domain` may name; compared with case. */
  readonly domains: readonly string[];
  readonly users: readonly PolicyUser[];
  /** Whether nodes can get HTTPS certificates; absent: they cannot, and Funnel warns. */
  readonly httpsCertificates?: boolean;
}
