// Rules about routes, names and relays: settings that are each right and lead nowhere together.

import {
  hostPrefix,
  parseAddress,
  parsePrefix,
  prefixBits,
  prefixContains,
  prefixesOverlap,
  prefixRange,
  type Address,
  type Prefix,
} from '../../base/address.ts';
import type { Span } from '../../base/diagnostic.ts';
import type { Nameserver } from '../../config/dns.ts';
import { isKnownDoh, isNextDnsProfile } from '../../config/doh.ts';
import { memberOf } from '../../config/located.ts';
import { TAILNET_RANGES } from '../../config/tailnet.ts';
import { appsOf, isConnectorOf } from '../../policy/connectors.ts';
import type { PolicyDocument } from '../../policy/document.ts';
import { TAILNET_SET } from '../../policy/ranges.ts';
import type { Selector } from '../../policy/selector.ts';
import { setCovers } from '../../base/ipset.ts';
import { relayRegions } from '../../snapshot/relays.ts';
import { accessRules } from './access.ts';
import { mayReach } from './coverage.ts';
import type { LintRule, LintSubject } from './rule.ts';

/** An app connector advertises the addresses that it finds, and those may be any. */
const areConnectors = (policy: PolicyDocument | null, approvers: readonly Selector[]): boolean => {
  const apps = appsOf(policy);
  return approvers.every(
    (selector) => selector.kind === 'tag' && apps.some((app) => isConnectorOf(app, [selector.tag])),
  );
};

interface Approval {
  readonly prefix: Prefix;
  readonly at: Span;
}

const approvals = ({ folder, policy }: LintSubject): Approval[] => [
  ...(folder.routes ?? []).flatMap(({ subnets, at }) => subnets.map((prefix) => ({ prefix, at }))),
  ...(policy?.autoApprovers.routes ?? []).filter(({ approvers }) => !areConnectors(policy, approvers)),
];

const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '169.254.0.0/16', 'fc00::/7', 'fe80::/10'].map(
  (text) => parsePrefix(text) as Prefix,
);

const routeWithoutAccess: LintRule = {
  code: 'lint/route-without-access',
  severity: 'warning',
  *check(subject) {
    const { policy } = subject;
    if (!policy || (!policy.acls && !policy.grants)) return;
    const destinations = accessRules(policy).flatMap(({ destinations }) =>
      destinations.map(({ selector }) => selector),
    );
    for (const { prefix, at } of approvals(subject)) {
      const range = prefixRange(prefix);
      if (destinations.some((selector) => mayReach(selector, range, policy))) continue;
      yield {
        span: at,
        message: `The subnet ${prefix} is approved, but no rule lets anybody reach it.`,
        help: 'Add a grant with the subnet as its destination, or remove the approval.',
      };
    }
  },
};

const exitWithoutAccess: LintRule = {
  code: 'lint/exit-node-without-access',
  severity: 'warning',
  *check({ policy, folder }) {
    if (!policy || (!policy.acls && !policy.grants)) return;
    const open = accessRules(policy).some(({ destinations }) =>
      destinations.some(
        ({ selector }) => selector.kind === 'internet' || selector.kind === 'any' || selector.kind === 'ipset',
      ),
    );
    if (open) return;
    const exits = [...(folder.routes ?? []).filter(({ exitNode }) => exitNode), ...policy.autoApprovers.exitNode];
    for (const { at } of exits) {
      yield {
        span: at,
        message: 'An exit node is approved, but no rule lets anybody use one.',
        help: 'Add a grant with the destination `autogroup:internet`.',
      };
    }
  },
};

const priorityWithoutExit: LintRule = {
  code: 'lint/priority-without-exit-node',
  severity: 'info',
  *check({ policy, folder }) {
    if (!folder.routes || !folder.nodes) return;
    if (folder.routes.some(({ exitNode }) => exitNode) || (policy?.autoApprovers.exitNode.length ?? 0) > 0) return;
    for (const { location, at } of folder.nodes) {
      if (location?.priority === undefined) continue;
      yield {
        span: at,
        message: 'A priority is for exit nodes, and none is approved.',
        help: 'Approve one in routes.json5 or in `autoApprovers.exitNode`, or remove the priority.',
      };
    }
  },
};

const overlappingRoutes: LintRule = {
  code: 'lint/overlapping-routes',
  severity: 'info',
  *check({ folder }) {
    // Two prefixes are apart or one holds the other, so in the order of their first addresses a stack knows all holders.
    const sorted = (folder.routes ?? [])
      .flatMap(({ subnets, at }) => subnets.map((prefix) => ({ prefix, at, range: prefixRange(prefix) })))
      .sort(
        ({ range: a }, { range: b }) => a.family - b.family || Number(a.first - b.first) || Number(b.last - a.last),
      );
    const holders: typeof sorted = [];
    for (const one of sorted) {
      while (holders.length > 0 && !prefixContains((holders.at(-1) as typeof one).prefix, one.prefix)) holders.pop();
      const holder = holders.findLast(({ prefix, at }) => prefix !== one.prefix && at !== one.at);
      if (holder) {
        yield {
          span: one.at,
          message: `${one.prefix} overlaps ${holder.prefix}, which another entry approves.`,
          help: 'The smaller one wins, and its traffic does not fall back to the larger one.',
          related: [{ span: holder.at, message: `approves ${holder.prefix}` }],
        };
      }
      if (holders.at(-1)?.prefix !== one.prefix) holders.push(one);
    }
  },
};

/** Shorter than a private range that people have. */
const isBroad = (prefix: Prefix): boolean => {
  const { family, length } = prefixBits(prefix);
  return length < (family === 4 ? 8 : 16);
};

const broadApprover: LintRule = {
  code: 'lint/broad-auto-approver',
  severity: 'warning',
  *check({ policy }) {
    for (const { prefix, approvers, at } of policy?.autoApprovers.routes ?? []) {
      if (isBroad(prefix) && !areConnectors(policy, approvers)) {
        yield {
          span: at,
          message: `${prefix} approves nearly every subnet that a router may think of.`,
          help: 'Name the ranges that you have.',
        };
      }
      const open = approvers.find(({ kind }) => kind === 'member');
      if (open) {
        yield {
          span: open.at,
          message: 'Every member can bring this subnet along and take its traffic.',
          help: 'Name a tag or a group of operators.',
        };
      }
    }
    const open = policy?.autoApprovers.exitNode.find(({ kind }) => kind === 'member');
    if (open)
      yield {
        span: open.at,
        message: 'Every member can become an exit node for all others.',
        help: 'Name a tag or a group of operators.',
      };
  },
};

const addressOf = ({ address }: Nameserver): Address | undefined =>
  parseAddress(address) ?? parseAddress(/^\[?([^\]]+?)\]?:\d+$/.exec(address)?.[1] ?? '');

const nameservers = ({ folder }: LintSubject): readonly Nameserver[] => [
  ...(folder.dns?.nameservers ?? []),
  ...(folder.dns?.splitDns ?? []).flatMap(({ nameservers }) => nameservers),
];

const resolverWithoutRoute: LintRule = {
  code: 'lint/resolver-without-route',
  severity: 'warning',
  *check(subject) {
    if (!subject.folder.routes) return;
    const routes = approvals(subject);
    for (const server of nameservers(subject)) {
      const address = addressOf(server);
      if (!address || !PRIVATE.some((range) => prefixContains(range, address))) continue;
      if (setCovers(TAILNET_SET, prefixRange(hostPrefix(address)))) continue;
      if (routes.some(({ prefix }) => prefixContains(prefix, address))) continue;
      yield {
        span: server.at,
        message: `No approved route leads to the nameserver ${address}.`,
        help: 'It answers only devices that are in its network. Approve the subnet in routes.json5.',
      };
    }
  },
};

const MAGIC_DNS = new Set(['100.100.100.100', 'fd7a:115c:a1e0::53']);

const dnsLoop: LintRule = {
  code: 'lint/dns-loop',
  severity: 'warning',
  *check(subject) {
    for (const server of nameservers(subject)) {
      const address = addressOf(server);
      if (!address || !MAGIC_DNS.has(address)) continue;
      yield {
        span: server.at,
        message: `${address} is the client's own resolver: it would ask itself.`,
        help: 'Name the server that it should ask.',
      };
    }
  },
};

const unknownDoh: LintRule = {
  code: 'lint/unknown-doh',
  severity: 'warning',
  *check(subject) {
    for (const { address, at } of nameservers(subject)) {
      if (!address.startsWith('https://') || isKnownDoh(address)) continue;
      yield {
        span: at,
        message: `Clients do not know the addresses of \`${new URL(address).host}\`, or no such path of it, and never ask it.`,
        help: 'They know Cloudflare, Google, Quad9, Mullvad, Wikimedia, Control D, CIRA and NextDNS. Give the address of a nameserver instead.',
      };
    }
  },
};

const NEXTDNS = 'nextdns:';

const nextDnsProfile: LintRule = {
  code: 'lint/nextdns-profile',
  severity: 'warning',
  *check({ policy }) {
    for (const { attributes, at } of policy?.nodeAttrs ?? []) {
      const own = attributes.filter((name) => name.startsWith(NEXTDNS) && name !== 'nextdns:no-device-info');
      for (const name of own) {
        if (isNextDnsProfile(name.slice(NEXTDNS.length))) continue;
        yield {
          span: at,
          message: `\`${name}\` names no profile of NextDNS, so it does nothing.`,
          help: 'A profile is in hex, such as `nextdns:abc123`; `nextdns:no-device-info` is the other one that there is.',
        };
      }
    }
  },
};

const under = (name: string, domain: string): boolean => name === domain || name.endsWith(`.${domain}`);

const splitOverBase: LintRule = {
  code: 'lint/split-dns-over-magicdns',
  severity: 'warning',
  *check({ folder }) {
    const base = folder.tailnet?.baseDomain;
    if (base === undefined || folder.dns?.magicDns !== true) return;
    for (const { suffix, nameservers, at } of folder.dns.splitDns) {
      if (!under(base, suffix) || nameservers.length === 0) continue;
      yield {
        span: at,
        message: `The names of the nodes end in \`${base}\`, which \`${suffix}\` holds.`,
        help: 'Names of nodes are answered first; give them a domain of their own so that nobody has to know.',
      };
    }
  },
};

const recordOverNode: LintRule = {
  code: 'lint/record-over-node',
  severity: 'warning',
  *check({ folder }) {
    const base = folder.tailnet?.baseDomain;
    if (base === undefined) return;
    for (const { name, at } of folder.dns?.extraRecords ?? []) {
      if (!under(name, base)) continue;
      yield {
        span: at,
        message: `\`${name}\` lies where the names of the nodes are.`,
        help: 'A node of that name would be hidden, or hide the record. Use another domain, or name the node in nodes.json5.',
      };
    }
  },
};

const repeatedRecord: LintRule = {
  code: 'lint/repeated-record',
  severity: 'warning',
  *check({ folder }) {
    const seen = new Map<string, Span>();
    const names = new Map<string, { readonly at: Span; readonly type: string }>();
    for (const { name, type, value, at } of folder.dns?.extraRecords ?? []) {
      const key = `${name} ${type} ${value}`;
      const equal = seen.get(key);
      const other = names.get(name);
      if (equal) {
        yield {
          span: at,
          message: `This record of \`${name}\` is given twice.`,
          help: 'Keep one of the two.',
          related: [{ span: equal, message: 'first given here' }],
          fix: { kind: 'remove', at },
        };
      } else if (other && (type === 'CNAME' || other.type === 'CNAME')) {
        yield {
          span: at,
          message: `\`${name}\` has a CNAME, and another record beside it.`,
          help: 'Keep the CNAME or the others.',
          related: [{ span: other.at, message: 'the other one' }],
        };
      }
      seen.set(key, at);
      if (!other || type === 'CNAME') names.set(name, { at, type });
    }
  },
};

const unwiseDomain: LintRule = {
  code: 'lint/unwise-base-domain',
  severity: 'warning',
  *check({ folder }) {
    const { tailnet } = folder;
    const root = folder.files.find(({ file }) => file === 'tailnet.json5')?.root;
    const at = root?.kind === 'object' ? root.members.find(({ key }) => key === 'baseDomain')?.value.span : undefined;
    if (!tailnet || !at) return;
    const base = tailnet.baseDomain;
    const why = under(base, 'ts.net')
      ? 'belongs to the hosted service, and clients treat it in ways of their own'
      : under(base, 'local')
        ? 'is for multicast DNS, so many devices never ask a resolver for it'
        : under(base, 'localhost')
          ? 'always means the device itself'
          : !base.includes('.')
            ? 'has one part, which resolvers take for a host name'
            : undefined;
    if (why !== undefined)
      yield {
        span: at,
        message: `\`${base}\` ${why}.`,
        help: 'Use a sub-domain of one that you own, or of `internal`.',
      };
  },
};

/** Names that the public DNS never has (RFC 6761, 6762, 8375; ICANN on `internal`), and what people use like them. */
const PRIVATE_ENDS = [
  'internal',
  'local',
  'localhost',
  'lan',
  'home',
  'corp',
  'intranet',
  'home.arpa',
  'test',
  'invalid',
  'example',
  'onion',
];

const privateHttps: LintRule = {
  code: 'lint/https-without-public-name',
  severity: 'warning',
  *check({ folder }) {
    const { tailnet } = folder;
    if (tailnet?.features.https !== true) return;
    const base = tailnet.baseDomain;
    const end = PRIVATE_ENDS.find((end) => under(base, end)) ?? (base.includes('.') ? undefined : base);
    const root = folder.files.find(({ file }) => file === 'tailnet.json5')?.root;
    const features = memberOf(root, 'features')?.value;
    const at = memberOf(features, 'https')?.value.span;
    if (end === undefined || !at) return;
    yield {
      span: at,
      message: `Certificate authorities give no certificates for names under \`${end}\`, which the public DNS does not have.`,
      help: 'Take a base domain under a domain that you own, or leave HTTPS off.',
    };
  },
};

/** A name that people register, as far as it can be told without a list of them. */
const WHOLE_DOMAIN = /^[^.]+\.(?:[^.]+|(?:ac|co|com|edu|gov|net|org)\.[a-z]{2})$/;

const wholeDomainHttps: LintRule = {
  code: 'lint/certificates-of-whole-domain',
  severity: 'warning',
  *check({ folder }) {
    const { tailnet } = folder;
    if (tailnet?.features.https !== true || !WHOLE_DOMAIN.test(tailnet.baseDomain)) return;
    const base = tailnet.baseDomain;
    if (PRIVATE_ENDS.some((end) => under(base, end))) return;
    const root = folder.files.find(({ file }) => file === 'tailnet.json5')?.root;
    const at = memberOf(root, 'baseDomain')?.value.span;
    if (!at) return;
    yield {
      span: at,
      message: `A machine that calls itself \`www\` could get a certificate for \`www.${base}\`.`,
      help: `Clients choose their names. Take a sub-domain that holds nothing else, such as \`tail.${base}\`.`,
    };
  },
};

const redundantSearch: LintRule = {
  code: 'lint/redundant-search-domain',
  severity: 'info',
  *check({ folder }) {
    const root = folder.files.find(({ file }) => file === 'dns.json5')?.root;
    const list = root?.kind === 'object' ? root.members.find(({ key }) => key === 'searchDomains')?.value : undefined;
    for (const item of list?.kind === 'array' ? list.items : []) {
      if (item.kind !== 'string' || item.value.toLowerCase() !== folder.tailnet?.baseDomain) continue;
      yield {
        span: item.span,
        message: 'The base domain is searched first by itself.',
        help: 'Remove it.',
        fix: { kind: 'remove', at: item.span },
      };
    }
  },
};

const noRelay: LintRule = {
  code: 'lint/no-relay',
  severity: 'warning',
  *check({ folder, policy }) {
    const root = folder.files.find(({ file }) => file === 'derp.json5')?.root;
    if (
      !root ||
      !folder.derp ||
      folder.derp.embedded ||
      folder.derp.fetch !== undefined ||
      relayRegions({ derp: folder.derp, derpmap: folder.derpmap ?? [], policy: policy?.derpMap }).some(({ nodes }) =>
        nodes.some(({ stunOnly }) => !stunOnly),
      )
    )
      return;
    yield {
      span: { ...root.span, end: root.span.start },
      message: 'There is no relay, so nodes that cannot reach each other directly never will.',
      help: 'Say `embedded: true`, or add a region.',
    };
  },
};

const VIA_RANGE = parsePrefix('fd7a:115c:a1e0:b1a::/64') as Prefix;

const hostOverTailnet: LintRule = {
  code: 'lint/host-over-tailnet',
  severity: 'warning',
  *check({ policy }) {
    for (const { name, literal, at } of policy?.hosts.values() ?? []) {
      const prefix = parsePrefix(literal);
      if (!prefix || prefixContains(VIA_RANGE, prefix)) continue;
      if (!Object.values(TAILNET_RANGES).some((range) => prefixesOverlap(range, prefix))) continue;
      yield {
        span: at,
        message: `\`${name}\` is ${literal}, where the nodes get their addresses.`,
        help: 'Which nodes it holds changes as they come and go. Use a tag or a group.',
      };
    }
  },
};

export const NETWORK_RULES: readonly LintRule[] = [
  routeWithoutAccess,
  exitWithoutAccess,
  priorityWithoutExit,
  overlappingRoutes,
  broadApprover,
  resolverWithoutRoute,
  dnsLoop,
  unknownDoh,
  nextDnsProfile,
  splitOverBase,
  recordOverNode,
  repeatedRecord,
  redundantSearch,
  unwiseDomain,
  privateHttps,
  wholeDomainHttps,
  noRelay,
  hostOverTailnet,
];
