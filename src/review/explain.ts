// One question about access, answered with its reason: may this reach that, and which line says so? The parties are named
// as people name them: a person, a group, a tag, a machine, a host of the policy, an address.

import { parseAddress, type Address } from '../base/address.ts';
import type { NodeId } from '../base/ids.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import { createEvaluator, type Party, type Verdict } from '../policy/evaluate.ts';
import type { ReviewedTailnet } from './tailnet.ts';

export interface Question {
  readonly source: string;
  readonly destination: string;
  readonly port: number;
  /** An IANA number. */
  readonly protocol: number;
}

export interface Explanation {
  readonly source: string;
  readonly destination: string;
  readonly verdict: Verdict;
}

/** Everything that the name means, each with a name of its own. */
export const resolveParty = (
  tailnet: ReviewedTailnet,
  name: string,
): Outcome<readonly (readonly [string, Party])[]> => {
  const { document } = tailnet.side.policy;
  const wanted = name.toLowerCase().replace(/\.$/, '');
  const address = parseAddress(name);
  const nodes = (which: (id: NodeId) => boolean): (readonly [string, Party])[] =>
    [...tailnet.nodes].flatMap(([id, { fqdn }]) => (which(id) ? [[fqdn, { node: id }] as const] : []));
  const found = ((): readonly (readonly [string, Party])[] => {
    if (address !== undefined) {
      const own = nodes((id) => tailnet.nodes.get(id)?.addresses.includes(address) === true);
      return own.length > 0 ? own : [[address, { address }]];
    }
    if (name.startsWith('tag:')) return nodes((id) => tailnet.nodes.get(id)?.tags.some((tag) => tag === name) === true);
    if (name.startsWith('group:')) {
      const members = new Set(
        document?.groups
          .get(name)
          ?.members.flatMap((member) => (member.kind === 'user' ? [member.login.toLowerCase()] : [])),
      );
      return nodes((id) => members.has(tailnet.nodes.get(id)?.owner?.toLowerCase() ?? ''));
    }
    const host = document?.hosts.get(name);
    if (host) {
      const first = parseAddress(host.literal.split('/')[0] ?? '') as Address;
      const own = nodes((id) => tailnet.nodes.get(id)?.addresses.includes(first) === true);
      return own.length > 0 ? own : [[`${name} (${first})`, { address: first }]];
    }
    if (name.includes('@')) return nodes((id) => tailnet.nodes.get(id)?.owner?.toLowerCase() === wanted);
    return nodes((id) => {
      const node = tailnet.nodes.get(id);
      return (
        node !== undefined &&
        (node.label === wanted || node.fqdn === wanted || node.record.stableId.toLowerCase() === wanted)
      );
    });
  })();
  if (found.length > 0) return accept(found);
  const what = name.startsWith('tag:')
    ? 'No machine carries'
    : name.includes('@') || name.startsWith('group:')
      ? 'No machine belongs to'
      : 'There is no machine or host';
  return refuse('review/unknown-party', `${what} «${name}».`);
};

const MAX_PAIRS = 10_000;

/** An answer for each pair that the names mean; a machine is not asked about itself. */
export const explain = (tailnet: ReviewedTailnet, question: Question): Outcome<readonly Explanation[]> => {
  const sources = resolveParty(tailnet, question.source);
  if (!sources.ok) return sources;
  const destinations = resolveParty(tailnet, question.destination);
  if (!destinations.ok) return destinations;
  if (sources.value.length * destinations.value.length > MAX_PAIRS) {
    return refuse('review/unknown-party', 'The two names mean too many pairs of machines; name one machine.');
  }
  const { policy, nodes, userOf } = tailnet.side;
  const evaluator = createEvaluator(policy, nodes.values(), userOf);
  const isSame = (a: Party, b: Party): boolean => 'node' in a && 'node' in b && a.node === b.node;
  const pairs = sources.value.flatMap(([source, from]) =>
    destinations.value.flatMap(([destination, to]) => (isSame(from, to) ? [] : [{ source, from, destination, to }])),
  );
  return accept(
    pairs.map(({ source, from, destination, to }) => ({
      source,
      destination,
      verdict: evaluator.evaluate(from, to, question.port, question.protocol),
    })),
  );
};
