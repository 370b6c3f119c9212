// Rules about the tests of a policy: they are what keeps the next change from breaking this one.

import { accessRules } from './access.ts';
import type { LintRule } from './rule.ts';

const missingTests: LintRule = {
  code: 'lint/missing-tests',
  severity: 'warning',
  *check({ policy, policyRoot }) {
    if (!policy || !policyRoot || policy.tests.length > 0) return;
    // Rules about oneself alone can hardly break.
    const worth = accessRules(policy).some(({ destinations }) =>
      destinations.some(({ selector }) => selector.kind !== 'self' && selector.kind !== 'any'),
    );
    if (!worth) return;
    yield {
      span: { ...policyRoot.span, end: policyRoot.span.start },
      message: 'The policy has no tests.',
      help: 'Say in `tests` who must reach what, and who must not: a commit that breaks it is refused.',
    };
  },
};

const missingDenials: LintRule = {
  code: 'lint/missing-denials',
  severity: 'info',
  *check({ policy }) {
    const [first] = policy?.tests ?? [];
    if (!first || policy?.tests.some(({ deny }) => deny.length > 0)) return;
    yield {
      span: first.at,
      message: 'No test says what must not be reached.',
      help: 'Add `deny` to a test: access that is too wide breaks nothing else.',
    };
  },
};

const untestedTag: LintRule = {
  code: 'lint/untested-tag',
  severity: 'info',
  *check({ policy, folder }) {
    if (!policy || policy.tests.length === 0) return;
    const named = new Set<string>();
    for (const { source, accept, deny } of policy.tests) {
      named.add(source);
      for (const { text } of [...accept, ...deny]) named.add(text.slice(0, Math.max(text.lastIndexOf(':'), 0)));
    }
    for (const { destinations } of policy.sshTests) for (const { text } of destinations) named.add(text);
    for (const { accept, deny } of folder.tailnet?.invariants ?? []) {
      for (const text of [...accept, ...deny]) named.add(text.slice(0, Math.max(text.lastIndexOf(':'), 0)));
    }
    const reported = new Set<string>();
    for (const { destinations } of accessRules(policy)) {
      for (const { selector } of destinations) {
        if (selector.kind !== 'tag' || named.has(selector.tag) || reported.has(selector.tag)) continue;
        reported.add(selector.tag);
        yield {
          span: selector.at,
          message: `No test names \`${selector.tag}\`.`,
          help: 'Say in `tests` who must reach it, and who must not.',
        };
      }
    }
  },
};

export const ASSERTION_RULES: readonly LintRule[] = [missingTests, missingDenials, untestedTag];
