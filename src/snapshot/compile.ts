// The files of one revision → one Snapshot, or every reason why there is none.

import { sha256 } from '@noble/hashes/sha2.js';
import { formatHex, utf8 } from '../base/bytes.ts';
import { canonicalJson } from '../base/canonical.ts';
import { compareDiagnostics, hasErrors, type Diagnostic } from '../base/diagnostic.ts';
import type { Revision } from '../base/ids.ts';
import { readFolder, type TailnetFolder } from '../config/folder.ts';
import { maskSecrets } from '../config/secrets.ts';
import { compilePolicy, type CompiledPolicy } from '../policy/compile.ts';
import type { TailnetFacts } from '../policy/facts.ts';
import { readPolicy } from '../policy/read.ts';
import { runTests } from '../policy/tests.ts';
import { checkFolder } from './check.ts';
import { deepFreeze } from './freeze.ts';
import type { Snapshot, User } from './snapshot.ts';
import { userIdOf } from './user.ts';

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
  /** What could be read, whether or not it made a snapshot: the ground on which the linter stands. */
  readonly folder: TailnetFolder;
  /** Sorted by login. */
  readonly users: readonly User[];
  /** Absent where the policy has errors. */
  readonly policy?: CompiledPolicy;
}

const usersOf = (folder: TailnetFolder): readonly User[] =>
  (folder.users?.users ?? [])
    // Whoever gets another login stays the same person to clients.
    .map((user) => ({ ...user, id: userIdOf(user.formerly[0] ?? user.login) }))
    .sort((a, b) => (a.login < b.login ? -1 : a.login > b.login ? 1 : 0));

/** Without the people a policy can't be judged: every login in it would be unknown. */
const policyOf = (
  folder: TailnetFolder,
  users: readonly User[],
  diagnostics: Diagnostic[],
): CompiledPolicy | undefined => {
  if (folder.policy === undefined || !folder.tailnet || !folder.users) return undefined;
  const { name, domains, features } = folder.tailnet;
  const facts: TailnetFacts = { name, domains, users, httpsCertificates: features.https };
  if (folder.policy === null) return compilePolicy(null, facts);
  if (!folder.policy.root) return undefined;
  const read = readPolicy(folder.policy.root, facts);
  diagnostics.push(...read.diagnostics);
  if (!read.document) return undefined;
  const policy = compilePolicy(read.document, facts);
  const byId = new Map(users.map((user) => [user.id, user]));
  diagnostics.push(...runTests(policy, [], (id) => byId.get(id)));
  return policy;
};

/** What a finding quotes from a file may be a secret; the places where they are shown mask the lines. */
const masked = (diagnostic: Diagnostic): Diagnostic => ({
  ...diagnostic,
  message: maskSecrets(diagnostic.message),
  ...(diagnostic.help === undefined ? {} : { help: maskSecrets(diagnostic.help) }),
});

/** Nobody reads more for one file; the rest is counted. */
const REPORTS_LIMIT = 200;

const readable = (diagnostics: readonly Diagnostic[]): readonly Diagnostic[] => {
  if (diagnostics.length <= REPORTS_LIMIT) return diagnostics;
  return [...Map.groupBy(diagnostics, ({ span }) => span?.file).values()].flatMap((mine): Diagnostic[] => {
    const last = mine[REPORTS_LIMIT - 1];
    if (mine.length <= REPORTS_LIMIT || !last) return mine;
    const rest = mine.slice(REPORTS_LIMIT);
    const more: Diagnostic = {
      code: 'config/more-problems',
      severity: hasErrors(rest) ? 'error' : 'warning',
      message: `There are ${rest.length} further findings in this file.`,
      help: 'Correct these first.',
      ...(last.span ? { span: last.span } : {}),
    };
    return [...mine.slice(0, REPORTS_LIMIT), more];
  });
};

/** Pure, and never throws on what the files hold. */
export const compileSnapshot = ({ revision, files }: CompileInput): CompileResult => {
  const folder = readFolder(files);
  const users = usersOf(folder);
  const found = [...folder.diagnostics];
  const policy = policyOf(folder, users, found);
  found.push(...checkFolder(folder, users, policy));
  const sorted = found.map(masked).sort(compareDiagnostics);
  const diagnostics = readable(sorted);

  const { tailnet, routes, dns, keys, nodes, derp, derpmap } = folder;
  const whole = tailnet && folder.users && policy && routes && dns && keys && nodes && derp && derpmap;
  const seen = { diagnostics, folder, users, ...(policy ? { policy } : {}) };
  if (!whole || hasErrors(sorted)) return seen;
  const snapshot: Snapshot = {
    revision,
    digest: `sha256:${formatHex(sha256(utf8(canonicalJson(folder.plain))))}`,
    tailnet,
    users,
    userById: new Map(users.map((user) => [user.id, user])),
    userByLogin: new Map(users.map((user) => [user.login.toLowerCase(), user])),
    userByFormerLogin: new Map(
      users.flatMap((user) => user.formerly.map((login) => [login.toLowerCase(), user] as const)),
    ),
    domainRules: folder.users.domainRules,
    policy,
    policyFile: folder.policy ? { file: folder.policy.file, text: folder.policy.text } : null,
    routes,
    dns,
    authKeys: new Map(keys.authKeys.map((key) => [key.id, key])),
    apiCredentials: new Map(keys.apiCredentials.map((key) => [key.id, key])),
    nodes,
    derp,
    derpmap,
  };
  return { snapshot: deepFreeze(snapshot), ...seen };
};
