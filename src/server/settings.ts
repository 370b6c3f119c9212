// The server's own settings: flags first, then TAILPLANE_* variables, then tailplane.json5, then the default. One table
// says it all; flags, variables, the file's fields and the documentation are made from it. Secrets have no flag: a flag
// shows in the process list. They come as a variable or as a file named by `<setting>File`.

import path from 'node:path';
import { Secret } from '../base/secret.ts';

type Kind = 'text' | 'path' | 'switch' | 'choice' | 'number';

export interface SettingRow {
  /** The field in tailplane.json5; `--kebab-case` and TAILPLANE_SNAKE_CASE follow from it. */
  readonly name: string;
  readonly kind: Kind;
  readonly choices?: readonly string[];
  readonly secret?: boolean;
  readonly value?: string;
  readonly about: string;
}

export const SETTINGS = [
  {
    name: 'source',
    kind: 'text',
    value: 'DIR|URL',
    about: 'the tailnet: a folder, a git repository on disk, or its URL',
  },
  { name: 'branch', kind: 'text', value: 'NAME', about: 'the branch that is the tailnet, in a git source' },
  { name: 'folder', kind: 'text', value: 'PATH', about: 'the sub-folder of the repository that holds tailnet.json5' },
  { name: 'depth', kind: 'number', value: 'COMMITS', about: 'clone only so many commits; all by default' },
  { name: 'pollSeconds', kind: 'number', value: 'SECONDS', about: 'how often the git remote is asked; 60 by default' },
  { name: 'sourceUser', kind: 'text', value: 'NAME', about: 'user name for the git remote' },
  { name: 'sourceToken', kind: 'text', secret: true, about: 'token or password for the git remote' },
  { name: 'githubAppId', kind: 'text', value: 'ID', about: 'GitHub App that reads the repository' },
  { name: 'githubAppInstallation', kind: 'text', value: 'ID', about: 'installation of the GitHub App' },
  { name: 'githubAppKey', kind: 'text', secret: true, about: 'private key of the GitHub App, PEM' },
  { name: 'sourceCa', kind: 'path', value: 'FILE', about: 'certificate authority of the git remote, PEM' },
  { name: 'sshKey', kind: 'path', value: 'FILE', about: 'deploy key for an SSH remote' },
  { name: 'sshKnownHosts', kind: 'path', value: 'FILE', about: 'pinned host keys of an SSH remote' },
  { name: 'webhookSecret', kind: 'text', secret: true, about: 'shared secret of POST /hooks/git' },
  {
    name: 'gitHost',
    kind: 'choice',
    choices: ['github', 'gitlab', 'gitea'],
    about: 'what the git host is, where its name does not tell',
  },
  { name: 'statusToken', kind: 'text', secret: true, about: 'token to set commit statuses on the git host' },
  { name: 'notifyUrl', kind: 'text', value: 'URL', about: 'where messages about revisions are posted' },
  { name: 'notifySecret', kind: 'text', secret: true, about: 'key that signs these messages' },
  { name: 'data', kind: 'path', value: 'DIR', about: 'folder for keys, registrations and the last good tailnet' },
  { name: 'listen', kind: 'text', value: 'HOST:PORT', about: 'address for clients; TLS and plain HTTP share the port' },
  { name: 'url', kind: 'text', value: 'URL', about: 'what clients pass to --login-server' },
  {
    name: 'stun',
    kind: 'text',
    value: 'HOST:PORT|off',
    about: 'UDP address of the STUN server; the port of --listen if not set',
  },
  { name: 'relay', kind: 'switch', about: 'embedded DERP relay, on by default' },
  { name: 'relayName', kind: 'text', value: 'NAME', about: 'name of the embedded relay region in clients' },
  { name: 'tlsCert', kind: 'path', value: 'FILE', about: 'certificate chain, PEM; watched for changes' },
  { name: 'tlsKey', kind: 'path', value: 'FILE', about: 'private key of the certificate, PEM' },
  { name: 'acmeDirectory', kind: 'text', value: 'URL', about: 'get a certificate for --url from this ACME server' },
  { name: 'acmeEmail', kind: 'text', value: 'ADDRESS', about: 'contact for the ACME account' },
  {
    name: 'dnsServer',
    kind: 'text',
    value: 'HOST:PORT',
    about: 'name server that takes the certificate challenges of nodes (RFC 2136)',
  },
  { name: 'dnsKeyName', kind: 'text', value: 'NAME', about: 'name of the key for these updates (TSIG)' },
  {
    name: 'dnsKeyAlgorithm',
    kind: 'choice',
    choices: ['hmac-sha256', 'hmac-sha512'],
    about: 'what the key signs with; hmac-sha256 by default',
  },
  { name: 'dnsKey', kind: 'text', secret: true, about: 'the key for these updates, base64' },
  {
    name: 'dnsSecondaries',
    kind: 'text',
    value: 'HOST:PORT,…',
    about: 'other name servers of the zone, waited for until they have a challenge',
  },
  { name: 'dnsCommand', kind: 'path', value: 'FILE', about: 'program that publishes challenges instead of dnsServer' },
  {
    name: 'httpListen',
    kind: 'text',
    value: 'HOST:PORT|off',
    about: 'second plain HTTP address: redirects, /ts2021, ACME',
  },
  { name: 'trustedProxies', kind: 'text', value: 'CIDR,…', about: 'proxies whose X-Forwarded-For is believed' },
  {
    name: 'metrics',
    kind: 'choice',
    choices: ['loopback', 'all', 'off'],
    about: 'who may read /metrics on the client address',
  },
  { name: 'logLevel', kind: 'choice', choices: ['debug', 'info', 'warn', 'error'], about: 'least severe event to log' },
  { name: 'logFormat', kind: 'choice', choices: ['auto', 'pretty', 'json'], about: 'auto: pretty on a terminal' },
  {
    name: 'quickStart',
    kind: 'switch',
    about: 'make a reusable one-day key at start and print the command that joins',
  },
] as const satisfies readonly SettingRow[];

type Row = (typeof SETTINGS)[number];
type Name = Row['name'];
type ValueOf<R> = R extends { secret: true }
  ? Secret<string>
  : R extends { kind: 'switch' }
    ? boolean
    : R extends { kind: 'number' }
      ? number
      : string;

/** What was set, wherever; absent fields were not set anywhere. */
export type Settings = { readonly [N in Name]?: ValueOf<Extract<Row, { name: N }>> };

export const flagOf = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
export const variableOf = (name: string): string => `TAILPLANE_${flagOf(name).replaceAll('-', '_').toUpperCase()}`;

export interface SettingProblem {
  readonly from: string;
  readonly message: string;
}

export interface SettingInputs {
  /** By setting name, from the command line. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The parsed tailplane.json5 and its path, when there is one. */
  readonly file?: { readonly path: string; readonly value: Readonly<Record<string, unknown>> };
  /** Folder that relative paths of flags and variables start from. */
  readonly cwd: string;
  /** Reads a secret from a file; throws when it can't. */
  readonly readSecret: (path: string) => string;
}

const parseSwitch = (text: string): boolean | undefined =>
  /^(?:1|true|yes|on)$/i.test(text) ? true : /^(?:0|false|no|off)$/i.test(text) ? false : undefined;

const parseValue = (row: SettingRow, raw: unknown, base: string): unknown => {
  if (row.kind === 'switch') return typeof raw === 'boolean' ? raw : parseSwitch(String(raw));
  if (row.kind === 'number') return Number.isFinite(Number(raw)) ? Number(raw) : undefined;
  if (typeof raw !== 'string' || raw === '') return undefined;
  if (row.kind === 'choice') return row.choices?.includes(raw) ? raw : undefined;
  return row.kind === 'path' ? path.resolve(base, raw) : raw;
};

const expectation = (row: SettingRow): string =>
  row.kind === 'switch'
    ? 'true or false'
    : row.kind === 'choice'
      ? (row.choices ?? []).join(', ')
      : row.kind === 'number'
        ? 'a number'
        : 'some text';

/** Pure but for `readSecret`. Every problem is reported, not the first alone. */
export const resolveSettings = (inputs: SettingInputs): { settings: Settings; problems: readonly SettingProblem[] } => {
  const problems: SettingProblem[] = [];
  const settings: Record<string, unknown> = {};
  const fileFolder = inputs.file ? path.dirname(inputs.file.path) : inputs.cwd;
  const rows: readonly SettingRow[] = SETTINGS;
  for (const row of rows) {
    const candidates: [from: string, raw: unknown, base: string][] = [
      ...(row.secret
        ? []
        : [[`--${flagOf(row.name)}`, inputs.flags[row.name], inputs.cwd] as [string, unknown, string]]),
      [variableOf(row.name), inputs.env[variableOf(row.name)], inputs.cwd],
      ...(row.secret
        ? []
        : [[inputs.file?.path ?? '', inputs.file?.value[row.name], fileFolder] as [string, unknown, string]]),
    ];
    const found = candidates.find(([, raw]) => raw !== undefined && raw !== '');
    if (found) {
      const [from, raw, base] = found;
      const value = parseValue(row, raw, base);
      if (value === undefined) problems.push({ from, message: `«${row.name}» wants ${expectation(row)}` });
      else settings[row.name] = row.secret ? new Secret(value) : value;
    } else if (row.secret) {
      const fromVariable = inputs.env[`${variableOf(row.name)}_FILE`];
      const fromFile = inputs.file?.value[`${row.name}File`];
      const named = fromVariable ?? (typeof fromFile === 'string' ? path.resolve(fileFolder, fromFile) : undefined);
      if (named !== undefined && named !== '') {
        try {
          settings[row.name] = new Secret(inputs.readSecret(named).trimEnd());
        } catch (error) {
          problems.push({
            from: named,
            message: `the secret «${row.name}» can't be read: ${(error as Error).message}`,
          });
        }
      }
    }
  }
  const known = new Set<string>(rows.flatMap(({ name, secret }) => (secret ? [`${name}File`] : [name])));
  for (const field of Object.keys(inputs.file?.value ?? {})) {
    if (field === '$schema' || known.has(field)) continue;
    const secret = rows.some((row) => row.secret && row.name === field);
    problems.push({
      from: inputs.file?.path ?? '',
      message: secret
        ? `«${field}» is a secret and can't stand in a file that may be shared; use ${variableOf(field)} or «${field}File»`
        : `«${field}» is not a setting`,
    });
  }
  return { settings: settings as Settings, problems };
};

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `127.0.0.1:8080`, `[::1]:8080`, `:8080` (every address). */
export const parseHostPort = (text: string): HostPort | undefined => {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) return undefined;
  return { host: match[1] ?? (match[2] || '::'), port };
};

export const formatHostPort = ({ host, port }: HostPort): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
