// A policy document and the declared people → rules over atoms: what no node can change any more. Frozen and shareable;
// `populate` applies it to nodes.

import type { PolicyDocument } from './document.ts';
import type { TailnetFacts } from './facts.ts';

export interface CompiledPolicy {
  /** Null where the tailnet has no policy file: everything in the tailnet may talk to everything. */
  readonly document: PolicyDocument | null;
  readonly tailnet: TailnetFacts;
}

/** Pure and total: every document that `readPolicy` lets through compiles. Null compiles to allow-all. */
export const compilePolicy = (document: PolicyDocument | null, tailnet: TailnetFacts): CompiledPolicy => ({
  document,
  tailnet,
});
