// A located tree → a policy document, or everything that is wrong with it. Sections are read in the order in which the
// hosted service checks them, because it answers with the first problem only and we repeat that answer.

import type { Diagnostic } from '../base/diagnostic.ts';
import { hasErrors } from '../base/diagnostic.ts';
import type { LocatedNode } from '../config/located.ts';
import { readAcls, readGrants } from './access.ts';
import { readAutoApprovers } from './approvers.ts';
import { readSshTests, readTests } from './assertions.ts';
import { readDerpMap } from './derpmap.ts';
import type { PolicyDocument } from './document.ts';
import type { TailnetFacts } from './facts.ts';
import { readFields, readFlag, readText, readTexts, type Fields } from './fields.ts';
import { readSsh } from './login.ts';
import { readNodeAttrs } from './nodeattrs.ts';
import { createProblems, didYouMean, quote, type Problems } from './problems.ts';
import type { Selector } from './selector.ts';
import { readPostureNames, readTables } from './tables.ts';

export interface ReadPolicy {
  /** There exactly when no diagnostic is an error. */
  readonly document?: PolicyDocument;
  /**
   * In the order in which the hosted service checks, so that the message of the first error is the service's answer. Sort
   * with `compareDiagnostics` for a report.
   */
  readonly diagnostics: readonly Diagnostic[];
}

const SECTIONS = [
  'acls',
  'grants',
  'groups',
  'hosts',
  'ipsets',
  'tagOwners',
  'autoApprovers',
  'ssh',
  'nodeAttrs',
  'postures',
  'defaultSrcPosture',
  'tests',
  'sshTests',
  'derpMap',
  'randomizeClientPort',
  'disableIPv4',
  'OneCGNATRoute',
  // For editors: every file of a tailnet folder may name its schema.
  '$schema',
] as const;

/** Grammar and every check that needs no node. Pure; never throws on what the file holds; bounded by the file's size. */
export const readPolicy = (root: LocatedNode, tailnet: TailnetFacts): ReadPolicy => {
  const problems = createProblems();
  const file = readFields(problems, root, 'A policy', SECTIONS);
  if (!file) return { diagnostics: problems.list };
  const tables = readTables(problems, file, tailnet);
  const defaultSrcPosture = readPostureNames(
    problems,
    readTexts(problems, file.get('defaultSrcPosture'), 'defaultSrcPosture'),
    tables.postures,
  );
  const reading = { problems, tables, defaultSrcPosture, expansion: { size: 0 } };
  const acls = file.get('acls');
  const grants = file.get('grants');
  const autoApprovers = readAutoApprovers(problems, file.get('autoApprovers'), tables);
  const aclRules = acls && readAcls(reading, acls);
  const grantRules = grants && readGrants(reading, grants);
  const ssh = readSsh(problems, file.get('ssh'), tables, defaultSrcPosture);
  const nodeAttrs = readNodeAttrs(problems, file.get('nodeAttrs'), tables);
  const sshTests = readSshTests(problems, file.get('sshTests'), tables);
  const tests = readTests(problems, file.get('tests'));
  const derpMap = readDerpMap(problems, file.get('derpMap'));
  const document: PolicyDocument = {
    at: root.span,
    ...(aclRules ? { acls: aclRules } : {}),
    ...(grantRules ? { grants: grantRules } : {}),
    groups: tables.groups,
    hosts: tables.hosts,
    ipsets: tables.ipsets,
    tagOwners: tables.tagOwners,
    autoApprovers,
    ssh,
    nodeAttrs,
    postures: tables.postures,
    defaultSrcPosture,
    tests,
    sshTests,
    ...(derpMap ? { derpMap } : {}),
    randomizeClientPort: readFlag(problems, file.get('randomizeClientPort'), 'randomizeClientPort'),
    disableIPv4: readFlag(problems, file.get('disableIPv4'), 'disableIPv4'),
    oneCgnatRoute: readOneCgnatRoute(problems, file),
  };
  warnUnknownUsers(problems, document, tailnet);
  const diagnostics = problems.list;
  return hasErrors(diagnostics) ? { diagnostics } : { document, diagnostics };
};

const readOneCgnatRoute = (problems: Problems, file: Fields): PolicyDocument['oneCgnatRoute'] => {
  const text = readText(problems, file.get('OneCGNATRoute'), 'OneCGNATRoute');
  if (!text || text.text === '') return '';
  if (text.text === 'mac-always' || text.text === 'mac-never') return text.text;
  problems.error(
    'policy/wrong-type',
    text.at,
    `OneCGNATRoute must be "mac-always" or "mac-never", not ${quote(text.text)}.`,
  );
  return '';
};

/** Looking for the nearest name takes time, and nobody reads more. */
const UNKNOWN_REPORTED = 50;

/** A login that nobody has may be written in advance, and may be a slip of the pen: both are worth a word. */
const warnUnknownUsers = (problems: Problems, document: PolicyDocument, tailnet: TailnetFacts): void => {
  const known = new Map(tailnet.users.map(({ login }) => [login.toLowerCase(), login as string]));
  const warned = new Set<string>();
  const look = (selectors: readonly Selector[]): void => {
    for (const selector of selectors) {
      if (selector.kind !== 'user') continue;
      const login = selector.login.toLowerCase();
      if (warned.size >= UNKNOWN_REPORTED || known.has(login) || warned.has(login)) continue;
      warned.add(login);
      problems.warn(
        'policy/unknown-user',
        selector.at,
        `${quote(selector.login)} is no user of this tailnet.`,
        didYouMean(selector.login, known.values()) ?? 'It gives access as soon as somebody with this login joins.',
      );
    }
  };
  for (const { members } of document.groups.values()) look(members);
  for (const { owners } of document.tagOwners.values()) look(owners);
  for (const rule of [...(document.grants ?? []), ...(document.acls ?? [])]) {
    look(rule.sources);
    look(rule.destinations.map(({ selector }) => selector));
  }
  for (const rule of document.ssh) look([...rule.sources, ...rule.destinations]);
  for (const { targets } of document.nodeAttrs) look(targets);
};
