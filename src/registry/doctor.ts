// What is wrong or risky in a data folder, each with what to do. Looks only: it changes nothing and may run beside a server.

import type { StatsFs } from 'node:fs';
import fs from 'node:fs/promises';
import type { Code } from '../base/catalogue.ts';
import type { Severity } from '../base/diagnostic.ts';
import { copyTimeMs } from './backups.ts';
import type { Disk } from './disk.ts';
import { inspectFolder, type Inspection } from './inspect.ts';
import { lockHolder } from './lock.ts';
import { KEY_FOLDER } from './restore.ts';
import { SCHEMA_VERSION } from './schema.ts';
import { BACKUP_FOLDER } from './store.ts';

export interface Finding {
  readonly code: Code;
  readonly severity: Severity;
  readonly message: string;
  readonly help: string;
}

export interface Diagnosis {
  readonly findings: readonly Finding[];
  /** Facts that are neither good nor bad. */
  readonly facts: readonly string[];
}

const DAY_MS = 86_400_000;
const CLOCK_TOLERANCE_MS = 5 * 60_000;
const MIB = 1024 * 1024;

const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;

const checkContent = ({ fault, torn, schemaVersion }: Inspection, holder: string | undefined): Finding[] => {
  const findings: Finding[] = [];
  if (fault) findings.push({ code: fault.code, severity: 'error', message: fault.message, help: fault.help });
  // The end of a journal that is being written is torn for an instant.
  if (torn && holder === undefined) {
    findings.push({
      code: 'registry/tail-cut',
      severity: 'info',
      message: 'The last write to the journal was not finished; it was never acknowledged.',
      help: 'Nothing: the next start cuts it.',
    });
  }
  if (schemaVersion !== undefined && schemaVersion < SCHEMA_VERSION) {
    findings.push({
      code: 'registry/older-schema',
      severity: 'info',
      message: `registry.db has schema ${schemaVersion}; this version writes ${SCHEMA_VERSION}.`,
      help: 'Nothing: the next start brings it forward and keeps a copy in backups.',
    });
  }
  return findings;
};

/** Records that refer to others that are gone. */
export const checkOrphans = ({ state }: Pick<Inspection, 'state'>): Finding[] => {
  const lost = [...state.logins.values()].filter(
    ({ nodeId, state: is }) => is === 'approved' && !state.nodes.has(nodeId as never),
  );
  const strays = [...state.nodes.values()].filter(({ login, tags }) => login === null && tags.length === 0);
  return [
    ...(lost.length > 0
      ? [
          {
            code: 'registry/orphan' as const,
            severity: 'info' as const,
            message: `${count(lost.length, 'approved login')} belong to nodes that were removed since.`,
            help: 'Nothing: they are forgotten an hour after their time.',
          },
        ]
      : []),
    ...(strays.length > 0
      ? [
          {
            code: 'registry/no-owner' as const,
            severity: 'error' as const,
            message: `${count(strays.length, 'node')} have neither an owner nor a tag: ${strays.map(({ name }) => name).join(', ')}.`,
            help: 'Remove them with `tailplane nodes delete NAME`, and let them log in again.',
          },
        ]
      : []),
  ];
};

const checkClocks = ({ state, head }: Inspection, nowMs: number): Finding[] => {
  const latestMs = [...state.nodes.values()].reduce(
    (latest, { lastSeenMs, createdMs }) => Math.max(latest, lastSeenMs, createdMs),
    head?.savedMs ?? 0,
  );
  if (latestMs <= nowMs + CLOCK_TOLERANCE_MS) return [];
  return [
    {
      code: 'registry/clock',
      severity: 'warning',
      message: `The registry has a time in the future: ${new Date(latestMs).toISOString()}, while it is ${new Date(nowMs).toISOString()} here.`,
      help: 'Set this clock right (timedatectl status). Keys expire, and clients judge expiry, by the clock of the server.',
    },
  ];
};

const modeOf = async (path: string): Promise<number | undefined> =>
  fs.stat(path).then(
    ({ mode }) => mode & 0o777,
    () => undefined,
  );

const checkModes = async (disk: Disk, folder: string): Promise<Finding[]> => {
  const open: string[] = [];
  const look = async (path: string): Promise<void> => {
    const mode = await modeOf(path);
    if (mode !== undefined && (mode & 0o077) !== 0) open.push(`${path} (${mode.toString(8)})`);
  };
  await look(folder);
  const inside = [
    ...(await disk.list(folder)).filter((name) => name.startsWith('registry')),
    ...(await disk.list(`${folder}/${KEY_FOLDER}`)).map((name) => `${KEY_FOLDER}/${name}`),
    ...(await disk.list(`${folder}/${BACKUP_FOLDER}`)).map((name) => `${BACKUP_FOLDER}/${name}`),
  ];
  // A certificate is public; everything else in the folder is the server's business alone.
  for (const name of inside) if (!name.endsWith('.crt')) await look(`${folder}/${name}`);
  if (open.length === 0) return [];
  const isKey = open.some((path) => path.includes(`/${KEY_FOLDER}/`));
  return [
    {
      code: 'registry/folder-mode',
      severity: isKey ? 'error' : 'warning',
      message: `Others on this machine can read ${open.slice(0, 5).join(', ')}${open.length > 5 ? ` and ${open.length - 5} more` : ''}.`,
      help: `chmod -R go-rwx ${folder}${isKey ? ' If somebody may have read a key, make new ones: move keys/ away and start again; then restart every client, which needs no new login.' : ''}`,
    },
  ];
};

const checkSpace = async (folder: string): Promise<{ findings: Finding[]; facts: string[] }> =>
  judgeSpace(await fs.statfs(folder));

/** What the room on a disk means, as statfs tells it. */
export const judgeSpace = ({
  bavail,
  bsize,
  blocks,
}: Pick<StatsFs, 'bavail' | 'bsize' | 'blocks'>): { findings: Finding[]; facts: string[] } => {
  const freeBytes = bavail * bsize;
  const share = blocks === 0 ? 1 : bavail / blocks;
  const text = `${Math.round(freeBytes / MIB).toLocaleString('en')} MiB are free on its disk (${Math.round(share * 100)} %)`;
  if (freeBytes >= 256 * MIB) return { findings: [], facts: [text] };
  return {
    findings: [
      {
        code: 'registry/disk-space',
        severity: freeBytes < 32 * MIB ? 'error' : 'warning',
        message: `Only ${text}.`,
        help: 'Free some space. A full disk stops new registrations, not the clients that are connected.',
      },
    ],
    facts: [],
  };
};

const checkBackups = async (disk: Disk, folder: string, nodes: number, nowMs: number): Promise<Finding[]> => {
  const times = (await disk.list(`${folder}/${BACKUP_FOLDER}`)).flatMap((name) => copyTimeMs(name) ?? []);
  const newestMs = Math.max(0, ...times);
  if (nodes === 0 || nowMs - newestMs < 3 * DAY_MS) return [];
  return [
    {
      code: 'registry/backup-old',
      severity: 'warning',
      message:
        newestMs === 0
          ? 'There is no automatic copy of the registry.'
          : `The newest automatic copy of the registry is ${Math.floor((nowMs - newestMs) / DAY_MS)} days old.`,
      help: 'A running server makes one a day. Make one for another machine with `tailplane backup FILE --include-keys`.',
    },
  ];
};

/** Everything that can be said about a data folder without its server's help. */
export const diagnose = async (disk: Disk, folder: string, nowMs: number): Promise<Diagnosis> => {
  if ((await modeOf(folder)) === undefined) {
    return {
      facts: [],
      findings: [
        {
          code: 'registry/not-writable',
          severity: 'error',
          message: `There is no data folder ${folder}.`,
          help: 'Name it with --data DIR or TAILPLANE_DATA; `tailplane serve` makes one.',
        },
      ],
    };
  }
  const holder = lockHolder(folder);
  const inspection = await inspectFolder(disk, folder);
  const { state, journalRecords, journalBytes } = inspection;
  const space = await checkSpace(folder);
  return {
    facts: [
      holder === undefined ? 'no server uses the folder' : `in use by ${holder}`,
      `${count(state.nodes.size, 'node')}, ${count(state.keys.size, 'pre-auth key')}`,
      `${count(journalRecords, 'record')} in the journal (${journalBytes.toLocaleString('en')} bytes) behind the file`,
      ...space.facts,
    ],
    findings: [
      ...checkContent(inspection, holder),
      ...checkOrphans(inspection),
      ...checkClocks(inspection, nowMs),
      ...(await checkModes(disk, folder)),
      ...space.findings,
      ...(await checkBackups(disk, folder, state.nodes.size, nowMs)),
    ],
  };
};
