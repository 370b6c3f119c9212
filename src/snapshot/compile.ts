// The files of one revision → one Snapshot, or every reason why there is none.

import type { Diagnostic } from '../base/diagnostic.ts';
import type { Revision } from '../base/ids.ts';
import type { Snapshot } from './snapshot.ts';

export interface CompileInput {
  readonly revision: Revision;
  /** By path relative to the tailnet folder, with `/`. Files that are not ours are ignored. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

export interface CompileResult {
  /** There exactly when no diagnostic is an error. */
  readonly snapshot?: Snapshot;
  /** In the order of `compareDiagnostics`. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Pure, and never throws on what the files hold. */
export const compileSnapshot = (input: CompileInput): CompileResult => {
  void input;
  return { diagnostics: [] };
};
