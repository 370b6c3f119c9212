// Differences in shells hold to the evaluator: whatever node may open a shell otherwise than before is told, and nothing is
// told where nothing changed. A check that was added or dropped counts as well.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createEvaluator } from '../../src/policy/evaluate.ts';
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
  return diffShells(comparison);
};

test('a change is told for every pair of nodes whose shells differ', () => {
  fc.assert(
    fc.property(arbitraryPolicy, arbitraryPolicy, arbitraryNodes, (policyA, policyB, nodes) => {
      const before = sideOf(policyA, nodes);
      const after = sideOf(policyB, nodes);
      if (!before || !after) return;
      const changes = compare(before, after);
      const told = (source: number, destination: number, from: string, to: string): boolean =>
        changes.some(
          (change) =>
            change.from === from &&
            change.to === to &&
            change.who.some(({ name }) => name === String(source)) &&
            change.what.some(({ name, kind }) => name === String(destination) || kind === 'own'),
        );
      const [was, is] = [before, after].map(({ policy, nodes: list }) =>
        createEvaluator(policy, list.values(), userOf),
      );
      for (const source of before.nodes.keys()) {
        for (const destination of before.nodes.keys()) {
          if (source === destination) continue;
          for (const login of LOGINS) {
            const from = was?.evaluateSsh(source, destination, login).action ?? '';
            const to = is?.evaluateSsh(source, destination, login).action ?? '';
            if (from !== to)
              assert.ok(
                told(source, destination, from, to),
                `${source} to ${destination} as ${login}: ${from} → ${to}`,
              );
          }
        }
      }
      if (policyA === policyB) assert.deepEqual(changes, []);
    }),
    { numRuns: 600 },
  );
});

test('the same policy has no difference in shells', () => {
  fc.assert(
    fc.property(arbitraryPolicy, arbitraryNodes, (policy, nodes) => {
      const [one, same] = [sideOf(policy, nodes), sideOf(policy, nodes)];
      if (one && same) assert.deepEqual(compare(one, same), []);
    }),
    { numRuns: 60 },
  );
});
