// One file in goldens/ is one fact about the language: a policy, some nodes, and what comes of it. Everything below the
// first `--- answer` or `--- refused` line is made from what stands above; with UPDATE_GOLDENS=1 the files are rewritten,
// and the difference is there to be reviewed.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { catalogue } from '../../src/base/catalogue.ts';
import { compareDiagnostics, hasErrors, type Diagnostic } from '../../src/base/diagnostic.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { compilePolicy, type CompiledPolicy } from '../../src/policy/compile.ts';
import { autoApprovedRoutes, refusedTags } from '../../src/policy/approve.ts';
import { createEvaluator, type NearMiss } from '../../src/policy/evaluate.ts';
import type { PolicyNode } from '../../src/policy/facts.ts';
import { populate, type Population } from '../../src/policy/population.ts';
import { runTests } from '../../src/policy/tests.ts';
import type { CapMap, FilterRule } from '../../src/wire/filter.ts';
import { address, FACTS, nodeOf, readText, userOf, USERS, type NodeSketch } from './world.ts';

const folder = path.join(import.meta.dirname, 'goldens');
const files = fs.readdirSync(folder).sort();

interface Golden {
  readonly title: string;
  readonly policy: string;
  readonly nodes: readonly NodeSketch[];
  /** What is asked: the words after `--- answer`. */
  readonly asked: readonly string[];
}

const PEOPLE = ['alice', 'bob', 'carol'];

/** `3 tag:router routes=10.0.0.0/8 advertises=… created=5 silent os=linux` */
const sketchOf = (line: string): NodeSketch => {
  const [id, of, ...options] = line.split(' ');
  const value = (name: string): string | undefined =>
    options.find((option) => option.startsWith(`${name}=`))?.slice(name.length + 1);
  const person = PEOPLE.indexOf(of ?? '');
  const os = value('os');
  return {
    id: Number(id),
    of: person >= 0 ? person : (of ?? '').split(','),
    approved: value('routes')?.split(',') ?? [],
    advertises: (value('advertises') ?? value('routes'))?.split(',') ?? [],
    createdMs: Number(value('created') ?? id),
    ...(options.includes('silent') ? { alive: false } : {}),
    ...(os === undefined ? {} : { os }),
  };
};

const parseGolden = (text: string): Golden => {
  const [head, ...sections] = text.split(/^--- /m);
  const bodyOf = (name: string): string => {
    const found = sections.find((section) => section.startsWith(`${name}\n`));
    return found?.slice(name.length + 1) ?? '';
  };
  return {
    title: (head ?? '').trim(),
    policy: bodyOf('policy').trimEnd(),
    nodes: bodyOf('nodes').split('\n').filter(Boolean).map(sketchOf),
    asked: sections.flatMap((section) => /^answer (.*)\n/.exec(section)?.[1] ?? []),
  };
};

const json = (value: unknown): string => JSON.stringify(value);
const capsText = (caps: CapMap): string =>
  Object.entries(caps)
    .map(([name, values]) => `${name}${values === null ? '' : ` ${json(values)}`}`)
    .join(', ');

const ruleText = ({ SrcIPs, DstPorts, IPProto, CapGrant }: FilterRule): string[] => [
  `  from ${SrcIPs.join(' ') || 'nobody'}`,
  ...(DstPorts
    ? [
        `    to ${DstPorts.map(({ IP, Ports: { First, Last } }) => {
          const ports = First === 0 && Last === 65535 ? '*' : First === Last ? First : `${First}-${Last}`;
          return `${IP.includes(':') ? `[${IP}]` : IP}:${ports}`;
        }).join(' ')}${IPProto ? ` protocol ${IPProto.join()}` : ''}`,
      ]
    : []),
  ...(CapGrant ?? []).map(({ Dsts, CapMap }) => `    on ${Dsts.join(' ')} may ${capsText(CapMap)}`),
];

const missText = ({ explanation, at }: NearMiss): string => `    line ${at?.start.line ?? 0}: ${explanation}`;

/** `1 → 2:22/tcp`, `1 → 10.0.0.1:443/udp`, `1 as root on 2`, `1 on 2`. */
const askText = (policy: CompiledPolicy, nodes: readonly PolicyNode[], question: string): string[] => {
  const evaluator = createEvaluator(policy, nodes, userOf);
  const [, from, user, on] = /^(\d+) as (\S+) on (\d+)$/.exec(question) ?? [];
  if (from !== undefined && user !== undefined) {
    const verdict = evaluator.evaluateSsh(Number(from) as NodeId, Number(on) as NodeId, user);
    if (verdict.action === 'deny') return ['  denied', ...verdict.nearest.map(missText)];
    const period = verdict.action === 'check' ? ` every ${verdict.checkPeriodMs} ms` : '';
    return [`  ${verdict.action}${period} by line ${verdict.rule.at?.start.line ?? 0}`];
  }
  const [, visitor, host] = /^(\d+) on (\d+)$/.exec(question) ?? [];
  if (visitor !== undefined) {
    const verdicts = evaluator.evaluateSshLogins(Number(visitor) as NodeId, Number(host) as NodeId);
    return Array.from(verdicts, ([login, { action }]) => `  as ${login}: ${action}`);
  }
  const [, source, destination, port, protocol] = /^(\S+) → (\S+):(\d+)\/(\w+)$/.exec(question) ?? [];
  const party = (text = ''): Parameters<typeof evaluator.evaluate>[0] =>
    /^\d+$/.test(text) ? { node: Number(text) as NodeId } : { address: address(text) };
  const number = { tcp: 6, udp: 17, icmp: 1 }[protocol ?? ''] ?? Number(protocol);
  const verdict = evaluator.evaluate(party(source), party(destination), Number(port), number);
  if (!verdict.allowed) {
    return [`  denied${verdict.reason === undefined ? '' : `: ${verdict.reason}`}`, ...verdict.nearest.map(missText)];
  }
  const { at, section, index } = verdict.rule;
  return [`  allowed by ${at ? `${section} rule ${index + 1}, line ${at.start.line}` : 'the absence of rules'}`];
};

const answer = (policy: CompiledPolicy, nodes: readonly PolicyNode[], asked: string): string[] => {
  const population: Population = populate(policy, nodes, userOf);
  const each = (linesOf: (node: PolicyNode) => string[]): string[] =>
    nodes.flatMap((node) => {
      const lines = linesOf(node);
      return [`${node.id}${lines.length === 0 ? ' nothing' : ''}`, ...lines];
    });
  const [what, ...rest] = asked.split(' ');
  switch (what) {
    case 'filter':
      return each(({ id }) => population.filterFor(id).flatMap(ruleText));
    case 'compact':
      return each(({ id }) => population.compactFilterFor(id).flatMap(ruleText));
    case 'peers':
      return each(({ id }) =>
        [...population.visiblePeers(id)]
          .filter((peer) => peer !== id)
          .sort((a, b) => a - b)
          .map((peer) => {
            const { allowedIPs, capMap } = population.peerView(id, peer);
            const caps = capsText(capMap);
            return `  sees ${peer} as ${allowedIPs.join(' ')}${caps === '' ? '' : ` (${caps})`}`;
          }),
      );
    case 'self':
      return each(({ id }) => {
        const { allowedIPs, primaryRoutes } = population.selfView(id);
        return [
          `  ${allowedIPs.join(' ')}${primaryRoutes.length > 0 ? `, primary for ${primaryRoutes.join(' ')}` : ''}`,
        ];
      });
    case 'ssh':
      return each(({ id }) =>
        population
          .sshFor(id)
          .rules.flatMap(({ principals, sshUsers, action, acceptEnv }) => [
            `  from ${principals.map(({ nodeIP }) => nodeIP).join(' ')}`,
            `    as ${json(sshUsers)}${acceptEnv ? ` with ${acceptEnv.join(' ')}` : ''}: ${json(action)}`,
          ]),
      );
    case 'caps':
      return each(({ id }) => [`  ${capsText(population.capsFor(id))}`]);
    case 'whois':
      return each(({ id }) =>
        nodes
          .filter((peer) => peer.id !== id)
          .flatMap((peer) => {
            const caps = capsText(population.whois(id, peer.id));
            return caps === '' ? [] : [`  ${peer.id} may ${caps}`];
          }),
      );
    case 'approved':
      return each((node) => {
        const owner = node.user === null ? undefined : userOf(node.user);
        return [
          `  ${autoApprovedRoutes(policy, node, owner).join(' ') || 'none'} of ${node.routableIPs.join(' ') || 'none'}`,
        ];
      });
    case 'tags':
      return USERS.map((user) => {
        const refused = refusedTags(policy, user, rest);
        return `${user.login} may give ${rest.filter((tag) => !refused.includes(tag)).join(' ') || 'none'}`;
      });
    case 'relays':
      return (policy.document?.derpMap?.regions ?? []).flatMap(({ id, code, name, latitude, nodes: relays }) => [
        `${id} ${code} «${name}» at latitude ${latitude}`,
        ...relays.map(({ at, ...relay }) => `  line ${at.start.line}: ${json(relay)}`),
      ]);
    case 'ask':
      return askText(policy, nodes, rest.join(' '));
    default:
      throw new Error(`no answer is called ${asked}`);
  }
};

const diagnosticText = (policy: string, { code, severity, message, span, help }: Diagnostic): string[] => {
  const line = span && policy.split('\n')[span.start.line - 1];
  const oneLine = span && span.end.line === span.start.line;
  const width = span && line !== undefined ? (oneLine ? span.end.column : line.length + 1) - span.start.column : 0;
  return [
    `${severity} ${code}`,
    ...message.split('\n').map((text) => `  ${text}`),
    ...(span && line !== undefined
      ? [
          `  ${String(span.start.line).padStart(3)} | ${line}`,
          `      | ${' '.repeat(span.start.column - 1)}${'^'.repeat(Math.max(width, 1))}`,
        ]
      : []),
    ...(help === undefined ? [] : [`  help: ${help}`]),
  ];
};

const render = ({ title, policy, nodes: sketches, asked }: Golden, source: string): string => {
  const nodes = sketches.map(nodeOf);
  const { document, diagnostics } = readText(policy);
  const compiled = document && compilePolicy(document, FACTS);
  const all = [...diagnostics, ...(compiled ? runTests(compiled, nodes, userOf) : [])];
  const first = all.find(({ severity }) => severity === 'error');
  const reports = all.toSorted(compareDiagnostics).flatMap((one) => diagnosticText(policy, one));
  const parts = [`${title}\n\n`, `--- policy\n${policy}\n`];
  const nodesPart = /^--- nodes\n[\s\S]*?(?=^--- |$(?![\s\S]))/m.exec(source)?.[0].trimEnd();
  if (nodesPart !== undefined) parts.push(`${nodesPart}\n`);
  if (!compiled || hasErrors(all)) {
    parts.push(`--- refused ${first?.message.split('\n')[0] ?? ''}\n${reports.join('\n')}\n`);
    return parts.join('');
  }
  if (reports.length > 0) parts.push(`--- warned\n${reports.join('\n')}\n`);
  for (const question of asked) parts.push(`--- answer ${question}\n${answer(compiled, nodes, question).join('\n')}\n`);
  return parts.join('');
};

for (const file of files) {
  const source = fs.readFileSync(path.join(folder, file), 'utf8');
  const golden = parseGolden(source);
  test(`${file}: ${golden.title}`, () => {
    const rendered = render(golden, source);
    if (process.env['UPDATE_GOLDENS'] === '1') fs.writeFileSync(path.join(folder, file), rendered);
    else assert.equal(rendered, source);
  });
}

test('every diagnostic of the room has a golden', () => {
  const texts = files.map((file) => fs.readFileSync(path.join(folder, file), 'utf8')).join('\n');
  const missing = Object.keys(catalogue).filter((code) => code.startsWith('policy/') && !texts.includes(` ${code}\n`));
  assert.deepEqual(missing, []);
});
