// What the readers of the single files share. A reader runs only on a document whose shape is right: it turns plain values
// into branded ones, keeps the place of each entry, and reports what a schema can't say.

import type { Code } from '../base/catalogue.ts';
import type { Diagnostic, Severity, Span } from '../base/diagnostic.ts';
import { nodeAt, memberOf, type LocatedNode, type Path } from './located.ts';

export interface Reading {
  /** The place of a value; of the nearest value around it where the file leaves it out. */
  readonly at: (...path: Path) => Span;
  /** The place of a key. */
  readonly keyAt: (...path: Path) => Span;
  readonly report: (finding: Finding) => void;
}

export type Finding = Omit<Diagnostic, 'severity' | 'span'> & { readonly span: Span; readonly severity?: Severity };

export const startReading = (root: LocatedNode, diagnostics: Diagnostic[]): Reading => {
  const at = (...path: Path): Span => {
    for (let length = path.length; length > 0; length--) {
      const node = nodeAt(root, path.slice(0, length));
      if (node) return node.span;
    }
    return root.span;
  };
  return {
    at,
    keyAt: (...path) => memberOf(nodeAt(root, path.slice(0, -1)), String(path.at(-1)))?.keySpan ?? at(...path),
    report: ({ severity = 'error', ...finding }) => diagnostics.push({ severity, ...finding }),
  };
};

/** Reports every entry whose key an earlier entry has, with both places. */
export const reportDuplicates = (
  reading: Reading,
  entries: Iterable<{ readonly key: string; readonly span: Span }>,
  describe: (key: string) => string,
  code: Code = 'config/duplicate-item',
): void => {
  const seen = new Map<string, Span>();
  for (const { key, span } of entries) {
    const first = seen.get(key);
    if (first === undefined) seen.set(key, span);
    else {
      reading.report({
        code,
        span,
        message: describe(key),
        help: 'Keep one of the two.',
        related: [{ span: first, message: 'first given here' }],
      });
    }
  }
};
