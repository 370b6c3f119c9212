// The answers of the administration API, as the command line and other programs read them. Times are RFC 3339 in UTC.
// Nothing here is secret but `CreatedKey.key`, which is given once.

export interface NodeAnswer {
  readonly id: number;
  readonly stableId: string;
  /** The MagicDNS label. */
  readonly name: string;
  /** Fully qualified, without the trailing dot. */
  readonly fqdn: string;
  readonly hostname: string;
  /** The owner's login; null for a tagged node. */
  readonly user: string | null;
  readonly tags: readonly string[];
  readonly addresses: readonly string[];
  readonly online: boolean;
  readonly lastSeen: string | null;
  readonly created: string;
  /** Null: never. */
  readonly expires: string | null;
  readonly expired: boolean;
  readonly ephemeral: boolean;
  readonly authorized: boolean;
  readonly os: string;
  readonly version: string;
  readonly machineKey: string;
  readonly nodeKey: string;
  readonly advertisedRoutes: readonly string[];
  readonly approvedRoutes: readonly string[];
  readonly homeRelay: number;
  readonly endpoints: readonly string[];
}

/** What says that a route may be used. */
export interface RouteApprovalAnswer {
  readonly by: 'routes.json5' | 'autoApprovers' | 'run time';
  /** Null for a decision at run time. */
  readonly file: string | null;
  readonly line: number | null;
}

/**
 * `serving`: clients use this router, unless the policy steers them to another. `standing by`: it is alive and waits.
 * `offered`: an exit node that is alive. `silent`: connected, but doesn't answer.
 */
export type RouteState =
  'serving' | 'standing by' | 'offered' | 'silent' | 'offline' | 'not let in' | 'not approved' | 'not advertised';

export interface RouteAnswer {
  readonly route: string;
  readonly exitNode: boolean;
  /** The MagicDNS label of the router. */
  readonly node: string;
  readonly stableId: string;
  readonly owner: string | null;
  readonly tags: readonly string[];
  readonly approvedBy: readonly RouteApprovalAnswer[];
  readonly state: RouteState;
}

/** One machine more closely. */
export interface NodeDetails extends NodeAnswer {
  /** The release that tailnet.json5 asks for, where the machine runs an older one. */
  readonly update: { readonly release: string; readonly urgent: boolean } | null;
  /** Another machine that uses the same keys, if one asked in the last hour. */
  readonly copy: { readonly remote: string; readonly since: string; readonly last: string } | null;
  /** What the client says is wrong with it. */
  readonly health: readonly HealthAnswer[];
}

export interface HealthAnswer {
  readonly warning: string;
  readonly severity: string;
  readonly text: string;
  readonly since: string | null;
}

export interface PingAnswer {
  readonly node: string;
  readonly id: number;
  /** Where its connection comes from; null: it has none. */
  readonly from: string | null;
  readonly version: string;
  readonly homeRelay: number;
  readonly lastSeen: string | null;
  /** The machine that it pinged in turn. */
  readonly to: string | null;
  readonly steps: readonly PingStep[];
  /** Whether every step was answered. */
  readonly ok: boolean;
}

export interface PingStep {
  /** `stream` and `call` are asked by the server; the others are pings of the machine to the other one. */
  readonly what: 'stream' | 'call' | 'disco' | 'TSMP' | 'ICMP';
  readonly ok: boolean;
  readonly roundTripMs: number | null;
  /** `direct`, `relay` or `peer relay`; null where the client doesn't say. */
  readonly path: string | null;
  /** An address, or the code of a region. */
  readonly via: string | null;
  readonly problem: string | null;
}

export interface KeyAnswer {
  readonly id: string;
  readonly user: string | null;
  readonly tags: readonly string[];
  readonly reusable: boolean;
  readonly ephemeral: boolean;
  readonly created: string;
  readonly expires: string | null;
  readonly used: number;
  /** Where it stands: made at run time, or declared in keys.json5. */
  readonly origin: 'server' | 'declared';
  readonly state: 'usable' | 'used' | 'expired' | 'revoked';
  readonly description: string;
}

export interface CreatedKey extends KeyAnswer {
  /** The secret; this is the only time that anybody sees it. */
  readonly key: string;
}

/** A credential of keys.json5. */
export interface CredentialAnswer {
  readonly id: string;
  readonly user: string | null;
  readonly tags: readonly string[];
  readonly scopes: readonly string[];
  readonly expires: string | null;
  readonly state: 'usable' | 'expired' | 'without person';
  readonly description: string;
}

export interface StatusAnswer {
  readonly version: string;
  readonly url: string;
  readonly startedAt: string;
  readonly revision: string;
  readonly digest: string;
  /** `serving`, or what the newest revision is where it does not serve: held, rejected, suspended, rolled-back. */
  readonly state: string;
  readonly tailnet: string;
  readonly nodes: { readonly total: number; readonly online: number };
  /** Sentences on what is wrong now; empty when all is well. */
  readonly problems: readonly string[];
  /** What was decided at run time and is not in the repository. */
  readonly drift: readonly string[];
  readonly source: unknown;
  readonly reconcile: unknown;
  readonly registry: unknown;
  readonly relay: unknown;
  /** What `tailplane doctor` tries as a client would. */
  readonly selfTest: unknown;
}

export interface SessionAnswer {
  readonly node: number;
  readonly name: string;
  readonly remote: string;
  readonly capver: number;
  readonly since: string;
  readonly messages: number;
  readonly sentBytes: number;
  readonly lastSent: string | null;
  readonly state: string;
}

export interface TimelineAnswer {
  readonly at: string;
  readonly kind: string;
  readonly fields: readonly string[];
  readonly causes: readonly string[];
  readonly sizeBytes: number;
}

/** A machine that waits for a person to say yes. */
export interface LoginAnswer {
  readonly code: string;
  readonly hostname: string;
  readonly os: string;
  readonly version: string;
  readonly remote: string;
  readonly created: string;
  readonly expires: string;
  readonly state: string;
}

/** A shell that waits for a confirmation. */
export interface SshCheckAnswer {
  readonly code: string;
  readonly from: string;
  readonly user: string | null;
  readonly to: string;
  readonly as: string;
  readonly created: string;
  readonly expires: string;
}
