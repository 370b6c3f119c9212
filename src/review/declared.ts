// Differences in what is declared, outside the rules of access: people, routes, names, keys, nodes, relays, settings. Each
// is one line for a person, with its place.

import { isExitRoute, type Prefix } from '../base/address.ts';
import { canonicalJson, type Json } from '../base/canonical.ts';
import type { NodeSelector } from '../config/selector.ts';
import { formatDuration } from '../base/duration.ts';
import type { Snapshot, User } from '../snapshot/snapshot.ts';
import type { Comparison } from './comparison.ts';
import { policyChanges } from './declared-policy.ts';
import { diffList, plain, same, type DeclaredChange } from './differences.ts';
import { nameOfNode } from './tailnet.ts';

/** Parts of texts by which their risk is judged. */
export const ENABLED_AGAIN = 'enabled again';
/** In the text of a route that leads to the internet. */
export const EXIT_NODE = 'the internet (exit node)';

/** A selector in words. */
const nodeText = (selector: NodeSelector): string => {
  if (selector.by === 'id') return `node ${selector.id}`;
  if (selector.by === 'owner') return `${selector.name} of ${selector.owner}`;
  return selector.name === undefined ? `every ${selector.tag}` : `${selector.name} with ${selector.tag}`;
};

/** The path of such a URL is often a secret of its receiver's. */
const hostOf = (url: string): string => URL.parse(url)?.host ?? url;

const article = (role: string): string => (/^[aeiou]/.test(role) ? `an ${role}` : `a ${role}`);

const sameLogin = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();
/** Null where the login stands for it. */
const nameOf = ({ displayName, login }: User): string | null => (displayName === login ? null : displayName);

const peopleChanges = (old: User, now: User): readonly string[] => [
  ...(sameLogin(old.login, now.login) ? [] : [`${old.login} is ${now.login} from now on, and keeps their machines`]),
  ...(old.disabled === now.disabled
    ? []
    : [`${now.login} is ${now.disabled ? 'disabled: their machines are cut off' : ENABLED_AGAIN}`]),
  ...(old.role === now.role ? [] : [`${now.login} was ${article(old.role)} and becomes ${article(now.role)}`]),
  ...(old.subject === now.subject ? [] : [`${now.login} is tied to another subject of the identity provider`]),
  ...(nameOf(old) === nameOf(now) ? [] : [`${now.login} is called ${now.displayName}`]),
  ...now.formerly.flatMap((login) =>
    [old.login, ...old.formerly].some((known) => sameLogin(known, login))
      ? []
      : [`machines that joined as ${login} belong to ${now.login}`],
  ),
];

const routeText = ({ subnets, exitNode }: Snapshot['routes'][number]): string =>
  [...subnets, ...(exitNode ? [EXIT_NODE] : [])].join(', ');

const carriedText = (routes: readonly Prefix[]): string =>
  [...routes.filter((route) => !isExitRoute(route)), ...(routes.some(isExitRoute) ? [EXIT_NODE] : [])].join(', ');

const ownerOf = ({ owner, tags }: { readonly owner?: string; readonly tags: readonly string[] }): string =>
  owner ?? tags.join(', ');

/** Fields of an object that differ, one line each, with their values where these are short. */
const fieldChanges = (prefix: string, old: object, now: object): string[] => {
  const show = (value: Json | undefined): string => {
    const text = value === undefined ? 'nothing' : typeof value === 'string' ? value : canonicalJson(value);
    return text.length > 60 ? `${text.slice(0, 57)}…` : text;
  };
  const [a, b] = [plain(old) as Record<string, Json>, plain(now) as Record<string, Json>];
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].sort().flatMap((name) => {
    const [from, to] = [a[name], b[name]];
    if (canonicalJson(from ?? null) === canonicalJson(to ?? null)) return [];
    const isObject = (value: unknown): value is object =>
      value !== null && typeof value === 'object' && !Array.isArray(value);
    if (isObject(from) && isObject(to)) return fieldChanges(`${prefix}${name}.`, from, to);
    if (name.endsWith('Ms')) {
      const time = (value: Json | undefined): string => (typeof value === 'number' ? formatDuration(value) : 'never');
      return [`${prefix}${name.slice(0, -2)}: ${time(from)} → ${time(to)}`];
    }
    return [`${prefix}${name}: ${show(from)} → ${show(to)}`];
  });
};

const resolvers = (list: Snapshot['dns']['nameservers']): string => list.map(({ address }) => address).join(', ');

const dnsChanges = (before: Snapshot['dns'], after: Snapshot['dns']): DeclaredChange[] => {
  const turned = (name: string, was: boolean, is: boolean): DeclaredChange[] =>
    was === is ? [] : [{ area: 'dns', kind: 'changed', text: `${name} is turned ${is ? 'on' : 'off'}` }];
  const texts = (list: readonly string[]) => list.map((text) => ({ text }));
  return [
    ...turned('MagicDNS', before.magicDns, after.magicDns),
    ...turned('the replacement of local nameservers', before.overrideLocalDns, after.overrideLocalDns),
    ...diffList({
      area: 'dns',
      before: before.nameservers,
      after: after.nameservers,
      keyOf: ({ address }) => address,
      atOf: ({ at }) => at,
      added: ({ address }) => `names are asked of ${address}`,
      removed: ({ address }) => `names are no longer asked of ${address}`,
      changed: (_was, { address, useWithExitNode }) => [
        `${address} is ${useWithExitNode ? 'used' : 'not used'} while an exit node is in use`,
      ],
    }),
    ...diffList({
      area: 'dns',
      before: before.splitDns,
      after: after.splitDns,
      keyOf: ({ suffix }) => suffix,
      atOf: ({ at }) => at,
      added: ({ suffix, nameservers }) =>
        `names of ${suffix} are asked of ${resolvers(nameservers) || 'the tailnet alone'}`,
      removed: ({ suffix }) => `names of ${suffix} are asked like all others`,
      changed: (was, { suffix, nameservers }) => [
        `names of ${suffix} are asked of ${resolvers(nameservers) || 'the tailnet alone'}; it was ${resolvers(was.nameservers) || 'the tailnet alone'}`,
      ],
    }),
    ...diffList({
      area: 'dns',
      before: texts(before.searchDomains),
      after: texts(after.searchDomains),
      keyOf: ({ text }) => text,
      atOf: () => undefined,
      added: ({ text }) => `short names are completed with ${text}`,
      removed: ({ text }) => `short names are no longer completed with ${text}`,
      changed: () => [],
    }),
    ...diffList({
      area: 'dns',
      before: before.extraRecords,
      after: after.extraRecords,
      keyOf: ({ name, type, value }) => `${name} ${type} ${value}`,
      atOf: ({ at }) => at,
      added: ({ name, value }) => `${name} leads to ${value}`,
      removed: ({ name, value }) => `${name} leads to ${value} no more`,
      changed: () => [],
    }),
  ];
};

/** Every difference in what is declared, by area. */
export const diffDeclared = ({ before: old, after: now }: Comparison): readonly DeclaredChange[] => {
  const [before, after] = [old.snapshot, now.snapshot];
  const nodes = [...now.nodes].flatMap(([id, { fqdn, approvedRoutes, addresses }]): DeclaredChange[] => {
    const was = old.nodes.get(id);
    if (!was) return [];
    const name = nameOfNode(now, id);
    const added = approvedRoutes.filter((route) => !was.approvedRoutes.includes(route));
    const removed = was.approvedRoutes.filter((route) => !approvedRoutes.includes(route));
    return [
      ...(added.length > 0
        ? [{ area: 'routes', kind: 'added', text: `${name} carries ${carriedText(added)}` } as const]
        : []),
      ...(removed.length > 0
        ? [{ area: 'routes', kind: 'removed', text: `${name} carries ${carriedText(removed)} no more` } as const]
        : []),
      ...(fqdn === was.fqdn ? [] : [{ area: 'dns', kind: 'changed', text: `${was.fqdn} becomes ${fqdn}` } as const]),
      ...(same(addresses, was.addresses)
        ? []
        : [{ area: 'nodes', kind: 'changed', text: `${fqdn} gets the addresses ${addresses.join(', ')}` } as const]),
    ];
  });
  const settingsOf = ({ tailnet }: Snapshot): object => ({
    ...tailnet,
    signers: undefined,
    invariants: undefined,
    notify: undefined,
  });
  return [
    ...diffList({
      area: 'people',
      before: before.users,
      after: after.users,
      // Who gets another login keeps the number of the first.
      keyOf: ({ id }) => String(id),
      atOf: ({ at }) => at,
      added: ({ login, role, formerly }) =>
        `${login} joins as ${article(role)}${formerly.length === 0 ? '' : `; machines that joined as ${formerly.join(', ')} belong to them`}`,
      removed: ({ login }) => `${login} leaves: their machines are cut off`,
      changed: peopleChanges,
    }),
    ...diffList({
      area: 'people',
      before: before.domainRules,
      after: after.domainRules,
      keyOf: ({ domain }) => domain,
      atOf: ({ at }) => at,
      added: ({ domain, role }) => `everybody of ${domain} may join, as ${article(role)}`,
      removed: ({ domain }) => `${domain} no longer brings people along`,
      changed: (_, { domain, role }) => [`people of ${domain} join as ${article(role)}`],
    }),
    ...diffList({
      area: 'routes',
      before: before.routes,
      after: after.routes,
      keyOf: ({ node }) => nodeText(node),
      atOf: ({ at }) => at,
      added: (route) => `${nodeText(route.node)} may carry ${routeText(route)}`,
      removed: (route) => `${nodeText(route.node)} may carry ${routeText(route)} no more`,
      changed: (was, route) => [`${nodeText(route.node)} may carry ${routeText(route)}; it was ${routeText(was)}`],
    }),
    ...nodes,
    ...dnsChanges(before.dns, after.dns),
    ...diffList({
      area: 'keys',
      before: [...before.authKeys.values()],
      after: [...after.authKeys.values()],
      keyOf: ({ id }) => id,
      atOf: ({ at }) => at,
      added: (key) =>
        `a ${key.reusable ? 'reusable' : 'single-use'} key «${key.id}» lets machines in for ${ownerOf(key)}`,
      removed: (key) => `the key «${key.id}» for ${ownerOf(key)} lets nobody in any more`,
      changed: (was, key) => fieldChanges(`key «${key.id}» `, was, key),
    }),
    ...diffList({
      area: 'keys',
      before: [...before.apiCredentials.values()],
      after: [...after.apiCredentials.values()],
      keyOf: ({ id }) => id,
      atOf: ({ at }) => at,
      added: (key) => `the credential «${key.id}» acts for ${ownerOf(key)}, within ${key.scopes.join(', ')}`,
      removed: (key) => `the credential «${key.id}» of ${ownerOf(key)} is withdrawn`,
      changed: (was, key) => fieldChanges(`credential «${key.id}» `, was, key),
    }),
    ...diffList({
      area: 'nodes',
      before: before.nodes,
      after: after.nodes,
      keyOf: ({ node }) => nodeText(node),
      atOf: ({ at }) => at,
      added: ({ node, ...rest }) => `${nodeText(node)} is declared: ${fieldChanges('', {}, rest).join('; ')}`,
      removed: ({ node }) => `${nodeText(node)} is no longer declared`,
      changed: (was, now) => fieldChanges(`${nodeText(now.node)} `, was, now),
    }),
    ...fieldChanges('', before.derp, after.derp).map((text) => ({ area: 'relays', kind: 'changed', text }) as const),
    ...diffList({
      area: 'relays',
      before: before.derpmap,
      after: after.derpmap,
      keyOf: ({ id }) => String(id),
      atOf: ({ at }) => at,
      added: ({ id, code }) => `derpmap.json5 has the region ${id} (${code})`,
      removed: ({ id, code }) => `derpmap.json5 no longer has the region ${id} (${code})`,
      changed: (was, now) => fieldChanges(`region ${now.id} (${now.code}) `, was, now),
    }),
    ...fieldChanges('', settingsOf(before), settingsOf(after)).map(
      (text) => ({ area: 'settings', kind: 'changed', text }) as const,
    ),
    ...(same(before.tailnet.invariants, after.tailnet.invariants)
      ? []
      : [
          { area: 'settings', kind: 'changed', text: 'the invariants, which no commit may break, are others' } as const,
        ]),
    ...diffList({
      area: 'settings',
      before: before.tailnet.signers,
      after: after.tailnet.signers,
      keyOf: (signer) => signer.key,
      atOf: ({ at }) => at,
      added: ({ name }) => `${name} may sign commits`,
      removed: ({ name }) => `${name} may no longer sign commits`,
      changed: (was, signer) => fieldChanges(`signer ${signer.name} `, was, signer),
    }),
    ...diffList({
      area: 'settings',
      before: before.tailnet.notify,
      after: after.tailnet.notify,
      keyOf: ({ url }) => url,
      atOf: ({ at }) => at,
      added: ({ url, on }) => `${hostOf(url)} is told what becomes of commits${on ? ` (${on.join(', ')})` : ''}`,
      removed: ({ url }) => `${hostOf(url)} is no longer told what becomes of commits`,
      changed: (was, { url, on, secret }) => [
        ...(same(was.on, on) ? [] : [`${hostOf(url)} is told ${on?.join(', ') ?? 'everything'} about commits`]),
        ...(was.secret === secret ? [] : [`messages to ${hostOf(url)} are signed with another secret`]),
      ],
    }),
    ...policyChanges(before, after),
  ];
};
