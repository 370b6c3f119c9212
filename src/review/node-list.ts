// A list of nodes for reviews: what `tailplane nodes export` writes and `tailplane plan --nodes` reads. It holds what policy
// and declarations look at and nothing secret: no keys, no endpoints. Fields that a hand-written list leaves out are filled
// in where that is harmless.

import { parseAddress, parsePrefix, type Address, type Prefix } from '../base/address.ts';
import type { Json } from '../base/canonical.ts';
import { parseLogin, parseNodeId, parseTag, stableIdOf, type StableId, type Tag } from '../base/ids.ts';
import { refuse, accept, type Outcome } from '../base/outcome.ts';
import type { RegisteredNode } from '../snapshot/resolve.ts';

export interface NodeList {
  readonly schema: 'node-list.schema.json';
  readonly nodes: readonly ListedNode[];
}

export interface ListedNode {
  readonly id: number;
  readonly stableId: string;
  readonly name: string;
  readonly user: string | null;
  readonly tags: readonly string[];
  readonly addresses: readonly string[];
  readonly advertisedRoutes: readonly string[];
  readonly approvedRoutes: readonly string[];
  readonly created: string;
  readonly authorized: boolean;
  /** It offers to be an app connector. */
  readonly appConnector?: boolean;
  readonly os: string;
  readonly osVersion: string;
  readonly version: string;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
}

const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '');

export const formatNodeList = (nodes: Iterable<RegisteredNode>): NodeList => ({
  schema: 'node-list.schema.json',
  nodes: Array.from(nodes, (node) => {
    const routes = node.hostinfo['RoutableIPs'];
    return {
      id: node.id,
      stableId: node.stableId,
      name: node.name,
      user: node.login,
      tags: node.tags,
      addresses: node.addresses,
      advertisedRoutes: Array.isArray(routes) ? routes.map(String) : [],
      approvedRoutes: node.approvedRoutes,
      created: new Date(node.createdMs).toISOString(),
      authorized: node.authorized,
      ...(node.hostinfo['AppConnector'] === true && { appConnector: true }),
      os: text(node.hostinfo['OS']),
      osVersion: text(node.hostinfo['OSVersion']),
      version: text(node.hostinfo['IPNVersion']),
      attributes: Object.fromEntries(Object.entries(node.attributes).map(([name, { value }]) => [name, value])),
    };
  }),
});

const MAX_NODES = 200_000;

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

const texts = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];

const readNode = (fields: Fields, index: number): Outcome<RegisteredNode> => {
  const bad = (what: string): Outcome<never> =>
    refuse(
      'review/bad-node-list',
      `Node ${index + 1} of the list${typeof fields['name'] === 'string' ? ` (${fields['name']})` : ''} ${what}.`,
    );
  const id = Number(fields['id'] ?? index + 1);
  if (!Number.isSafeInteger(id) || id <= 0) return bad('has no usable id');
  const tags = texts(fields['tags']).map((tag) => parseTag(tag));
  if (tags.includes(undefined)) return bad('has a tag that is no tag');
  const user = fields['user'] ?? fields['owner'] ?? null;
  const login = typeof user === 'string' && tags.length === 0 ? parseLogin(user) : undefined;
  if (tags.length === 0 && login === undefined) return bad('has neither an owner nor tags');
  const written = [...texts(fields['addresses']), ...texts([fields['ipv4'], fields['ipv6']])];
  const addresses = written.map((address) => parseAddress(address));
  if (addresses.length === 0 || addresses.includes(undefined)) return bad('has no usable addresses');
  const prefixes = (value: unknown): readonly (Prefix | undefined)[] => texts(value).map((route) => parsePrefix(route));
  const advertised = prefixes(fields['advertisedRoutes'] ?? fields['routableIPs']);
  const approved = prefixes(fields['approvedRoutes']);
  if (advertised.includes(undefined) || approved.includes(undefined)) return bad('has a route that is no prefix');
  const created = typeof fields['created'] === 'string' ? Date.parse(fields['created']) : 0;
  const name =
    typeof fields['name'] === 'string' && fields['name'] !== '' ? fields['name'].split('.')[0] : `node-${id}`;
  const nodeId = parseNodeId(id);
  const own = isFields(fields['attributes']) ? fields['attributes'] : {};
  return accept({
    id: nodeId,
    stableId: typeof fields['stableId'] === 'string' ? (fields['stableId'] as StableId) : stableIdOf(nodeId),
    name: name as string,
    login: login ?? null,
    tags: tags as Tag[],
    addresses: (addresses as Address[]).sort((a, b) => Number(a.includes(':')) - Number(b.includes(':'))),
    hostinfo: {
      ...(typeof fields['os'] === 'string' ? { OS: fields['os'] } : {}),
      ...(typeof fields['osVersion'] === 'string' ? { OSVersion: fields['osVersion'] } : {}),
      ...(typeof fields['version'] === 'string' ? { IPNVersion: fields['version'] } : {}),
      ...(fields['appConnector'] === true ? { AppConnector: true } : {}),
      RoutableIPs: [...new Set([...(advertised as Prefix[]), ...(approved as Prefix[])])],
    },
    attributes: Object.fromEntries(
      Object.entries(own).flatMap(([key, value]) =>
        typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? [[key, { value }]] : [],
      ),
    ),
    approvedRoutes: approved as Prefix[],
    createdMs: Number.isNaN(created) ? 0 : created,
    authorized: fields['authorized'] !== false,
  });
};

/** Reads a list, or what `tailplane nodes list --json` prints. */
export const parseNodeList = (json: string): Outcome<readonly RegisteredNode[]> => {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return refuse('review/bad-node-list', 'The list of nodes is not JSON.');
  }
  const list = isFields(value) ? value['nodes'] : value;
  if (!Array.isArray(list) || !list.every(isFields))
    return refuse('review/bad-node-list', 'The list of nodes is not a list of objects.');
  if (list.length > MAX_NODES) return refuse('review/bad-node-list', `The list holds more than ${MAX_NODES} nodes.`);
  const nodes: RegisteredNode[] = [];
  const seen = new Set<number>();
  for (const [index, fields] of list.entries()) {
    const node = readNode(fields, index);
    if (!node.ok) return node;
    if (seen.has(node.value.id))
      return refuse('review/bad-node-list', `Two nodes of the list have the id ${node.value.id}.`);
    seen.add(node.value.id);
    nodes.push(node.value);
  }
  return accept(nodes);
};
