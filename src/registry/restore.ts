// Puts a backup in the place of what a data folder holds. First a plan, which changes nothing and says what would; then the
// work: what was there is moved to `backups/before-restore-<time>/`, and nothing is deleted.

import type { NodeId } from '../base/ids.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import type { BackupEntry } from './backup.ts';
import { replaceFile, type Disk } from './disk.ts';
import { RegistryFault } from './fault.ts';
import { inspectFile, inspectFolder } from './inspect.ts';
import { isSegmentName } from './log.ts';
import type { NodeRecord } from './record.ts';
import type { RegistryState } from './state.ts';
import { BACKUP_FOLDER, FILE_NAME, fileTime } from './store.ts';

export const KEY_FOLDER = 'keys';

export interface RestorePlan {
  /** Names of nodes that the folder doesn't have, of nodes that would be forgotten, and of nodes with other content. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
  readonly same: number;
  /** Pre-auth keys that come back and that would be forgotten, by id. */
  readonly addedKeys: readonly string[];
  readonly removedKeys: readonly string[];
  /** What happens to the server's own keys. */
  readonly serverKeys: 'kept' | 'same' | 'replaced' | 'brought';
  /** Why what is in the folder now can't be read; then the lists above compare with nothing. */
  readonly unreadable: string | null;
}

const compareNodes = (
  now: RegistryState,
  then: RegistryState,
): Pick<RestorePlan, 'added' | 'removed' | 'changed' | 'same'> => {
  const added: string[] = [];
  const changed: string[] = [];
  let same = 0;
  // What only a rotation, an owner or an administrator changes; last seen and endpoints always differ.
  const essence = ({
    nodeKey,
    machineKey,
    login,
    tags,
    name,
    addresses,
    expiresMs,
    authorized,
    approvedRoutes,
  }: NodeRecord) =>
    JSON.stringify([nodeKey, machineKey, login, tags, name, addresses, expiresMs, authorized, approvedRoutes]);
  for (const [id, node] of then.nodes) {
    const present = now.nodes.get(id);
    if (!present) added.push(node.name);
    else if (essence(present) === essence(node)) same++;
    else changed.push(node.name);
  }
  const isGone = (id: NodeId): boolean => !then.nodes.has(id);
  const removed = [...now.nodes.values()].filter(({ id }) => isGone(id)).map(({ name }) => name);
  return { added, removed, changed, same };
};

const compareServerKeys = async (
  disk: Disk,
  folder: string,
  keys: readonly BackupEntry[],
): Promise<RestorePlan['serverKeys']> => {
  if (keys.length === 0) return 'kept';
  const present = await disk.list(`${folder}/${KEY_FOLDER}`);
  if (present.length === 0) return 'brought';
  for (const { name, bytes } of keys) {
    const now = await disk.read(`${folder}/${name}`);
    if (!now || Buffer.compare(now, bytes) !== 0) return 'replaced';
  }
  return 'same';
};

const keysOf = (entries: readonly BackupEntry[]): readonly BackupEntry[] =>
  entries.filter(({ name }) => name !== FILE_NAME);

/** What a restore would change. Reads only. */
export const planRestore = async (
  disk: Disk,
  folder: string,
  entries: readonly BackupEntry[],
): Promise<Outcome<RestorePlan>> => {
  const file = entries.find(({ name }) => name === FILE_NAME);
  if (!file) return refuse('registry/backup-damaged', 'The backup holds no registry.');
  let then: RegistryState;
  try {
    // sql.js works in the bytes that it is given.
    then = (await inspectFile(file.bytes.slice())).state;
  } catch (error) {
    if (!(error instanceof RegistryFault)) throw error;
    return refuse(
      error.code === 'registry/newer-schema' ? 'registry/backup-newer' : 'registry/backup-damaged',
      `The registry in the backup can't be used: ${error.message}`,
    );
  }
  const { state: now, fault } = await inspectFolder(disk, folder);
  return accept({
    ...compareNodes(now, then),
    addedKeys: [...then.keys.keys()].filter((id) => !now.keys.has(id)),
    removedKeys: [...now.keys.keys()].filter((id) => !then.keys.has(id)),
    serverKeys: await compareServerKeys(disk, folder, keysOf(entries)),
    unreadable: fault?.message ?? null,
  });
};

/**
 * Replaces the registry, and the server's keys if the backup has some. The folder's lock has to be held. Answers where the
 * former files are now, relative to the folder; undefined if there were none.
 */
export const applyRestore = async (
  disk: Disk,
  folder: string,
  entries: readonly BackupEntry[],
  nowMs: number,
): Promise<string | undefined> => {
  const keys = keysOf(entries);
  const aside = `${BACKUP_FOLDER}/before-restore-${fileTime(nowMs)}`;
  const move = async (names: readonly string[]): Promise<void> => {
    for (const name of names) {
      const target = `${folder}/${aside}/${name}`;
      await disk.makeFolder(target.slice(0, target.lastIndexOf('/')));
      await disk.rename(`${folder}/${name}`, target);
    }
  };
  const names = await disk.list(folder);
  const segments = names.filter(isSegmentName);
  const former = [
    ...(keys.length > 0 ? (await disk.list(`${folder}/${KEY_FOLDER}`)).map((name) => `${KEY_FOLDER}/${name}`) : []),
    // The journal goes before the file: half of a restore must not look like a registry.
    ...segments,
    ...(names.includes(FILE_NAME) ? [FILE_NAME] : []),
  ];
  await move(former);
  if (keys.length > 0) await disk.makeFolder(`${folder}/${KEY_FOLDER}`);
  for (const { name, bytes } of keys) {
    await replaceFile(disk, `${folder}/${KEY_FOLDER}`, name.slice(KEY_FOLDER.length + 1), bytes);
  }
  await replaceFile(
    disk,
    folder,
    FILE_NAME,
    entries.find(({ name }) => name === FILE_NAME)?.bytes ?? new Uint8Array(0),
  );
  return former.length > 0 ? aside : undefined;
};
