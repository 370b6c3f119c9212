// Laws of a whole plan, read back from its lines: it says that somebody gains or loses exactly where the evaluators of both
// sides answer differently; it turns round with its sides; and a change in two steps comes to the change in one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonicalJson, type Json } from '../../src/base/canonical.ts';
import { isExitRoute } from '../../src/base/address.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { createEvaluator, type Evaluator } from '../../src/policy/evaluate.ts';
import { EXIT_NODE } from '../../src/review/declared.ts';
import { isEmptyPlan, planChange, type Plan } from '../../src/review/plan.ts';
import type { ReviewedTailnet } from '../../src/review/tailnet.ts';
import { arbitraryNodes, arbitraryPolicy, type NodeSketch } from '../policy/world.ts';
import { runs } from '../policy/runs.ts';
import { createFinder, createUnits } from '../../src/review/units.ts';
import { carries, PLACES, speaksOf, tailnetOf, type Asked } from './told.ts';

const ICMP = 1;
const PROBES: readonly (readonly [protocol: number, port: number])[] = [
  [6, 22],
  [6, 80],
  [6, 91],
  [17, 53],
  [17, 9],
  [ICMP, 0],
  [47, 0],
];

/** What both sides say, straight from their documents. */
interface Truth {
  readonly tailnet: ReviewedTailnet;
  readonly evaluator: Evaluator;
}

const truthOf = (tailnet: ReviewedTailnet): Truth => {
  const { policy, nodes, userOf } = tailnet.side;
  return { tailnet, evaluator: createEvaluator(policy, nodes.values(), userOf) };
};

const reaches = ({ tailnet, evaluator }: Truth, source: Asked, destination: Asked, protocol: number, port: number) => {
  const party = (asked: Asked) => (typeof asked === 'number' ? { node: asked } : { address: asked });
  const isThere = (asked: Asked): boolean => typeof asked !== 'number' || tailnet.nodes.has(asked);
  if (!isThere(source) || !isThere(destination)) return false;
  return evaluator.evaluate(party(source), party(destination), port, protocol).allowed;
};

/** Every capability with each of its values, as texts. */
const held = ({ tailnet, evaluator }: Truth, source: NodeId, destination: NodeId): ReadonlySet<string> => {
  if (!tailnet.nodes.has(source) || !tailnet.nodes.has(destination)) return new Set();
  const texts = new Set<string>();
  for (const [name, { values }] of evaluator.evaluateCapabilities(source, destination)) {
    const none = values === null || values.length === 0;
    for (const value of none ? [undefined] : values)
      texts.add(`${name} ${value === undefined ? '' : canonicalJson(value)}`);
  }
  return texts;
};

const drawn = (policy: string, nodes: readonly NodeSketch[]): ReviewedTailnet => {
  const tailnet = tailnetOf(policy, nodes);
  fc.pre(tailnet !== undefined);
  return tailnet as ReviewedTailnet;
};

const everybody = (...tailnets: readonly ReviewedTailnet[]): NodeId[] => [
  ...new Set(tailnets.flatMap(({ nodes }) => [...nodes.keys()])),
];

/** What the lines of a plan say about one question: 'gained', 'lost', or nothing. */
const told = (
  plan: Plan,
  before: ReviewedTailnet,
  after: ReviewedTailnet,
  [source, destination, protocol, port]: readonly [Asked, Asked, number, number],
): string[] =>
  plan.access.flatMap((change) => {
    const speaks = speaksOf(change.direction === 'gained' ? after : before, change, source, destination);
    // Whoever may send anything may also ping; that goes without saying.
    return speaks && (protocol === ICMP || carries(change, protocol, port)) ? [change.direction] : [];
  });

/** Changes that were once told wrong. */
const KNOWN: readonly [string, string, readonly NodeSketch[], readonly NodeSketch[]][] = [
  // Two machines that are alike reach nobody of their own kind, though everybody else reaches both: not «every machine».
  [
    '{}',
    JSON.stringify({
      postures: { 'posture:linux': ["node:os == 'linux'"] },
      acls: [{ action: 'accept', src: ['*'], srcPosture: ['posture:linux'], dst: ['bob@example.com:*'] }],
    }),
    [{ id: 1, of: 0, os: 'linux' }],
    [
      { id: 1, of: ['tag:a'], approved: ['0.0.0.0/0', '::/0'], os: 'linux' },
      { id: 2, of: ['tag:a'], os: 'linux' },
      { id: 3, of: 0, os: 'linux' },
      { id: 4, of: 0, approved: ['0.0.0.0/0', '::/0'], os: 'linux' },
      { id: 5, of: 1, os: 'macOS' },
      { id: 6, of: 1, os: 'macOS' },
    ],
  ],
];

test('a plan tells of gains and losses exactly where the evaluators differ, and of nothing where they agree', () => {
  fc.assert(
    fc.property(
      arbitraryPolicy,
      arbitraryPolicy,
      arbitraryNodes,
      arbitraryNodes,
      (policyA, policyB, nodesA, nodesB) => {
        const [before, after] = [drawn(policyA, nodesA), drawn(policyB, nodesB)];
        const plan = planChange(before, after, { imagined: false });
        const [was, is] = [truthOf(before), truthOf(after)];
        const nodes = everybody(before, after);
        const find = createFinder(createUnits(before.side, after.side));
        let differs = false;
        for (const source of [...nodes, ...PLACES]) {
          for (const destination of [...nodes, ...PLACES]) {
            // What goes on inside a subnet is nobody's business here.
            if (source === destination || (typeof source === 'string' && find(source) === find(destination))) continue;
            const pings = new Set<string>();
            for (const [protocol, port] of PROBES) {
              const old = reaches(was, source, destination, protocol, port);
              const now = reaches(is, source, destination, protocol, port);
              const truth = old === now ? [] : [now ? 'gained' : 'lost'];
              differs ||= truth.length > 0;
              const said = [...new Set(told(plan, before, after, [source, destination, protocol, port]))];
              if (protocol === ICMP) for (const one of said) pings.add(one);
              const question = `${source} to ${destination}, protocol ${protocol} port ${port}`;
              if (protocol !== ICMP) assert.deepEqual(said, truth, question);
              else for (const one of truth) assert.ok(pings.has(one), question);
            }
          }
        }
        if (differs) assert.ok(plan.access.length > 0);
        assert.equal(isEmptyPlan(planChange(after, after, { imagined: false })), true);
      },
    ),
    { ...runs(25), examples: KNOWN.map(([...one]) => one) },
  );
});

test('capabilities are told for exactly the pairs of nodes that hold others than before', () => {
  fc.assert(
    fc.property(
      arbitraryPolicy,
      arbitraryPolicy,
      arbitraryNodes,
      arbitraryNodes,
      (policyA, policyB, nodesA, nodesB) => {
        const [before, after] = [drawn(policyA, nodesA), drawn(policyB, nodesB)];
        const { capabilities } = planChange(before, after, { imagined: false });
        const [was, is] = [truthOf(before), truthOf(after)];
        const nodes = everybody(before, after);
        for (const source of nodes) {
          for (const destination of nodes) {
            if (source === destination) continue;
            const said = capabilities.flatMap((change) => {
              const { direction, capability, values } = change;
              if (!speaksOf(direction === 'gained' ? after : before, change, source, destination)) return [];
              return (values.length === 0 ? [''] : values.map((value) => canonicalJson(value))).map(
                (value) => `${direction} ${capability} ${value}`,
              );
            });
            const [old, now] = [held(was, source, destination), held(is, source, destination)];
            const truth = [
              ...[...now].filter((text) => !old.has(text)).map((text) => `gained ${text}`),
              ...[...old].filter((text) => !now.has(text)).map((text) => `lost ${text}`),
            ];
            assert.deepEqual(said.sort(), truth.sort(), `${source} on ${destination}`);
          }
        }
      },
    ),
    runs(60),
  );
});

test('routes and exit nodes are told for exactly the nodes that carry others than before', () => {
  fc.assert(
    fc.property(arbitraryPolicy, arbitraryNodes, arbitraryNodes, (policy, nodesA, nodesB) => {
      const [before, after] = [drawn(policy, nodesA), drawn(policy, nodesB)];
      const said = planChange(before, after, { imagined: false }).declared.filter(({ area }) => area === 'routes');
      const carried = ({ side: { population } }: ReviewedTailnet, id: NodeId): string[] => {
        const { allowedIPs, addresses } = population.selfView(id);
        const routes = allowedIPs.slice(addresses.length);
        return [...routes.filter((route) => !isExitRoute(route)), ...(routes.some(isExitRoute) ? [EXIT_NODE] : [])];
      };
      const truth = everybody(before).flatMap((id) => {
        if (!after.nodes.has(id)) return [];
        const [old, now] = [carried(before, id), carried(after, id)];
        const name = after.nodes.get(id)?.fqdn ?? '';
        return [
          ...now.filter((route) => !old.includes(route)).map((route) => `added ${name} ${route}`),
          ...old.filter((route) => !now.includes(route)).map((route) => `removed ${name} ${route}`),
        ];
      });
      const lines = said.flatMap(({ kind, text }) => {
        const [, name = '', list = ''] = /^(\S+) carries (.*?)(?: no more)?$/.exec(text) ?? [];
        return list.split(', ').map((route) => `${kind} ${name} ${route}`);
      });
      assert.deepEqual(lines.sort(), truth.sort());
    }),
    runs(50),
  );
});

/** A plan without order and causes, its sides changed where asked for. */
const linesOf = ({ access, shells, capabilities, nodes, declared }: Plan, turned: boolean): string[] => {
  const turn = (direction: string): string => (!turned ? direction : direction === 'gained' ? 'lost' : 'gained');
  const kinds: Readonly<Record<string, string>> = turned ? { added: 'removed', removed: 'added' } : {};
  const names = (parties: readonly { readonly name: string }[]): string[] => parties.map(({ name }) => name).sort();
  const lines: Json[] = [
    ...access.map(({ direction, who, what, traffic, pairs }) => [
      turn(direction),
      names(who),
      names(what),
      traffic.map(({ protocol, ports }) => `${protocol} ${ports}`).sort(),
      pairs,
    ]),
    ...shells.map(({ from, to, who, what, logins }) => [
      ...(turned ? [to, from] : [from, to]),
      names(who),
      names(what),
      [...logins].sort(),
    ]),
    ...capabilities.map(({ direction, capability, values, who, what }) => [
      turn(direction),
      capability,
      [...values],
      names(who),
      names(what),
    ]),
    ...[nodes.added, nodes.removed].map((list, i) => [(i === 0) === turned ? 'removed' : 'added', [...list].sort()]),
    ...declared.map(({ area, kind, text }) => [area, kinds[kind] ?? kind, text.replace(/ no more$/, '')]),
  ];
  return lines.map((line) => canonicalJson(line)).sort();
};

test('gains and losses of every kind change places when the sides do', () => {
  fc.assert(
    fc.property(
      arbitraryPolicy,
      arbitraryPolicy,
      arbitraryNodes,
      arbitraryNodes,
      (policyA, policyB, nodesA, nodesB) => {
        const [one, other] = [drawn(policyA, nodesA), drawn(policyB, nodesB)];
        const there = planChange(one, other, { imagined: false });
        const back = planChange(other, one, { imagined: false });
        assert.deepEqual(linesOf(there, false), linesOf(back, true));
      },
    ),
    runs(50),
  );
});

test('a change in two steps comes to the change in one', () => {
  fc.assert(
    fc.property(
      fc.tuple(arbitraryPolicy, arbitraryPolicy, arbitraryPolicy),
      fc.tuple(arbitraryNodes, arbitraryNodes, arbitraryNodes),
      (policies, sketches) => {
        const [first, second, third] = policies.map((policy, i) => drawn(policy, sketches[i] ?? [])) as [
          ReviewedTailnet,
          ReviewedTailnet,
          ReviewedTailnet,
        ];
        const plan = (from: ReviewedTailnet, to: ReviewedTailnet) => planChange(from, to, { imagined: false });
        const steps = [
          [plan(first, second), first, second],
          [plan(second, third), second, third],
        ] as const;
        const whole = plan(first, third);
        const nodes = everybody(first, second, third);
        for (const source of [...nodes, ...PLACES]) {
          for (const destination of [...nodes, ...PLACES]) {
            if (source === destination || (typeof source === 'string' && typeof destination === 'string')) continue;
            for (const [protocol, port] of PROBES) {
              if (protocol === ICMP) continue;
              const question = [source, destination, protocol, port] as const;
              // What is gained and lost again, or lost and gained again, was never changed.
              const said = steps.flatMap(([one, from, to]) => [...new Set(told(one, from, to, question))]);
              const sum = said.length === 2 ? [] : said;
              assert.deepEqual([...new Set(told(whole, first, third, question))], sum, question.join(' '));
            }
          }
        }
      },
    ),
    runs(25),
  );
});
