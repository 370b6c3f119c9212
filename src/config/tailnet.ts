// tailnet.json5: what the tailnet is called, which addresses it hands out, what a node gets by default, and how far one
// commit may go. The one file that every tailnet folder has.

import { parsePrefix, prefixBits, prefixContains, type Prefix } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';
import { parseDuration, parseMoment } from '../base/duration.ts';
import { isOlderRelease, parseRelease } from '../base/release.ts';
import type { Release } from '../base/release.ts';
import { formats } from './formats.ts';
import type { Reading } from './reading.ts';

export interface TailnetSettings {
  /** The organisation's name, usually its domain: `example.com`. Clients show it as the tailnet. */
  readonly name: string;
  /** What clients show beside the name; the name itself where it is not given. */
  readonly displayName: string;
  /** MagicDNS base domain in lower case without the trailing dot; a node is `<name>.<baseDomain>`. */
  readonly baseDomain: string;
  /** Domains that `user:*@domain` and `localpart:*@domain` of the policy may name. */
  readonly domains: readonly string[];
  /** Where nodes get their addresses from. */
  readonly addresses: { readonly ipv4: Prefix; readonly ipv6: Prefix };
  readonly nodes: NodeDefaults;
  readonly clients: ClientReleases;
  readonly features: Features;
  readonly guard: GuardLimits;
  readonly invariants: readonly Invariant[];
  /** With at least one, every commit must be signed by one whom the commit before it lists. */
  readonly signers: readonly Signer[];
  readonly notify: readonly Receiver[];
}

export interface NodeDefaults {
  /** Life of a node key from its login; null means that keys don't expire. */
  readonly keyExpiryMs: number | null;
  /** How long an ephemeral node may be silent before it is removed. */
  readonly ephemeralTimeoutMs: number;
  /** `manual`: a new node waits for an administrator, whatever it joined by, unless its key is preapproved. */
  readonly approval: 'automatic' | 'manual';
  /** What clients do about their own updates where their user has not decided. */
  readonly autoUpdate: boolean;
}

/** Which releases of the client people are asked to run. */
export interface ClientReleases {
  /** Clients of older releases are told that there is an update; null tells nobody. */
  readonly latest: string | null;
  /** Those of releases before this one are told that it is for their security. */
  readonly secureFrom: string | null;
}

export interface Features {
  /** Files between the devices of one person. No grant of the policy language opens it between people. */
  readonly taildrop: boolean;
  /** Nodes may run the SSH server that the policy's `ssh` section governs. */
  readonly ssh: boolean;
  /** Nodes may ask for certificates of their MagicDNS names. */
  readonly https: boolean;
  /** Clients may use Tailnet Lock. */
  readonly tailnetLock: boolean;
}

/** What one commit may take away before it is held for a second look. */
export interface GuardLimits {
  /** Held when more than this share of the reachable pairs is lost, 0 to 100, and at least so many of them. */
  readonly pairsPercent: number;
  readonly pairsAtLeast: number;
  /** Held when every administrator loses access. */
  readonly administrators: boolean;
  /** Held when every exit node or subnet router in use is lost. */
  readonly routers: boolean;
  /** Held when one person loses all their nodes. */
  readonly userNodes: boolean;
}

/** Access that no commit may break; the same form as a test of the policy. */
export interface Invariant {
  readonly src: string;
  readonly proto?: string;
  readonly accept: readonly string[];
  readonly deny: readonly string[];
  readonly why?: string;
  readonly at: Span;
}

/** Whose signature on a commit counts. */
export interface Signer {
  /** Who it is, for reports. */
  readonly name: string;
  /** `ssh-ed25519 AAAA…`, or an armoured OpenPGP public key. */
  readonly key: string;
  /** The commit's own time must lie in here. */
  readonly validFromMs?: number;
  readonly validUntilMs?: number;
  readonly at: Span;
}

/** What became of a revision, or what a person did about it. */
export type Happening = 'taken' | 'held' | 'rejected' | 'rolled-back' | 'suspended' | 'resumed' | 'trusted';

/** A URL that is told what becomes of revisions. */
export interface Receiver {
  readonly url: string;
  /** Sealed for the server (keys/sealed.ts); it stays so in a snapshot. */
  readonly secret: string;
  /** Undefined: everything. */
  readonly on?: readonly Happening[];
  readonly at: Span;
}

/** What clients take for addresses of a tailnet (net/tsaddr: CGNATRange, TailscaleULARange). */
export const TAILNET_RANGES = { ipv4: '100.64.0.0/10' as Prefix, ipv6: 'fd7a:115c:a1e0::/48' as Prefix } as const;
/** Room for at least 62 nodes. */
const LONGEST = { ipv4: 26, ipv6: 122 } as const;

/** tailnet.json5 with its defaults, as the schema lets it through. */
interface TailnetFile {
  readonly name: string;
  readonly displayName?: string;
  readonly baseDomain: string;
  readonly domains?: readonly string[];
  readonly addresses: { readonly ipv4: string; readonly ipv6: string };
  readonly nodes: {
    readonly keyExpiry: string;
    readonly ephemeralTimeout: string;
    readonly approval: 'automatic' | 'manual';
    readonly autoUpdate: boolean;
  };
  readonly clients: { readonly latest?: string; readonly secureFrom?: string };
  readonly features: Features;
  readonly guard: GuardLimits;
  readonly invariants: readonly {
    readonly src: string;
    readonly proto?: string;
    readonly accept: readonly string[];
    readonly deny: readonly string[];
    readonly why?: string;
  }[];
  readonly signers: readonly {
    readonly name: string;
    readonly key: string;
    readonly validFrom?: string;
    readonly validUntil?: string;
  }[];
  readonly notify: readonly { readonly url: string; readonly secret: string; readonly on?: readonly Happening[] }[];
}

/** `never` or a length of time. */
export const expiryMs = (text: string): number | null => (text === 'never' ? null : (parseDuration(text) ?? null));

const readPrefix = (family: 'ipv4' | 'ipv6', text: string, reading: Reading): Prefix => {
  const prefix = parsePrefix(text) as Prefix;
  const range = TAILNET_RANGES[family];
  if (!prefixContains(range, prefix)) {
    reading.report({
      code: 'config/out-of-range',
      span: reading.at('addresses', family),
      message: `\`${text}\` is not within ${range}.`,
      help: 'Clients take only addresses of that range for addresses of a tailnet.',
    });
  } else if (prefixBits(prefix).length > LONGEST[family]) {
    reading.report({
      code: 'config/out-of-range',
      span: reading.at('addresses', family),
      message: `\`${text}\` has room for too few nodes.`,
      help: `The prefix may have a length of at most ${LONGEST[family]}.`,
    });
  }
  return prefix;
};

const readSigner = (file: TailnetFile['signers'][number], i: number, reading: Reading): Signer => {
  const from = file.validFrom === undefined ? undefined : parseMoment(file.validFrom, 'start');
  const until = file.validUntil === undefined ? undefined : parseMoment(file.validUntil, 'end');
  if (from !== undefined && until !== undefined && from > until) {
    reading.report({
      code: 'config/conflicting-fields',
      span: reading.at('signers', i, 'validUntil'),
      message: 'The signer is valid until a time before it is valid from.',
    });
  }
  return {
    name: file.name,
    key: file.key.trim(),
    ...(from === undefined ? {} : { validFromMs: from }),
    ...(until === undefined ? {} : { validUntilMs: until }),
    at: reading.at('signers', i),
  };
};

const readClients = ({ latest, secureFrom }: TailnetFile['clients'], reading: Reading): ClientReleases => {
  if (secureFrom !== undefined && (latest === undefined || isOlder(latest, secureFrom))) {
    reading.report({
      code: 'config/conflicting-fields',
      span: reading.at('clients', 'secureFrom'),
      message:
        latest === undefined
          ? '`secureFrom` needs `latest`: the release to update to.'
          : `\`latest\` is ${latest}, which \`secureFrom\` counts as not secure.`,
      help: 'Set `latest` to the newest release; clients older than it are told about it.',
    });
  }
  return { latest: latest ?? null, secureFrom: secureFrom ?? null };
};

const isOlder = (one: string, other: string): boolean =>
  isOlderRelease(parseRelease(one) as Release, parseRelease(other) as Release);

export const readTailnet = (value: unknown, reading: Reading): TailnetSettings => {
  const file = value as TailnetFile;
  file.invariants.forEach(({ accept, deny }, i) => {
    if (accept.length + deny.length > 0) return;
    reading.report({
      code: 'config/empty-entry',
      span: reading.at('invariants', i),
      message: 'This invariant asks for nothing.',
      help: 'Give it `accept` or `deny`.',
    });
  });
  return {
    name: file.name,
    displayName: file.displayName ?? file.name,
    baseDomain: file.baseDomain.toLowerCase(),
    domains: file.domains ?? (formats.domain.explain(file.name) === undefined ? [file.name] : []),
    addresses: {
      ipv4: readPrefix('ipv4', file.addresses.ipv4, reading),
      ipv6: readPrefix('ipv6', file.addresses.ipv6, reading),
    },
    nodes: {
      keyExpiryMs: expiryMs(file.nodes.keyExpiry),
      ephemeralTimeoutMs: parseDuration(file.nodes.ephemeralTimeout) as number,
      approval: file.nodes.approval,
      autoUpdate: file.nodes.autoUpdate,
    },
    clients: readClients(file.clients, reading),
    features: file.features,
    guard: file.guard,
    invariants: file.invariants.map((invariant, i) => ({ ...invariant, at: reading.at('invariants', i) })),
    signers: file.signers.map((signer, i) => readSigner(signer, i, reading)),
    notify: file.notify.map((receiver, i) => ({ ...receiver, at: reading.at('notify', i, 'secret') })),
  };
};
