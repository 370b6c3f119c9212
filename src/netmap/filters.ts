// Packet filters as named chunks (MapResponse.PacketFilters), one for each rule, named by what is in it: a rule that stays
// isn't sent again, and one that goes is deleted by its name. Rules only allow, so the order in which the client joins the
// chunks means nothing. Lists of sources are shared between nodes and are encoded once.

import { hash } from 'node:crypto';
import type { FilterRule } from '../wire/filter.ts';
import { encodeFragment, SHARE_FROM } from './fragment.ts';
import type { Fragment, MessageBuilder } from './fragment.ts';

export interface FilterChunk {
  readonly name: string;
  readonly rule: FilterRule;
}

interface Sources {
  readonly text: string;
  readonly digest: string;
  fragment: Fragment | null;
}

/** 96 bits: rules of one node only are told apart by it. */
const digestOf = (text: string): string => hash('sha256', text, 'base64url').slice(0, 16);

const sources = new WeakMap<readonly string[], Sources>();

const sourcesOf = (list: readonly string[]): Sources => {
  let known = sources.get(list);
  if (!known) {
    const text = JSON.stringify(list);
    known = { text, digest: digestOf(text), fragment: null };
    sources.set(list, known);
  }
  return known;
};

/** Everything of a rule but its sources. */
const restText = ({ SrcIPs, ...rest }: FilterRule): string => {
  void SrcIPs;
  return JSON.stringify(rest);
};

/** By name, each once. */
export const filterChunks = (rules: readonly FilterRule[]): ReadonlyMap<string, FilterRule> =>
  new Map(rules.map((rule) => [digestOf(`${sourcesOf(rule.SrcIPs).digest}${restText(rule)}`), rule]));

const writeRule = (rule: FilterRule, to: MessageBuilder): void => {
  const list = sourcesOf(rule.SrcIPs);
  to.text('[{"SrcIPs":');
  if (list.text.length < SHARE_FROM) to.text(list.text);
  else to.fragment((list.fragment ??= encodeFragment(list.text)));
  const rest = restText(rule);
  to.text(rest === '{}' ? '}]' : `,${rest.slice(1)}]`);
};

/**
 * Writes the field PacketFilters from the chunks that the client has to those that it shall have; nothing where they are
 * the same. A client that has none at all gets an empty chunk, since it must be told that everything is denied.
 */
export const writeFilters = (
  before: ReadonlySet<string> | null,
  after: ReadonlyMap<string, FilterRule>,
  to: MessageBuilder,
): boolean => {
  const added = [...after].filter(([name]) => before?.has(name) !== true);
  const gone = before === null ? [] : [...before].filter((name) => !after.has(name));
  if (before !== null && added.length === 0 && gone.length === 0) return false;
  to.field('PacketFilters');
  let separator = '{';
  for (const name of gone) {
    to.text(`${separator}"${name}":null`);
    separator = ',';
  }
  for (const [name, rule] of added) {
    to.text(`${separator}"${name}":`);
    separator = ',';
    writeRule(rule, to);
  }
  to.text(separator === ',' ? '}' : '{"none":[]}');
  return true;
};
