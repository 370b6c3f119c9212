// Differences in shells hold to the evaluator: whatever node may open a shell otherwise than before is told, and nothing is
// told where nothing changed. A check that was added or dropped counts as well.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { runs } from '../policy/runs.ts';
import { createEvaluator } from '../../src/policy/evaluate.ts';
import type { Tracer } from '../../src/review/causes.ts';
import type { Comparison } from '../../src/review/comparison.ts';
import { diffShells } from '../../src/review/shells.ts';
import { createSide, type Side } from '../../src/review/side.ts';
import type { ReviewedTailnet } from '../../src/review/tailnet.ts';
import { createUnits } from '../../src/review/units.ts';
import { bitsOf, type Bitset } from '../../src/policy/bitset.ts';
import { arbitraryNodes, arbitraryPolicy, compileText, nodeOf, userOf, type NodeSketch } from '../policy/world.ts';

const LOGINS = ['root', 'deploy', 'alice', 'bob', 'somebody'];

const sideOf = (policy: string, nodes: readonly NodeSketch[]): Side | undefined => {
  const compiled = compileText(policy).policy;
  return compiled && createSide(compiled, nodes.map(nodeOf), userOf);
};

const WITHOUT_CAUSES: Tracer = { access: () => [], shells: () => [], capability: () => [], attribute: () => [] };

/** Names that only count: the numbers of the nodes that a set means on a side. */
const compare = (before: Side, after: Side) => {
  const units = createUnits(before, after);
  const naming = (side: Side) => (set: Bitset) =>
    [...bitsOf(set)].flatMap((index) => {
      const unit = units[index];
      return unit?.kind === 'nodes'
        ? unit.members
            .filter((id) => side.nodes.has(id))
            .map((id) => ({ kind: 'node', name: String(id), nodes: 1 }) as const)
        : [];
    });
  const tailnet = (side: Side): ReviewedTailnet => ({ side, nodes: new Map(), snapshot: undefined as never });
  const comparison: Comparison = {
    before: tailnet(before),
    after: tailnet(after),
    units,
    names: { gained: naming(after), lost: naming(before) },
  };
  return diffShells(comparison, WITHOUT_CAUSES);
};

/** Changes that were once told wrong. */
const KNOWN: readonly [string, string, readonly NodeSketch[]][] = [
  // The client of a source is given rules that name nobody but itself: those let nobody in.
  [
    JSON.stringify({
      tagOwners: { 'tag:a': [] },
      ssh: [
        { action: 'accept', src: ['alice@example.com'], dst: ['tag:a'], users: ['root', 'localpart:*@example.com'] },
      ],
    }),
    JSON.stringify({
      ssh: [{ action: 'accept', src: ['alice@example.com'], dst: ['autogroup:self'], users: ['root'] }],
    }),
    [
      { id: 1, of: ['tag:a'] },
      { id: 2, of: 0 },
      { id: 3, of: 0 },
    ],
  ],
];

test('a change is told for exactly the pairs of nodes whose shells differ', () => {
  fc.assert(
    fc.property(arbitraryPolicy, arbitraryPolicy, arbitraryNodes, (policyA, policyB, nodes) => {
      const before = sideOf(policyA, nodes);
      const after = sideOf(policyB, nodes);
      if (!before || !after) return;
      const changes = compare(before, after);
      const told = (source: number, destination: number, login: string): string[] =>
        changes.flatMap((change) =>
          change.logins.includes(login) &&
          change.who.some(({ name }) => name === String(source)) &&
          change.what.some(({ name, kind }) => name === String(destination) || kind === 'own')
            ? [`${change.from} → ${change.to}`]
            : [],
        );
      const [was, is] = [before, after].map(({ policy, nodes: list }) =>
        createEvaluator(policy, list.values(), userOf),
      );
      for (const source of before.nodes.keys()) {
        for (const destination of before.nodes.keys()) {
          if (source === destination) continue;
          // `*` is told of logins that no rule on the destination names, as nobody names this one.
          const others = told(source, destination, '*');
          for (const login of LOGINS) {
            const from: string = was?.evaluateSsh(source, destination, login).action ?? '';
            const to: string = is?.evaluateSsh(source, destination, login).action ?? '';
            const truth: string[] = from === to ? [] : [`${from} → ${to}`];
            const named = told(source, destination, login);
            const said: string[] = login === 'somebody' || (named.length === 0 && truth.length > 0) ? others : named;
            assert.deepEqual(said, truth, `${source} to ${destination} as ${login}`);
          }
        }
      }
      if (policyA === policyB) assert.deepEqual(changes, []);
    }),
    { ...runs(600), examples: KNOWN.map(([...one]) => one) },
  );
});

test('the same policy has no difference in shells', () => {
  fc.assert(
    fc.property(arbitraryPolicy, arbitraryNodes, (policy, nodes) => {
      const [one, same] = [sideOf(policy, nodes), sideOf(policy, nodes)];
      if (one && same) assert.deepEqual(compare(one, same), []);
    }),
    runs(60),
  );
});
