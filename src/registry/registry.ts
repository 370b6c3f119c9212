// The port of the registry: what exists in the tailnet because clients registered it, as opposed to what git declares.
// Nothing outside this room may know which adapter runs; test/registry/contract.ts holds every adapter to the same cases.

import type { Code } from '../base/catalogue.ts';
import type { Outcome } from '../base/outcome.ts';
import type { NodeId } from '../base/ids.ts';
import type { Address } from '../base/address.ts';
import type { MachineKey, NodeKey } from '../keys/text.ts';
import type { RegistryChange } from './change.ts';
import type { RegistryEvent } from './event.ts';
import type { KeyId, KeyRecord, KeyUse, LoginId, LoginRecord, NodeRecord, Observation } from './record.ts';

/**
 * Everything that is registered, and safe on disk: a change shows here only after it was made durable. The maps are live
 * and belong to the registry; the records in them never change.
 */
export interface RegistryView {
  readonly nodes: ReadonlyMap<NodeId, NodeRecord>;
  readonly byNodeKey: ReadonlyMap<NodeKey, NodeId>;
  /** A machine has a node for each owner that logged in on it. */
  readonly byMachineKey: ReadonlyMap<MachineKey, readonly NodeId[]>;
  /** By MagicDNS label. */
  readonly byName: ReadonlyMap<string, NodeId>;
  readonly byAddress: ReadonlyMap<Address, NodeId>;
  readonly keys: ReadonlyMap<KeyId, KeyRecord>;
  readonly keyUses: ReadonlyMap<KeyId, KeyUse>;
  readonly logins: ReadonlyMap<LoginId, LoginRecord>;
  /** Logins that wait for a decision, by `askerOf(machineKey, nodeKey)` of state.ts. */
  readonly pendingLogins: ReadonlyMap<string, LoginId>;
  /** Grows with every change; equal numbers mean equal content. */
  readonly version: number;
}

export interface Applied {
  /** In order; empty where the event asked for what was already so. */
  readonly changes: readonly RegistryChange[];
  /** The node that the event was about, as it is now; null where there was none or it was removed. */
  readonly node: NodeRecord | null;
  /** The login that the event was about: for `begin-login` the one that now waits, which may be an earlier one. */
  readonly login: LoginRecord | null;
}

export interface RegistryStatus {
  /** `refusing`: nothing can be made durable now, events get a temporary refusal; reads and notes go on. */
  readonly state: 'ready' | 'slow' | 'refusing' | 'closed';
  /** Since when, Unix milliseconds. */
  readonly sinceMs: number;
  /** What the disk said, for an administrator; null while all is well. */
  readonly problem: string | null;
  readonly nodes: number;
  /** Bytes in the journal that the file doesn't hold yet. */
  readonly journalBytes: number;
  /** Group commits and events in them since the start. */
  readonly commits: number;
  readonly events: number;
  /** Duration of the last commit's write and fsync. */
  readonly lastCommitMs: number;
  /** When the file was last written, Unix milliseconds; 0 if never. */
  readonly lastSnapshotMs: number;
}

/** Something an administrator should read. */
export interface RegistryWarning {
  readonly code: Code;
  readonly message: string;
}

export interface Registry {
  readonly view: RegistryView;
  /**
   * Decides one event on everything decided before it, and answers when the result is durable. A refusal changed
   * nothing; `registry/unavailable` and `registry/busy` are temporary and may be tried again as they are.
   */
  readonly apply: (event: RegistryEvent) => Promise<Outcome<Applied>>;
  /** Notes what a client says about itself. Shows at once; lost in a crash unless the file was written since. */
  readonly note: (id: NodeId, observation: Partial<Observation>) => void;
  /** Called after each commit and each note that changed something, in order. A listener must not throw. */
  readonly subscribe: (listener: (changes: readonly RegistryChange[]) => void) => () => void;
  readonly status: () => RegistryStatus;
  /** Writes the file now; resolves when it is on disk. */
  readonly checkpoint: () => Promise<void>;
  /** A consistent copy of everything, as one SQLite file. */
  readonly exportFile: () => Promise<Uint8Array>;
  /** Finishes what was begun, writes the file, lets go of the folder. Later events are refused. */
  readonly close: () => Promise<void>;
}
