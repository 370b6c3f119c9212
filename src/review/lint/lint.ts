// Runs the rules over what could be read of a tailnet folder, leaves out what is ignored, and applies the fixes.

import { compareDiagnostics, type Diagnostic, type Span } from '../../base/diagnostic.ts';
import { editDocument } from '../../config/edit.ts';
import type { LocatedNode, Path } from '../../config/located.ts';
import type { CompileResult } from '../../snapshot/compile.ts';
import { ACCESS_RULES } from './access.ts';
import { ASSERTION_RULES } from './assertions.ts';
import { createCoverage } from './coverage.ts';
import { CUSTODY_RULES } from './custody.ts';
import { applyIgnores } from './ignore.ts';
import { NAME_RULES } from './names.ts';
import { NETWORK_RULES } from './network.ts';
import type { Fix, LintRule, LintSubject } from './rule.ts';
import { SHELL_RULES } from './shells.ts';

export const LINT_RULES: readonly LintRule[] = [
  ...ACCESS_RULES,
  ...NAME_RULES,
  ...SHELL_RULES,
  ...ASSERTION_RULES,
  ...NETWORK_RULES,
  ...CUSTODY_RULES,
];

/** Nobody reads more of one kind. */
const FINDINGS_LIMIT = 200;

export interface LintResult {
  /** Those of the compiler and of the rules together, without what is ignored, in the order of `compareDiagnostics`. */
  readonly diagnostics: readonly Diagnostic[];
  /** What can be corrected of it. */
  readonly fixes: readonly Fix[];
}

export interface Fixed {
  /** The new text of each file that changes, by name. */
  readonly files: ReadonlyMap<string, string>;
  readonly count: number;
}

/** The path of the value, or of the member whose key, stands at a span. */
const pathAt = (root: LocatedNode, { start, end }: Span): Path | undefined => {
  const same = (span: Span): boolean => span.start.offset === start.offset && span.end.offset === end.offset;
  const holds = (span: Span): boolean => span.start.offset <= start.offset && end.offset <= span.end.offset;
  const path: (string | number)[] = [];
  let node = root;
  while (!same(node.span)) {
    if (node.kind === 'object') {
      const member = node.members.find(({ keySpan, value }) => same(keySpan) || holds(value.span));
      if (!member) return undefined;
      path.push(member.key);
      if (same(member.keySpan)) return path;
      node = member.value;
    } else if (node.kind === 'array') {
      const index = node.items.findIndex(({ span }) => holds(span));
      const item = node.items[index];
      if (!item) return undefined;
      path.push(index);
      node = item;
    } else return undefined;
  }
  return path;
};

/** Applies the fixes of one run. Some may be left for the next one: those inside of something that another one changed. */
export const applyFixes = (fixes: readonly Fix[], files: CompileResult['folder']['files']): Fixed => {
  const changed = new Map<string, string>();
  let count = 0;
  for (const [name, mine] of Map.groupBy(fixes, ({ at }) => at.file)) {
    const file = files.find(({ file }) => file === name);
    const { root } = file ?? {};
    if (!file || !root) continue;
    // From the end to the front, so that the paths of those that are left stay right; of nested ones only the first.
    const ordered = mine.toSorted((a, b) => b.at.start.offset - a.at.start.offset);
    let text = file.text;
    let done = Infinity;
    for (const fix of ordered) {
      const path = pathAt(root, fix.at);
      if (!path || fix.at.end.offset > done) continue;
      const edit =
        fix.kind === 'set' ? ({ kind: 'set', path, value: fix.value } as const) : ({ kind: 'remove', path } as const);
      const outcome = editDocument(text, name.endsWith('.hujson') ? 'hujson' : 'json5', [edit]);
      if (!outcome.ok) continue;
      text = outcome.value;
      done = fix.at.start.offset;
      count++;
    }
    if (text !== file.text) changed.set(name, text);
  }
  return { files: changed, count };
};

/** Pure; never throws on what the files hold. `nowMs` tells which keys have expired. */
export const lint = ({ folder, users, policy, diagnostics }: CompileResult, nowMs: number): LintResult => {
  const document = policy?.document ?? null;
  const subject: LintSubject = {
    folder,
    users,
    policy: document,
    policyRoot: (document && folder.policy?.root) ?? null,
    coverage: createCoverage(document, users),
    nowMs,
  };
  const found: Diagnostic[] = [];
  const fixes = new Map<Diagnostic, Fix>();
  for (const { code, severity, check } of LINT_RULES) {
    let count = 0;
    for (const { fix, ...finding } of check(subject)) {
      if (++count > FINDINGS_LIMIT) break;
      const diagnostic: Diagnostic = { code, severity, ...finding };
      found.push(diagnostic);
      if (fix) fixes.set(diagnostic, fix);
    }
  }
  const kept = applyIgnores(folder.files, [...diagnostics, ...found]).sort(compareDiagnostics);
  return { diagnostics: kept, fixes: kept.flatMap((diagnostic) => fixes.get(diagnostic) ?? []) };
};
