// A located tree → a policy document, or everything that is wrong with it.

import type { Diagnostic } from '../base/diagnostic.ts';
import type { LocatedNode } from '../config/located.ts';
import type { PolicyDocument } from './document.ts';
import type { TailnetFacts } from './facts.ts';

export interface ReadPolicy {
  /** There exactly when no diagnostic is an error. */
  readonly document?: PolicyDocument;
  /**
   * In the order in which the hosted service checks, so that the message of the first error is the service's answer. Sort
   * with `compareDiagnostics` for a report.
   */
  readonly diagnostics: readonly Diagnostic[];
}

/** Grammar and every check that needs no node. Pure; never throws on what the file holds; bounded by the file's size. */
export const readPolicy = (root: LocatedNode, tailnet: TailnetFacts): ReadPolicy => {
  void root;
  void tailnet;
  return { diagnostics: [] };
};
