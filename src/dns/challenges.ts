// Challenge records that are out: each is there for some minutes, and then taken away. What is out is written down first, so
// that a server that died takes it away at its next start.

import { accept, refuse, type Outcome } from '../base/outcome.ts';
import type { DnsProvider } from './provider.ts';

export interface ChallengeOptions {
  readonly provider: DnsProvider;
  readonly now: () => number;
  /** Names whose records may be out. */
  readonly ledger: { readonly read: () => readonly string[]; readonly write: (names: readonly string[]) => void };
  /** A record could not be taken away; it is tried again. */
  readonly onLeft: (name: string, reason: string) => void;
  /** How long a record is there; a certificate authority looks within seconds. */
  readonly keepMs?: number;
}

export interface Challenges {
  /** Resolves when the record is served, besides those of the same name that are still out. */
  readonly publish: (record: { readonly name: string; readonly value: string }) => Promise<Outcome<undefined>>;
  /** Takes away what is out, as far as that goes in a moment. */
  readonly close: () => Promise<void>;
}

interface Name {
  /** Until when each value is there. */
  readonly values: Map<string, number>;
  /** The last work on the name; the next begins after it. */
  work: Promise<unknown>;
  /** How often it could not be taken away. */
  failures: number;
  timer?: NodeJS.Timeout;
}

const KEEP_MS = 10 * 60_000;
const CLOSE_MS = 1_500;
/** More names than this are not worked on at once: each may take a while. */
const NAMES = 256;
/** Then it is left: an old record proves nothing to anybody, and the name's next certificate replaces it. */
const TRIES = 6;

const newName = (): Name => ({ values: new Map(), work: Promise.resolve(), failures: 0 });

export const createChallenges = ({ provider, now, ledger, onLeft, keepMs = KEEP_MS }: ChallengeOptions): Challenges => {
  const names = new Map<string, Name>();
  let isClosed = false;

  const remember = (): void => ledger.write([...names.keys()].sort());

  /** One after the other for each name, so that the last one to speak is the last one heard. */
  const inTurn = async <T>(entry: Name, work: () => Promise<T>): Promise<T> => {
    const result = entry.work.then(work);
    entry.work = result.catch(() => {});
    return result;
  };

  const takeAway = async (name: string, entry: Name): Promise<void> =>
    inTurn(entry, async () => {
      for (const [value, untilMs] of entry.values) if (untilMs <= now()) entry.values.delete(value);
      const removed = await provider.setTexts(name, [...entry.values.keys()]);
      if (!removed.ok) onLeft(name, removed.reason);
      entry.failures = removed.ok ? 0 : entry.failures + 1;
      if (entry.values.size === 0 && (removed.ok || entry.failures >= TRIES)) {
        clearTimeout(entry.timer);
        names.delete(name);
        remember();
        return;
      }
      schedule(name, entry);
    });

  const schedule = (name: string, entry: Name): void => {
    clearTimeout(entry.timer);
    if (isClosed) return;
    entry.timer = setTimeout(() => begin(name, entry), keepMs);
    entry.timer.unref();
  };

  /** Without anybody who waits for it. */
  const begin = (name: string, entry: Name): void => {
    takeAway(name, entry).catch((fault: unknown) => onLeft(name, String(fault)));
  };

  for (const name of ledger.read()) {
    const entry = newName();
    names.set(name, entry);
    begin(name, entry);
  }

  return {
    publish: async ({ name, value }) => {
      const known = names.get(name);
      if (isClosed || (!known && names.size >= NAMES)) return refuse('dns/busy', 'Too many certificates are being made; try again in some minutes.'); // prettier-ignore
      const entry = known ?? newName();
      names.set(name, entry);
      if (!known) remember();
      return inTurn(entry, async () => {
        // Taken away in the meantime.
        if (!names.has(name)) {
          names.set(name, entry);
          remember();
        }
        for (const [old, untilMs] of entry.values) if (untilMs <= now()) entry.values.delete(old);
        entry.values.set(value, now() + keepMs);
        const published = await provider.setTexts(name, [...entry.values.keys()]);
        if (!published.ok) entry.values.delete(value);
        schedule(name, entry);
        return published.ok ? accept(undefined) : published;
      });
    },
    close: async () => {
      isClosed = true;
      for (const { timer, values } of names.values()) {
        clearTimeout(timer);
        values.clear();
      }
      const all = Promise.allSettled([...names].map(([name, entry]) => takeAway(name, entry)));
      const patience = Promise.withResolvers<void>();
      const timer = setTimeout(patience.resolve, CLOSE_MS);
      await Promise.race([all, patience.promise]);
      clearTimeout(timer);
    },
  };
};
