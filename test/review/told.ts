// A plan read back: which node may now open what on which other, as its lines say. Every name of a line is taken for all
// that it means, so a law that holds a plan against the evaluators holds its names as well.

import { parseAddress, parseAddressBits, prefixRange, type Address, type Prefix } from '../../src/base/address.ts';
import type { Login, NodeId, StableId } from '../../src/base/ids.ts';
import { parseRevision, type Revision } from '../../src/base/ids.ts';
import { ipSetRanges } from '../../src/base/ipset.ts';
import { INTERNET_SET } from '../../src/policy/ranges.ts';
import type { PolicyUser } from '../../src/policy/facts.ts';
import type { AccessChange } from '../../src/review/access.ts';
import type { Party } from '../../src/review/naming.ts';
import { reviewTailnet, type ReviewedTailnet } from '../../src/review/tailnet.ts';
import { compileSnapshot } from '../../src/snapshot/compile.ts';
import { nodeOf, USERS, type NodeSketch } from '../policy/world.ts';

const USERS_FILE = JSON.stringify({ users: USERS.map(({ login, role }) => ({ login, role })) });
const TAILNET_FILE = JSON.stringify({
  name: 'example.com',
  baseDomain: 'tailnet.example.com',
  domains: ['example.com'],
});

/** A tailnet of a drawn policy with drawn nodes; undefined where the policy says nonsense. */
export const tailnetOf = (policy: string, sketches: readonly NodeSketch[]): ReviewedTailnet | undefined => {
  const { snapshot } = compileSnapshot({
    revision: parseRevision('1'.repeat(40)) as Revision,
    files: new Map(
      Object.entries({ 'policy.json5': policy, 'users.json5': USERS_FILE, 'tailnet.json5': TAILNET_FILE }).map(
        ([name, text]) => [name, Buffer.from(text)],
      ),
    ),
  });
  return (
    snapshot &&
    reviewTailnet(
      snapshot,
      sketches.map((sketch) => {
        const { id, tags, addresses, routableIPs, approvedRoutes, createdMs } = nodeOf(sketch);
        const login = typeof sketch.of === 'number' ? ((USERS[sketch.of] as PolicyUser).login as Login) : null;
        return {
          id,
          stableId: `n${id}` as StableId,
          name: `node${id}`,
          login,
          tags,
          addresses,
          hostinfo: { OS: sketch.os, RoutableIPs: routableIPs },
          attributes: {},
          approvedRoutes,
          createdMs,
          authorized: true,
        };
      }),
    )
  );
};

const holds = (name: string, address: Address): boolean => {
  const bits = parseAddressBits(address);
  if (!bits) return false;
  if (name === 'the internet') {
    return ipSetRanges(INTERNET_SET).some(
      ({ family, first, last }) => family === bits.family && first <= bits.bits && bits.bits <= last,
    );
  }
  const text = /\((.*)\)$/.exec(name)?.[1] ?? name;
  const [low = '', high] = text.split('-');
  const ends = [low, high ?? low].map((end) => parseAddressBits(end));
  const range = text.includes('/')
    ? prefixRange(text as Prefix)
    : { family: ends[0]?.family, first: ends[0]?.bits ?? 0n, last: ends[1]?.bits ?? 0n };
  return range.family === bits.family && range.first <= bits.bits && bits.bits <= range.last;
};

export type Asked = NodeId | Address;

/** Whether a name means a node of the tailnet, or an address that no node has. */
export const means = (tailnet: ReviewedTailnet, { kind, name, except = [] }: Party, asked: Asked): boolean => {
  if (except.some((party) => means(tailnet, party, asked))) return false;
  if (typeof asked !== 'number') return kind === 'addresses' && holds(name, asked);
  const node = tailnet.nodes.get(asked);
  if (!node) return false;
  const login = node.owner?.toLowerCase();
  switch (kind) {
    case 'everything':
      return true;
    case 'people':
      return (login === undefined) === (name === 'autogroup:tagged');
    case 'person':
      return login === name.toLowerCase();
    case 'group': {
      const members = tailnet.snapshot.policy.document?.groups.get(name)?.members ?? [];
      return members.some((member) => member.kind === 'user' && member.login.toLowerCase() === login);
    }
    case 'tag':
      return node.tags.includes(name as (typeof node.tags)[number]);
    case 'node':
      return node.fqdn === name;
    default:
      return false;
  }
};

/** Whether a line of `who` and `what` speaks of this pair. */
export const speaksOf = (
  tailnet: ReviewedTailnet,
  { who, what }: Pick<AccessChange, 'who' | 'what'>,
  source: Asked,
  destination: Asked,
): boolean =>
  who.some((party) => means(tailnet, party, source)) &&
  what.some((party) =>
    party.kind === 'own'
      ? typeof source === 'number' &&
        typeof destination === 'number' &&
        tailnet.nodes.get(source)?.owner !== null &&
        tailnet.nodes.get(source)?.owner === tailnet.nodes.get(destination)?.owner
      : means(tailnet, party, destination),
  );

const NUMBERS: Readonly<Record<string, number>> = { icmp: 1, tcp: 6, udp: 17, sctp: 132 };

export const carries = ({ traffic }: AccessChange, protocol: number, port: number): boolean =>
  traffic.some(
    (one) =>
      (NUMBERS[one.protocol] ?? Number(one.protocol)) === protocol &&
      one.ports.split(',').some((range) => {
        if (range === '*') return true;
        const [first = 0, last = first] = range.split('-').map(Number);
        return first <= port && port <= last;
      }),
  );

export const PLACES = ['10.1.0.5', '10.1.2.7', '10.2.0.1', '192.168.1.9', 'fd00:1::7', '8.8.8.8', '2001:db8::1'].map(
  (text) => parseAddress(text) as Address,
);
