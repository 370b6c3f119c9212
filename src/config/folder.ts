// The files of a tailnet folder → typed documents, with everything that is wrong inside each of them. What only several
// files together can say is the snapshot's.

import type { Json } from '../base/canonical.ts';
import { compareDiagnostics, hasErrors, type Diagnostic, type Span } from '../base/diagnostic.ts';
import { suggest } from '../base/suggest.ts';
import { DEFAULT_DERP, readDerp, type DerpRegion, type DerpSettings } from './derp.ts';
import { readDerpMap } from './derpmap.ts';
import { DEFAULT_DNS, readDns, type DnsSettings } from './dns.ts';
import { parseDocument, type LocatedComment } from './document.ts';
import { readKeys, type KeysDocument } from './keys.ts';
import { plainOf, type LocatedNode } from './located.ts';
import { readNodes, type NodeDeclaration } from './nodes.ts';
import { startReading, type Reading } from './reading.ts';
import { readRoutes, type RouteApproval } from './routes.ts';
import { checkSchema, type SchemaName } from './schema.ts';
import { findSecrets } from './secrets.ts';
import { readTailnet, type TailnetSettings } from './tailnet.ts';
import { readUsers, type UsersDocument } from './users.ts';

/** Every file that is read, relative to the tailnet folder. Of the two policies there may be one. */
export const TAILNET_FILES = [
  'tailnet.json5',
  'users.json5',
  'policy.json5',
  'policy.hujson',
  'routes.json5',
  'dns.json5',
  'keys.json5',
  'nodes.json5',
  'derp.json5',
  'derpmap.json5',
] as const;
export type TailnetFile = (typeof TAILNET_FILES)[number];

export interface LocatedFile {
  readonly file: TailnetFile;
  readonly text: string;
  /** Absent where the text could not be read. */
  readonly root?: LocatedNode;
  readonly comments: readonly LocatedComment[];
}

/** Undefined where a file is there but wrong: nothing is known of what it was to say. An absent file has its defaults. */
export interface TailnetFolder {
  readonly tailnet: TailnetSettings | undefined;
  readonly users: UsersDocument | undefined;
  readonly routes: readonly RouteApproval[] | undefined;
  readonly dns: DnsSettings | undefined;
  readonly keys: KeysDocument | undefined;
  readonly nodes: readonly NodeDeclaration[] | undefined;
  readonly derp: DerpSettings | undefined;
  readonly derpmap: readonly DerpRegion[] | undefined;
  /** Null: the folder has none. */
  readonly policy: LocatedFile | null | undefined;
  /** The files that are there, in the order of TAILNET_FILES. */
  readonly files: readonly LocatedFile[];
  /** What the files mean, with defaults and without comments, by name of the document; the ground of the digest. */
  readonly plain: Readonly<Record<string, Json>>;
  /** In the order of `compareDiagnostics`. */
  readonly diagnostics: readonly Diagnostic[];
}

const START = { line: 1, column: 1, offset: 0 };

const describeName = (name: string): Diagnostic | undefined => {
  if (!/^[^/]+\.(?:json5?|hujson|jsonc)$/i.test(name) || (TAILNET_FILES as readonly string[]).includes(name))
    return undefined;
  const meant = suggest(name, TAILNET_FILES) ?? suggest(name.replace(/\.[^.]+$/, '.json5'), TAILNET_FILES);
  if (meant === undefined) return undefined;
  return {
    code: 'config/unknown-file',
    severity: 'warning',
    message: 'Nothing reads a file of this name.',
    span: { file: name, start: START, end: START },
    help: `Did you mean \`${meant}\`?`,
  };
};

const readPolicyFile = (files: readonly LocatedFile[], diagnostics: Diagnostic[]): LocatedFile | null | undefined => {
  const policies = files.filter(({ file }) => file.startsWith('policy.'));
  const [policy, other] = policies;
  if (policy && other) {
    diagnostics.push({
      code: 'config/two-policies',
      severity: 'error',
      message: `The folder has ${policy.file} and ${other.file}; a tailnet has one policy.`,
      span: { file: other.file, start: START, end: START },
      help: 'Remove one of the two.',
    });
    return undefined;
  }
  if (policy === undefined) return null;
  return policy.root === undefined ? undefined : policy;
};

/** A live secret is reported as such and as nothing else: another finding might repeat it. */
const withoutSecrets = (diagnostics: readonly Diagnostic[]): Diagnostic[] => {
  const secrets = diagnostics.filter(({ code }) => code === 'config/live-secret').map(({ span }) => span as Span);
  const touches = ({ code, span }: Diagnostic): boolean =>
    code !== 'config/live-secret' &&
    secrets.some(
      (secret) =>
        secret.file === span?.file &&
        secret.start.offset < span.end.offset &&
        span.start.offset < secret.end.offset &&
        span.start.line === span.end.line,
    );
  return diagnostics.filter((diagnostic) => !touches(diagnostic));
};

/** Pure; never throws on what the files hold. `bytes` by path relative to the folder. */
export const readFolder = (bytes: ReadonlyMap<string, Uint8Array>): TailnetFolder => {
  const diagnostics: Diagnostic[] = [];
  for (const name of bytes.keys()) {
    const finding = describeName(name);
    if (finding) diagnostics.push(finding);
  }

  const files: LocatedFile[] = [];
  const clean = new Set<TailnetFile>();
  for (const file of TAILNET_FILES) {
    const content = bytes.get(file);
    if (content === undefined) continue;
    const parsed = parseDocument(file, content, { dialect: file.endsWith('.hujson') ? 'hujson' : 'json5' });
    const text = new TextDecoder().decode(content);
    const found = [...parsed.diagnostics, ...findSecrets(file, text)];
    diagnostics.push(...found);
    if (parsed.root && !hasErrors(found)) clean.add(file);
    files.push({ file, text, comments: parsed.comments, ...(parsed.root ? { root: parsed.root } : {}) });
  }

  const plain: Record<string, Json> = {};
  const read = <T>(
    name: SchemaName,
    reader: (value: unknown, reading: Reading) => T,
    absent: T | undefined,
  ): T | undefined => {
    const file = files.find((one) => one.file === `${name}.json5`);
    if (!file) return absent;
    if (!file.root) return undefined;
    const checked = checkSchema(name, file.root);
    diagnostics.push(...checked.diagnostics);
    if (checked.value === undefined) return undefined;
    const { $schema: _, ...meaning } = checked.value as Record<string, Json>;
    plain[name] = meaning;
    const found: Diagnostic[] = [];
    const value = reader(checked.value, startReading(file.root, found));
    diagnostics.push(...found);
    return hasErrors(found) || !clean.has(file.file) ? undefined : value;
  };

  if (!bytes.has('tailnet.json5')) {
    diagnostics.push({
      code: 'config/no-tailnet',
      severity: 'error',
      message: 'The folder has no tailnet.json5.',
      span: { file: 'tailnet.json5', start: START, end: START },
      help: "The smallest one is `{ name: 'example.com' }`; `tailplane init` makes a folder to start from.",
    });
  }
  const documents = {
    tailnet: read<TailnetSettings>('tailnet', readTailnet, undefined),
    users: read<UsersDocument>('users', readUsers, { users: [], domainRules: [] }),
    routes: read<readonly RouteApproval[]>('routes', readRoutes, []),
    dns: read<DnsSettings>('dns', readDns, DEFAULT_DNS),
    keys: read<KeysDocument>('keys', readKeys, { authKeys: [], apiCredentials: [] }),
    nodes: read<readonly NodeDeclaration[]>('nodes', readNodes, []),
    derp: read<DerpSettings>('derp', readDerp, DEFAULT_DERP),
    derpmap: read<readonly DerpRegion[]>('derpmap', readDerpMap, []),
  };
  const policy = readPolicyFile(files, diagnostics);
  if (policy?.root) plain['policy'] = plainOf(policy.root);
  return {
    ...documents,
    policy: policy && !clean.has(policy.file) ? undefined : policy,
    files,
    plain,
    diagnostics: withoutSecrets(diagnostics).sort(compareDiagnostics),
  };
};
