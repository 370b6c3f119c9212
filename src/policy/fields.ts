// The strict shape of the file: which fields an object may have and of which type. Field names match in any case, as in
// Go's encoding/json, which the service decodes with; unknown ones are refused. Names that people choose (groups, tags,
// hosts) keep their case. null counts as absent.

import type { Span } from '../base/diagnostic.ts';
import type { LocatedMember, LocatedNode } from '../config/located.ts';
import { didYouMean, quote, type Problems } from './problems.ts';

/** A text of the file, trimmed. */
export interface LocatedText {
  readonly text: string;
  readonly at: Span;
}

export interface Fields {
  readonly at: Span;
  /** The member under its canonical name; absent for null. */
  get(name: string): LocatedMember | undefined;
}

const KIND_NAMES: Record<LocatedNode['kind'], string> = {
  object: 'an object',
  array: 'a list',
  string: 'a string',
  number: 'a number',
  boolean: 'true or false',
  null: 'null',
};

export const wrongType = (problems: Problems, node: LocatedNode, what: string, wanted: string): void => {
  problems.error('policy/wrong-type', node.span, `${what} must be ${wanted}, not ${KIND_NAMES[node.kind]}.`);
};

/** Reads an object whose fields are fixed. `names` are the canonical spellings. */
export const readFields = (
  problems: Problems,
  node: LocatedNode,
  what: string,
  names: readonly string[],
): Fields | undefined => {
  if (node.kind !== 'object') {
    wrongType(problems, node, what, 'an object');
    return undefined;
  }
  const canonical = new Map(names.map((name) => [name.toLowerCase(), name]));
  const found = new Map<string, LocatedMember>();
  for (const member of node.members) {
    const name = canonical.get(member.key.toLowerCase());
    if (name === undefined) {
      problems.error(
        'policy/unknown-field',
        member.keySpan,
        `json: unknown field ${quote(member.key)}`,
        didYouMean(member.key, names) ?? `${what} has the fields ${names.join(', ')}.`,
      );
    } else if (found.has(name)) {
      problems.error(
        'policy/repeated-field',
        member.keySpan,
        `The field ${quote(name)} is given twice.`,
        'Field names match in any case. Merge the two.',
      );
    } else found.set(name, member);
  }
  return {
    at: node.span,
    get: (name) => {
      const member = found.get(name);
      return member?.value.kind === 'null' ? undefined : member;
    },
  };
};

/** The members of an object whose keys are names that people chose; duplicates are impossible by the tree's contract. */
export const readTable = (
  problems: Problems,
  member: LocatedMember | undefined,
  what: string,
): readonly LocatedMember[] => {
  if (!member) return [];
  if (member.value.kind !== 'object') {
    wrongType(problems, member.value, what, 'an object');
    return [];
  }
  return member.value.members;
};

export const readList = (
  problems: Problems,
  member: LocatedMember | undefined,
  what: string,
): readonly LocatedNode[] => {
  if (!member) return [];
  if (member.value.kind !== 'array') {
    wrongType(problems, member.value, what, 'a list');
    return [];
  }
  return member.value.items;
};

export const readText = (
  problems: Problems,
  member: LocatedMember | undefined,
  what: string,
): LocatedText | undefined => {
  if (!member) return undefined;
  if (member.value.kind !== 'string') {
    wrongType(problems, member.value, what, 'a string');
    return undefined;
  }
  return { text: trim(member.value.value), at: member.value.span };
};

export const readTexts = (
  problems: Problems,
  member: LocatedMember | undefined,
  what: string,
  verbatim = false,
): readonly LocatedText[] => {
  const texts: LocatedText[] = [];
  for (const item of readList(problems, member, what)) {
    if (item.kind === 'string') texts.push({ text: verbatim ? item.value : trim(item.value), at: item.span });
    else wrongType(problems, item, `Every entry of ${what}`, 'a string');
  }
  return texts;
};

export const readFlag = (problems: Problems, member: LocatedMember | undefined, what: string): boolean => {
  if (!member) return false;
  if (member.value.kind === 'boolean') return member.value.value;
  wrongType(problems, member.value, what, 'true or false');
  return false;
};

/** The service trims blanks and tabs around the texts of a rule. By hand: an expression for the end takes n² steps. */
const trim = (text: string): string => {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text, start)) start++;
  while (end > start && isBlank(text, end - 1)) end--;
  return text.slice(start, end);
};

const isBlank = (text: string, at: number): boolean => text[at] === ' ' || text[at] === '\t';
