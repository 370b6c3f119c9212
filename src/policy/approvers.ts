// `autoApprovers`: who may bring routes, exit nodes and services without being asked about.

import { formatPrefix, parsePrefixBits } from '../base/address.ts';
import type { LocatedMember } from '../config/located.ts';
import type { AutoApprovers } from './document.ts';
import { readFields, readTable, readTexts } from './fields.ts';
import { PLACES, readSelector } from './places.ts';
import { quote, type Problems } from './problems.ts';
import type { Selector } from './selector.ts';
import type { Tables } from './tables.ts';

export const readAutoApprovers = (
  problems: Problems,
  member: LocatedMember | undefined,
  { names }: Tables,
): AutoApprovers => {
  const fields = member && readFields(problems, member.value, 'autoApprovers', ['routes', 'exitNode', 'services']);
  if (!fields) return { routes: [], exitNode: [], services: [] };
  const readApprovers = (from: LocatedMember | undefined, where: string): readonly Selector[] =>
    readTexts(problems, from, where).flatMap(
      (text) => readSelector(problems, text, PLACES.approver, `${where}: `, names) ?? [],
    );
  return {
    routes: readTable(problems, fields.get('routes'), 'autoApprovers.routes').flatMap((entry) => {
      const where = `autoApprovers.routes[${quote(entry.key)}]`;
      const approvers = readApprovers(entry, where);
      const bits = parsePrefixBits(entry.key.trim());
      if (bits) return [{ prefix: formatPrefix(bits), approvers, at: entry.keySpan }];
      problems.error('policy/bad-approver', entry.keySpan, `${where}: invalid prefix`, 'For example 10.0.0.0/8.');
      return [];
    }),
    exitNode: readApprovers(fields.get('exitNode'), 'autoApprovers.exitNode'),
    services: readTable(problems, fields.get('services'), 'autoApprovers.services').flatMap((entry) => {
      const where = `autoApprovers.services[${quote(entry.key)}]`;
      const approvers = readApprovers(entry, where);
      if (/^svc:\S+$/.test(entry.key) || names.tags.has(entry.key))
        return [{ name: entry.key, approvers, at: entry.keySpan }];
      problems.error(
        'policy/bad-approver',
        entry.keySpan,
        `${where}: must be a service or a tag`,
        'For example svc:web.',
      );
      return [];
    }),
  };
};
