// May this reach that, and which line says so? Answered from the document itself, without the filter compiler, so that the
// two can be held against each other. For a denial it names the rules that came nearest and what each lacked.

import type { Address } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';
import type { NodeId, UserId } from '../base/ids.ts';
import type { Json } from '../base/canonical.ts';
import type { CompiledPolicy } from './compile.ts';
import type { PolicyNode, PolicyUser } from './facts.ts';

/** A node, or an address that may belong to a node, to a subnet or to the internet. */
export type Party = { readonly node: NodeId } | { readonly address: Address };

export interface RuleReference {
  readonly section: 'acls' | 'grants' | 'ssh' | 'default';
  /** From 0. */
  readonly index: number;
  /** Absent for the allow-all of a file that has no rules. */
  readonly at?: Span;
}

/** A rule that nearly allowed it. */
export interface NearMiss extends RuleReference {
  /** What kept the rule from applying, nearest first: `source`, `posture`, `destination`, `via`, `protocol`, `port`. */
  readonly lacks: readonly ('source' | 'posture' | 'destination' | 'via' | 'protocol' | 'port' | 'user')[];
  /** One sentence. */
  readonly explanation: string;
}

export type Verdict =
  | { readonly allowed: true; readonly rule: RuleReference }
  | { readonly allowed: false; readonly nearest: readonly NearMiss[] };

export type SshVerdict =
  | { readonly action: 'accept' | 'check'; readonly checkPeriodMs: number; readonly rule: RuleReference }
  | { readonly action: 'deny'; readonly nearest: readonly NearMiss[] };

export interface Evaluator {
  /** `protocol` is an IANA number. Ports count for TCP, UDP and SCTP only. */
  evaluate(source: Party, destination: Party, port: number, protocol: number): Verdict;
  evaluateSsh(source: NodeId, destination: NodeId, user: string): SshVerdict;
  /** Every capability that `source` has on `destination`, with the rules that give it. */
  evaluateCapabilities(
    source: NodeId,
    destination: NodeId,
  ): ReadonlyMap<string, { readonly values: readonly Json[] | null; readonly rules: readonly RuleReference[] }>;
}

export const createEvaluator = (
  policy: CompiledPolicy,
  nodes: Iterable<PolicyNode>,
  userOf: (id: UserId) => PolicyUser | undefined,
): Evaluator => {
  void policy;
  void nodes;
  void userOf;
  throw new Error('not yet');
};
