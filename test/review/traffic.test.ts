// The law of the difference: it says «may now» or «may no more» exactly where the two evaluators answer differently, for
// every node and address, protocol and port. And it turns round when the sides do.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { runs } from '../policy/runs.ts';
import { parseAddress, type Address } from '../../src/base/address.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { hasBit } from '../../src/policy/bitset.ts';
import { createEvaluator, type Evaluator } from '../../src/policy/evaluate.ts';
import { createSide, type Side } from '../../src/review/side.ts';
import { diffTraffic } from '../../src/review/traffic.ts';
import { createFinder, createUnits } from '../../src/review/units.ts';
import { arbitraryNodes, arbitraryPolicy, compileText, nodeOf, userOf, type NodeSketch } from '../policy/world.ts';

const sideOf = (policy: string, nodes: readonly NodeSketch[]): Side | undefined => {
  const compiled = compileText(policy).policy;
  return compiled && createSide(compiled, nodes.map(nodeOf), userOf);
};

const PLACES = ['10.1.0.5', '10.2.0.1', '192.168.1.9', 'fd00:1::7', '8.8.8.8', '2001:db8::1', '100.64.0.200'].map(
  (text) => parseAddress(text) as Address,
);
const PROBES: readonly (readonly [protocol: number, port: number])[] = [
  [6, 22],
  [6, 80],
  [6, 443],
  [6, 91],
  [17, 53],
  [1, 0],
  [47, 0],
];

const evaluatorOf = ({ policy, nodes }: Side): Evaluator => createEvaluator(policy, nodes.values(), userOf);

/** A side as the evaluator asks: false for a party that isn't there. */
const allows = (
  side: Side,
  evaluator: Evaluator,
  source: NodeId | Address,
  destination: NodeId | Address,
  protocol: number,
  port: number,
): boolean => {
  const absent = (party: NodeId | Address): boolean => typeof party === 'number' && !side.nodes.has(party);
  const partyOf = (party: NodeId | Address) => (typeof party === 'number' ? { node: party } : { address: party });
  if (absent(source) || absent(destination)) return false;
  return evaluator.evaluate(partyOf(source), partyOf(destination), port, protocol).allowed;
};

test('the difference is exactly where the evaluators differ', () => {
  fc.assert(
    fc.property(
      arbitraryPolicy,
      arbitraryPolicy,
      arbitraryNodes,
      arbitraryNodes,
      (policyA, policyB, nodesA, nodesB) => {
        const before = sideOf(policyA, nodesA);
        const after = sideOf(policyB, nodesB);
        if (!before || !after) return;
        const units = createUnits(before, after);
        const find = createFinder(units);
        const changes = diffTraffic(before, after, units);
        const [was, is] = [evaluatorOf(before), evaluatorOf(after)];
        const nodes = [...new Set([...before.nodes.keys(), ...after.nodes.keys()])];
        for (const source of [...nodes, ...PLACES]) {
          for (const destination of [...nodes, ...PLACES]) {
            if (source === destination) continue;
            for (const [protocol, port] of PROBES) {
              const change = changes.find(
                (one) =>
                  one.destination === find(destination) &&
                  one.protocol === protocol &&
                  one.ports.First <= port &&
                  port <= one.ports.Last,
              );
              const at = find(source)?.index ?? -1;
              const old = allows(before, was, source, destination, protocol, port);
              const now = allows(after, is, source, destination, protocol, port);
              const question = `${source} to ${destination}, protocol ${protocol} port ${port}`;
              assert.equal(change !== undefined && hasBit(change.gained, at), now && !old, `gained: ${question}`);
              assert.equal(change !== undefined && hasBit(change.lost, at), old && !now, `lost: ${question}`);
            }
          }
        }
      },
    ),
    runs(150),
  );
});

test('gains and losses change places when the sides do', () => {
  fc.assert(
    fc.property(arbitraryPolicy, arbitraryPolicy, arbitraryNodes, (policyA, policyB, nodes) => {
      const before = sideOf(policyA, nodes);
      const after = sideOf(policyB, nodes);
      if (!before || !after) return;
      const summary = (one: Side, other: Side, swap: boolean): string[] =>
        diffTraffic(one, other, createUnits(one, other))
          .map(({ destination, protocol, ports, gained, lost }) => {
            const names = [gained, lost].map(({ words }) => words.join());
            const where = destination.kind === 'nodes' ? destination.members.join() : String(destination.sample);
            return `${where} ${protocol} ${ports.First}-${ports.Last} ${(swap ? names.reverse() : names).join(' ')}`;
          })
          .sort();
      assert.deepEqual(summary(before, after, false), summary(after, before, true));
    }),
    runs(60),
  );
});

test('a policy has no difference from itself', () => {
  fc.assert(
    fc.property(arbitraryPolicy, arbitraryNodes, (policy, nodes) => {
      const [one, same] = [sideOf(policy, nodes), sideOf(policy, [...nodes].reverse())];
      if (one && same) assert.deepEqual(diffTraffic(one, same, createUnits(one, same)), []);
    }),
    runs(60),
  );
});
