// `tailplane backup FILE` from a running server, and `tailplane restore FILE` into a data folder that no server uses.

import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import type { Outcome } from '../base/outcome.ts';
import {
  encodeBackup,
  isRegistryFile,
  readBackupEntries,
  readBackupHead,
  type BackupEntry,
  type BackupHead,
} from '../registry/backup.ts';
import { realDisk } from '../registry/disk.ts';
import { RegistryFault } from '../registry/fault.ts';
import { inspectFile } from '../registry/inspect.ts';
import { lockFolder } from '../registry/lock.ts';
import { applyRestore, KEY_FOLDER, planRestore, type RestorePlan } from '../registry/restore.ts';
import { EXIT, Failure } from './failure.ts';
import { plain } from './output.ts';
import { readPassphrase } from './passphrase.ts';
import { dataFolderOf, outputOf, serverOf } from './server.ts';
import { packageVersion } from './version.ts';

interface PassphraseOption {
  readonly passphraseFile?: string;
}

const must = <T>(outcome: Outcome<T>): T => {
  if (outcome.ok) return outcome.value;
  throw new Failure(EXIT.findings, outcome.code, outcome.reason);
};

const serverKeysOf = (folder: string): BackupEntry[] => {
  const keys = path.join(folder, KEY_FOLDER);
  if (!fs.existsSync(keys)) return [];
  return fs
    .readdirSync(keys)
    .sort()
    .map((name) => ({ name: `${KEY_FOLDER}/${name}`, bytes: fs.readFileSync(path.join(keys, name)) }));
};

/** A file that is there is never written over: it may be the only good backup. */
const writeNewFile = (file: string, bytes: Uint8Array): void => {
  try {
    const handle = fs.openSync(file, 'wx', 0o600);
    try {
      fs.writeFileSync(handle, bytes);
      fs.fsyncSync(handle);
    } finally {
      fs.closeSync(handle);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new Failure(EXIT.findings, 'cli/would-overwrite', `${file} is there already.`, 'Name another file.');
    }
    fs.rmSync(file, { force: true });
    throw new Failure(
      EXIT.findings,
      'registry/backup-failed',
      `${file} can't be written: ${(error as Error).message}.`,
    );
  }
};

const backup = async (
  file: string,
  options: PassphraseOption & { readonly includeKeys?: boolean },
  command: Command,
): Promise<void> => {
  if (fs.existsSync(file)) {
    throw new Failure(EXIT.findings, 'cli/would-overwrite', `${file} is there already.`, 'Name another file.');
  }
  const { admin, out } = serverOf(command);
  const passphrase = options.includeKeys === true ? await readPassphrase(options.passphraseFile, true) : undefined;
  const chunks: Uint8Array[] = [];
  await admin.download('/backup', {}, (chunk) => chunks.push(chunk));
  const bytes = Buffer.concat(chunks);
  // What can't be restored is no backup: it is read once as a restore would.
  const { state, schemaVersion } = await inspectFile(bytes.subarray().slice());
  const keys = passphrase ? serverKeysOf(dataFolderOf(command)) : [];
  const head = { createdMs: Date.now(), tailplane: packageVersion(), schema: schemaVersion, nodes: state.nodes.size };
  const whole = await encodeBackup(
    head,
    [{ name: 'registry.db', bytes }, ...keys],
    passphrase && { passphrase, random: (sizeBytes) => randomBytes(sizeBytes) },
  );
  writeNewFile(file, whole);
  const answer = {
    file,
    sizeBytes: whole.length,
    nodes: head.nodes,
    serverKeys: keys.map(({ name }) => name),
    sealed: passphrase !== undefined,
  };
  out.show(answer, () =>
    [
      `${file}: ${head.nodes} nodes, ${whole.length.toLocaleString('en')} bytes${answer.sealed ? ', under a passphrase' : ''}.`,
      answer.sealed
        ? `It holds ${keys.map(({ name }) => path.basename(name)).join(', ')}. Keep the passphrase elsewhere.`
        : "The server's own keys are not in it (--include-keys).",
    ].join('\n'),
  );
};

const someOf = (names: readonly string[]): string =>
  names.length <= 10
    ? names.map(plain).join(', ')
    : `${names.slice(0, 10).map(plain).join(', ')} and ${names.length - 10} more`;

const KEY_SENTENCE: Readonly<Record<RestorePlan['serverKeys'], string>> = {
  kept: "The server's keys stay: the backup holds none.",
  same: "The server's keys are the same.",
  replaced: "The server's keys are replaced by those of the backup.",
  brought: "The server's keys come from the backup.",
};

const describePlan = (plan: RestorePlan): string[] => {
  const lines: [string, readonly string[]][] = [
    ['come back', plan.added],
    ['are forgotten', plan.removed],
    ['go back to what they were', plan.changed],
  ];
  return [
    ...(plan.unreadable === null ? [] : [`What is there now can't be read: ${plan.unreadable}`]),
    `${plan.same} nodes stay as they are.`,
    ...lines
      .filter(([, names]) => names.length > 0)
      .map(([what, names]) => `${names.length} ${what}: ${someOf(names)}.`),
    ...(plan.addedKeys.length > 0 ? [`Pre-auth keys that come back: ${someOf(plan.addedKeys)}.`] : []),
    ...(plan.removedKeys.length > 0 ? [`Pre-auth keys that are forgotten: ${someOf(plan.removedKeys)}.`] : []),
    KEY_SENTENCE[plan.serverKeys],
  ];
};

const lockFor = (folder: string): { readonly release: () => void } => {
  try {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    return lockFolder(folder, 'tailplane restore');
  } catch (error) {
    if (error instanceof RegistryFault) throw new Failure(EXIT.findings, error.code, error.message, error.help);
    throw new Failure(EXIT.findings, 'registry/not-writable', `${folder} can't be used: ${(error as Error).message}.`);
  }
};

const readFile = (file: string): Uint8Array => {
  try {
    return fs.readFileSync(file);
  } catch (error) {
    throw new Failure(EXIT.usage, 'cli/usage', `${file} can't be read: ${(error as Error).message}.`);
  }
};

/** What is in a backup, or in one of the automatic copies of registry.db, which has no head. */
const readEntries = async (
  file: string,
  options: PassphraseOption,
): Promise<{ readonly head?: BackupHead; readonly entries: readonly BackupEntry[] }> => {
  const bytes = readFile(file);
  if (isRegistryFile(bytes)) return { entries: [{ name: 'registry.db', bytes }] };
  const { head, body } = must(readBackupHead(bytes));
  const passphrase = head.sealed ? await readPassphrase(options.passphraseFile, false) : undefined;
  return { head, entries: must(await readBackupEntries(head, body, passphrase)) };
};

const restore = async (
  file: string,
  options: PassphraseOption & { readonly apply?: boolean },
  command: Command,
): Promise<void> => {
  const folder = dataFolderOf(command);
  const out = outputOf(command);
  const { head, entries } = await readEntries(file, options);
  const lock = options.apply === true ? lockFor(folder) : undefined;
  try {
    const plan = must(await planRestore(realDisk, folder, entries));
    const aside = lock && (await applyRestore(realDisk, folder, entries, Date.now()));
    const answer = { applied: lock !== undefined, folder, backup: head ?? null, plan, aside: aside ?? null };
    out.show(answer, () =>
      [
        head === undefined
          ? `${file} is a copy of registry.db.`
          : `${file} was made on ${new Date(head.createdMs).toISOString()} by Tailplane ${plain(head.tailplane)} with ${head.nodes} nodes.`,
        ...describePlan(plan),
        ...(lock === undefined
          ? [`Nothing was changed. To do this in ${folder}: stop its server, and add --apply.`]
          : [
              `Done.${aside === undefined ? '' : ` What was there is in ${path.join(folder, aside)}.`} Start the server now.`,
            ]),
      ].join('\n'),
    );
  } finally {
    lock?.release();
  }
};

export const registerBackup = (program: Command): void => {
  program
    .command('backup')
    .description('write what is registered to one file, from the running server')
    .argument('<file>', 'the file to make')
    .option('--include-keys', "take the server's own keys too; the file is then under a passphrase")
    .option('--passphrase-file <file>', 'read the passphrase from a file (or TAILPLANE_PASSPHRASE)')
    .addHelpText('after', '\nExample:\n  tailplane backup tailplane-$(date +%F).backup --include-keys')
    .action(backup);
  program
    .command('restore')
    .description('put a backup in the place of what a data folder holds; without --apply, say what would change')
    .argument('<file>', 'a file made by `tailplane backup`')
    .option('--apply', 'do it; the server of the folder must not run')
    .option('--passphrase-file <file>', 'read the passphrase from a file (or TAILPLANE_PASSPHRASE)')
    .addHelpText('after', '\nExample:\n  tailplane restore tailplane-2026-11-24.backup --apply')
    .action(restore);
};
