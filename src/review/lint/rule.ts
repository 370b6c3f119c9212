// What a lint rule is: it looks at a tailnet folder that is well-formed and says what is probably not meant. Rules never
// refuse a commit; each can be switched off for one line by a comment that says why.

import type { Code } from '../../base/catalogue.ts';
import type { Json } from '../../base/canonical.ts';
import type { Diagnostic, Severity, Span } from '../../base/diagnostic.ts';
import type { TailnetFolder } from '../../config/folder.ts';
import type { LocatedNode } from '../../config/located.ts';
import type { User } from '../../snapshot/snapshot.ts';
import type { PolicyDocument } from '../../policy/document.ts';
import type { Coverage } from './coverage.ts';

/** A change that keeps the meaning, or removes what has none. */
export type Fix =
  /** The entry or member whose value or key stands there. */
  { readonly kind: 'remove'; readonly at: Span } | { readonly kind: 'set'; readonly at: Span; readonly value: Json };

export interface LintFinding {
  readonly span: Span;
  readonly message: string;
  readonly help?: string;
  readonly related?: NonNullable<Diagnostic['related']>;
  readonly fix?: Fix;
}

export interface LintSubject {
  readonly folder: TailnetFolder;
  readonly users: readonly User[];
  /** Null: no policy, or one with errors. */
  readonly policy: PolicyDocument | null;
  /** The tree of the policy; there whenever `policy` is. */
  readonly policyRoot: LocatedNode | null;
  readonly coverage: Coverage;
  readonly nowMs: number;
}

export interface LintRule {
  readonly code: Code;
  readonly severity: Exclude<Severity, 'error'>;
  readonly check: (subject: LintSubject) => Iterable<LintFinding>;
}
