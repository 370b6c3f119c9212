// `nodeAttrs`: attributes, app connectors and address pools of nodes.

import { parsePrefix, parsePrefixBits, prefixContains, formatPrefix, type Prefix } from '../base/address.ts';
import type { LocatedMember, LocatedNode } from '../config/located.ts';
import type { NodeAttributes } from './document.ts';
import { readFields, readList, readTable, readTexts, type LocatedText } from './fields.ts';
import { readValues } from './access.ts';
import { PLACES, readSelector } from './places.ts';
import { type Problems } from './problems.ts';
import type { Tables } from './tables.ts';

const TAILNET_V4 = '100.64.0.0/10' as Prefix;
/** Addresses that Tailscale and ChromeOS use themselves. */
const RESERVED_POOLS = [
  '100.100.0.0/24',
  '100.100.100.0/24',
  '100.115.92.0/23',
] as readonly string[] as readonly Prefix[];

export const readNodeAttrs = (
  problems: Problems,
  member: LocatedMember | undefined,
  tables: Tables,
): readonly NodeAttributes[] =>
  readList(problems, member, 'nodeAttrs').flatMap((node, index) => readEntry(problems, node, index, tables) ?? []);

const readEntry = (
  problems: Problems,
  node: LocatedNode,
  index: number,
  { names }: Tables,
): NodeAttributes | undefined => {
  const fields = readFields(problems, node, 'An entry of nodeAttrs', ['target', 'attr', 'app', 'ipPool']);
  if (!fields) return undefined;
  return {
    index,
    at: fields.at,
    targets: readTexts(problems, fields.get('target'), 'target').flatMap(
      (text) => readSelector(problems, text, PLACES.nodeAttrs, '', names) ?? [],
    ),
    attributes: readTexts(problems, fields.get('attr'), 'attr').flatMap(({ text }) => (text === '' ? [] : [text])),
    app: readTable(problems, fields.get('app'), 'app').flatMap(({ key, value }) => {
      const values = readValues(problems, value, key);
      return values ? [{ name: key, values }] : [];
    }),
    ipPool: readTexts(problems, fields.get('ipPool'), 'ipPool').flatMap((text) => readPool(problems, text) ?? []),
  };
};

const readPool = (problems: Problems, { text, at }: LocatedText): Prefix | undefined => {
  const refuse = (why: string, help?: string): undefined => {
    problems.error('policy/bad-ip-pool', at, `IPPool(${text}): ${why}`, help);
    return undefined;
  };
  const bits = parsePrefixBits(text);
  const pool = parsePrefix(text) ?? (bits && formatPrefix(bits));
  if (!pool) return refuse('invalid network', 'Write a prefix, for example 100.81.0.0/16.');
  if (!prefixContains(TAILNET_V4, pool)) return refuse('network must be within 100.64.0.0/10');
  if (RESERVED_POOLS.some((reserved) => prefixContains(reserved, pool))) return refuse('network within reserved range');
  return pool;
};
