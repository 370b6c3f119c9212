// Laws that hold for every policy and tailnet. The compiled filter, the evaluator that reads the document, and a plain
// reading of the answers as a client does them must agree; no order of anything changes an answer; and a change applied
// leaves what building anew would give, touching nobody that it doesn't name.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { runs } from './runs.ts';
import { isExitRoute, type Address, type Prefix } from '../../src/base/address.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { formatRange, ipSetOfRanges, type IpSet } from '../../src/base/ipset.ts';
import type { CompiledPolicy } from '../../src/policy/compile.ts';
import { createEvaluator } from '../../src/policy/evaluate.ts';
import type { PolicyNode } from '../../src/policy/facts.ts';
import type { FilterRule } from '../../src/wire/filter.ts';
import { populate, type Population } from '../../src/policy/population.ts';
import { hostedFilterOf, hostedShellsOf } from './hosted.ts';
import { filterAccepts, rangeOf, sshAnswers, textHolds, textsOverlap } from './client.ts';
import {
  address,
  arbitraryNode,
  arbitraryNodes,
  arbitraryPolicy,
  compileText,
  nodeOf,
  userOf,
  type NodeSketch,
} from './world.ts';

const compiled = (text: string): CompiledPolicy | undefined => compileText(text).policy;

/** Every drawn policy that is valid, with nodes. Seeded by the library; a failure prints its seed and the small case. */
const forAllWorlds = (count: number, check: (policy: CompiledPolicy, nodes: readonly PolicyNode[]) => void): void => {
  fc.assert(
    fc.property(arbitraryPolicy, arbitraryNodes, (text, sketches) => {
      const policy = compiled(text);
      if (policy) check(policy, sketches.map(nodeOf));
      return policy !== undefined || fc.pre(false);
    }),
    runs(count),
  );
};

const OUTSIDE = ['10.1.0.7', '10.1.2.7', '10.9.9.9', '192.168.1.9', 'fd00:1::9', '8.8.8.8', '2600::1'].map(address);
const PROBES = [
  { port: 22, protocol: 6 },
  { port: 80, protocol: 6 },
  { port: 85, protocol: 6 },
  { port: 53, protocol: 17 },
  { port: 0, protocol: 1 },
  { port: 0, protocol: 47 },
];

const setText = ({ v4, v6 }: IpSet): string => [...v4, ...v6].map(formatRange).join(' ');

const familyOf = (text: Address): string => (text.includes(':') ? '6' : '4');

test('the compiled filter lets in exactly what the evaluator allows', () => {
  forAllWorlds(60, (policy, nodes) => {
    const population = populate(policy, nodes, userOf);
    const evaluator = createEvaluator(policy, nodes, userOf);
    const carriers = (to: Address): readonly PolicyNode[] => {
      const own = nodes.filter(({ addresses }) => addresses.includes(to));
      const by = (exit: boolean) => (node: PolicyNode) =>
        node.approvedRoutes.some((route) => isExitRoute(route) === exit && textHolds(route, to));
      const subnet = nodes.filter(by(false));
      return own.length > 0 ? own : subnet.length > 0 ? subnet : nodes.filter(by(true));
    };
    const everywhere = [...nodes.flatMap(({ addresses }) => addresses), ...OUTSIDE];
    for (const destination of everywhere) {
      for (const source of everywhere) {
        if (source === destination || familyOf(source) !== familyOf(destination)) continue;
        for (const probe of PROBES) {
          const packet = { source, destination, ...probe };
          const by = (filterOf: (id: NodeId) => readonly FilterRule[]): boolean =>
            carriers(destination).some(({ id }) => filterAccepts(filterOf(id), packet));
          const verdict = evaluator.evaluate({ address: source }, { address: destination }, probe.port, probe.protocol);
          const question = `${source} to ${destination}, ${JSON.stringify(probe)}`;
          assert.equal(
            by((id) => population.filterFor(id)),
            verdict.allowed,
            `hosted form: ${question}`,
          );
          assert.equal(
            by((id) => population.compactFilterFor(id)),
            verdict.allowed,
            `compact form: ${question}`,
          );
        }
      }
    }
  });
});

test('the filter in the words of the service is what the description says, to the letter', () => {
  fc.assert(
    fc.property(arbitraryPolicy, arbitraryNodes, (text, sketches) => {
      const { ssh: _, ...sections } = JSON.parse(text) as Record<string, unknown>;
      const plain = compiled(JSON.stringify(sections).replaceAll(/,"srcPosture":\[[^\]]*\]/g, ''));
      const document = plain?.document;
      fc.pre(document?.acls !== undefined || document?.grants !== undefined);
      if (!plain || !document) return;
      const nodes = sketches.map(nodeOf);
      const population = populate(plain, nodes, userOf);
      for (const node of nodes) {
        assert.deepEqual(population.filterFor(node.id), hostedFilterOf(document, nodes, userOf, node), `${node.id}`);
      }
    }),
    runs(100),
  );
});

test('the rules of SSH in the words of the service are what the description says, to the letter', () => {
  fc.assert(
    fc.property(arbitraryPolicy, arbitraryNodes, (text, sketches) => {
      const { ssh } = JSON.parse(text) as { readonly ssh?: readonly Record<string, unknown>[] };
      const plain = ssh?.map(({ action, src, dst, users }) => ({ action, src, dst, users }));
      const policy = compiled(JSON.stringify({ ...(JSON.parse(text) as object), grants: [], acls: [], ssh: plain }));
      const document = policy?.document;
      fc.pre(document !== undefined && document !== null && document.ssh.length > 0);
      if (!policy || !document) return;
      // What the service makes of a person with two devices, or of a device that is named twice, nobody knows.
      const seen = new Set<number>();
      const nodes = sketches.filter(({ of }) => typeof of !== 'number' || (!seen.has(of) && seen.add(of))).map(nodeOf);
      const twice = document.ssh.some(
        ({ sources }) => sources.some(({ kind }) => kind === 'tagged') && sources.some(({ kind }) => kind === 'tag'),
      );
      fc.pre(!twice);
      const population = populate(policy, nodes, userOf);
      for (const node of nodes) {
        const told = population.sshFor(node.id).rules.map(({ principals, sshUsers, action }) => ({
          principals: principals.map(({ nodeIP }) => nodeIP),
          sshUsers,
          check: action.accept !== true,
        }));
        assert.deepEqual(told, hostedShellsOf(document, nodes, userOf, node), `${node.id}`);
      }
    }),
    runs(150),
  );
});

test('compact sources are the same addresses in the fewest ranges', () => {
  forAllWorlds(100, (policy, nodes) => {
    const population = populate(policy, nodes, userOf);
    // `*` is everything, whatever stands beside it.
    const textOf = (texts: readonly string[]): string =>
      texts.includes('*') ? '*' : setText(ipSetOfRanges(texts.map(rangeOf)));
    for (const { id } of nodes) {
      const hosted = new Set(population.filterFor(id).map(({ SrcIPs }) => textOf(SrcIPs)));
      for (const { SrcIPs } of population.compactFilterFor(id)) {
        const text = textOf(SrcIPs);
        assert.ok(hosted.has(text), `${id}: ${SrcIPs.join(' ')}`);
        assert.equal(SrcIPs.length, text === '' ? 0 : text.split(' ').length, `${id}: ${SrcIPs.join(' ')}`);
      }
    }
  });
});

test('capabilities and SSH: the compiled answers are those of the evaluator', () => {
  forAllWorlds(250, (policy, nodes) => {
    const population = populate(policy, nodes, userOf);
    const evaluator = createEvaluator(policy, nodes, userOf);
    for (const { id, addresses } of nodes) {
      for (const peer of nodes) {
        if (peer.id === id) continue;
        const verdicts = evaluator.evaluateCapabilities(peer.id, id);
        const values = Object.fromEntries(Array.from(verdicts, ([name, verdict]) => [name, verdict.values]));
        assert.deepEqual(population.whois(id, peer.id), values, `capabilities of ${peer.id} on ${id}`);
        for (const user of ['root', 'deploy', 'alice', 'bob', 'other']) {
          const verdict = evaluator.evaluateSsh(peer.id, id, user);
          const question = `${peer.id} as ${user} on ${id}`;
          assert.equal(population.sshDecision(peer.id, id, user).action, verdict.action, question);
          const from = peer.addresses[0] ?? addresses[0];
          if (from)
            assert.equal(sshAnswers(population.sshFor(id), from, user), verdict.action, `by client: ${question}`);
        }
      }
    }
  });
});

/** Sections 2.10 and 2.11 of the language as they are written down, from the texts of the filters alone. */
const concerns = (population: Population, holder: PolicyNode, other: PolicyNode): boolean => {
  const own = [...other.addresses, ...other.approvedRoutes.filter((route) => !isExitRoute(route))];
  return population
    .filterFor(holder.id)
    .some(({ SrcIPs }) => SrcIPs.some((text) => own.some((one) => textsOverlap(text, one))));
};

const routerOf = (
  population: Population,
  nodes: readonly PolicyNode[],
  viewer: PolicyNode,
  route: Prefix,
): NodeId | undefined => {
  const routers = nodes
    .filter(({ approvedRoutes }) => approvedRoutes.includes(route))
    .sort((a, b) => Number(b.alive) - Number(a.alive) || a.createdMs - b.createdMs || a.id - b.id);
  const own = [...viewer.addresses, ...viewer.approvedRoutes.filter((one) => !isExitRoute(one))];
  const chosen = routers.find(({ id }) =>
    population
      .filterFor(id)
      .some(
        ({ SrcIPs, DstPorts }) =>
          SrcIPs.some((text) => own.some((one) => textsOverlap(text, one))) &&
          (DstPorts ?? []).some(({ IP }) => textsOverlap(IP, route)),
      ),
  );
  if (chosen) return chosen.id;
  const answers = population
    .filterFor(viewer.id)
    .some(({ SrcIPs }) => SrcIPs.some((text) => textsOverlap(text, route)));
  return answers || viewer.approvedRoutes.includes(route) ? routers[0]?.id : undefined;
};

test('peers and their routes follow from the filters', () => {
  forAllWorlds(250, (policy, nodes) => {
    const population = populate(policy, nodes, userOf);
    for (const viewer of nodes) {
      const peers = new Set(population.visiblePeers(viewer.id));
      assert.equal(population.visiblePeers(viewer.id).size, peers.size);
      assert.equal(population.sees(viewer.id, viewer.id), false);
      for (const peer of nodes) {
        if (peer === viewer) continue;
        const visible = concerns(population, viewer, peer) || concerns(population, peer, viewer);
        assert.equal(peers.has(peer.id), visible, `${viewer.id} sees ${peer.id}`);
        assert.equal(population.sees(viewer.id, peer.id), visible);
        assert.equal(population.visiblePeers(viewer.id).has(peer.id), visible);
        if (!visible) continue;
        const routes = peer.approvedRoutes.filter(
          (route) => !isExitRoute(route) && routerOf(population, nodes, viewer, route) === peer.id,
        );
        assert.deepEqual([...population.peerView(viewer.id, peer.id).primaryRoutes].sort(), routes.sort());
      }
    }
  });
});

/** All that a node is told, with names in place of order where order means nothing. */
const answersOf = (population: Population, id: NodeId): object => ({
  compact: population.compactFilterFor(id),
  ssh: population.sshFor(id),
  caps: population.capsFor(id),
  self: population.selfView(id),
  peers: Object.fromEntries(
    [...population.visiblePeers(id)]
      .filter((peer) => peer !== id)
      .sort((a, b) => a - b)
      .map((peer) => [peer, { ...population.peerView(id, peer), node: undefined }]),
  ),
});

/** The same value with the keys of all objects in another order; arrays keep theirs. */
const turnKeys = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(turnKeys);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, turnKeys(item)]),
  );
};

test('no order of nodes or of keys changes an answer', () => {
  fc.assert(
    fc.property(arbitraryPolicy, arbitraryNodes, (text, sketches) => {
      const policy = compiled(text);
      const turned = compiled(JSON.stringify(turnKeys(JSON.parse(text))));
      assert.equal(policy === undefined, turned === undefined);
      if (!policy || !turned) return;
      const nodes = sketches.map(nodeOf);
      const one = populate(policy, nodes, userOf);
      const other = populate(turned, nodes.toReversed(), userOf);
      for (const { id } of nodes) {
        assert.deepEqual(one.filterFor(id), other.filterFor(id));
        assert.deepEqual(answersOf(one, id), answersOf(other, id));
      }
    }),
    runs(200),
  );
});

const change = fc.array(
  fc.oneof(
    fc.integer({ min: 1, max: 8 }).chain((id) => arbitraryNode(id)),
    fc.integer({ min: 1, max: 8 }).map((remove) => ({ remove })),
  ),
  { minLength: 1, maxLength: 3 },
);

test('a change leaves what building anew gives, and reports everybody whom it touches', () => {
  fc.assert(
    fc.property(arbitraryPolicy, arbitraryNodes, fc.array(change, { maxLength: 4 }), (text, sketches, changes) => {
      const policy = compiled(text);
      if (!policy) return;
      const nodes = new Map(sketches.map((sketch) => [sketch.id as NodeId, nodeOf(sketch)]));
      const population = populate(policy, nodes.values(), userOf);
      for (const step of changes) {
        const before = new Map([...nodes.keys()].map((id) => [id, answersOf(population, id)]));
        const removals = new Set(step.flatMap((part) => ('remove' in part ? [part.remove as NodeId] : [])));
        const upserts = step.flatMap((part) => ('remove' in part ? [] : [nodeOf(part as NodeSketch)]));
        for (const id of removals) nodes.delete(id);
        for (const node of upserts) nodes.set(node.id, node);
        const impact = population.apply({ removals, upserts });
        const anew = populate(policy, nodes.values(), userOf);
        for (const id of nodes.keys()) {
          const now = answersOf(population, id) as Record<string, unknown>;
          assert.deepEqual(now, answersOf(anew, id));
          assert.deepEqual(population.filterFor(id), anew.filterFor(id));
          const then = before.get(id) as Record<string, unknown> | undefined;
          if (!then) continue;
          const untouched = (set: { has(id: NodeId): boolean }, part: string): void => {
            if (!set.has(id))
              assert.deepEqual(now[part], then[part], `${part} of ${id} changed without being reported`);
          };
          untouched(impact.filters, 'compact');
          untouched(impact.ssh, 'ssh');
          untouched(impact.caps, 'caps');
          untouched(impact.peers, 'peers');
        }
      }
    }),
    runs(200),
  );
});
