// Which rules the policy's own tests exercise: a rule is exercised when some test gets its answer from it. A rule that no
// test asks about can be broken without anybody being told.

import type { AccessRule, PolicyDocument, SshAccessRule } from '../policy/document.ts';
import { parseProtocol } from '../policy/ports.ts';
import { createEvaluator } from '../policy/evaluate.ts';
import { resolveParty } from './explain.ts';
import type { ReviewedTailnet } from './tailnet.ts';

export interface Exercise {
  readonly rule: AccessRule | SshAccessRule;
  readonly section: 'grants' | 'acls' | 'ssh';
  /** Places in `tests` or `sshTests`, from 0. */
  readonly tests: readonly number[];
}

const TCP = 6;

const splitTarget = (text: string): { readonly name: string; readonly port: number } => {
  const match = /^(?:\[([^\]]+)\]|(.*)):(\d+)$/.exec(text);
  return { name: match?.[1] ?? match?.[2] ?? text, port: Number(match?.[3] ?? 0) };
};

/** Every rule with the tests that lean on it, in the order of the file. */
export const exerciseRules = (tailnet: ReviewedTailnet): readonly Exercise[] => {
  const { policy, nodes, userOf } = tailnet.side;
  const document: PolicyDocument | null = policy.document;
  if (!document) return [];
  const evaluator = createEvaluator(policy, nodes.values(), userOf);
  const found = new Map<string, Set<number>>();
  const note = (section: string, index: number, test: number): void => {
    const key = `${section} ${index}`;
    const tests = found.get(key);
    if (tests) tests.add(test);
    else found.set(key, new Set([test]));
  };
  const parties = (name: string) => {
    const outcome = resolveParty(tailnet, name);
    return outcome.ok ? outcome.value.map(([, party]) => party) : [];
  };
  for (const { index, source, protocol, accept } of document.tests) {
    const parsed = parseProtocol(protocol);
    const number = parsed.ok ? (parsed.value ?? TCP) : TCP;
    for (const { text } of accept) {
      const { name, port } = splitTarget(text);
      for (const from of parties(source)) {
        for (const to of parties(name)) {
          const verdict = evaluator.evaluate(from, to, port, number);
          if (verdict.allowed) note(verdict.rule.section, verdict.rule.index, index);
        }
      }
    }
  }
  for (const { index, source, destinations, accept, check } of document.sshTests) {
    for (const { text } of destinations) {
      for (const from of parties(source)) {
        for (const to of parties(text)) {
          if (!('node' in from) || !('node' in to)) continue;
          for (const login of [...accept, ...check]) {
            const verdict = evaluator.evaluateSsh(from.node, to.node, login.text);
            if (verdict.action !== 'deny') note('ssh', verdict.rule.index, index);
          }
        }
      }
    }
  }
  const list = (section: Exercise['section'], rules: readonly (AccessRule | SshAccessRule)[]): Exercise[] =>
    rules.map((rule) => ({
      rule,
      section,
      tests: [...(found.get(`${section} ${rule.index}`) ?? [])].sort((a, b) => a - b),
    }));
  return [...list('grants', document.grants ?? []), ...list('acls', document.acls ?? []), ...list('ssh', document.ssh)];
};
