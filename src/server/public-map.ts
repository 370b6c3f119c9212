// The relay map that derp.json5 says to fetch. It is asked for once a day, kept on disk, and a new one counts only if all of it can
// be read: whatever happens to its publisher, clients keep the last good one.

import fs from 'node:fs';
import path from 'node:path';
import { utf8, utf8Text } from '../base/bytes.ts';
import type { DerpRegion } from '../config/derp.ts';
import { parseDerpMap } from '../config/derpmap.ts';
import { writePrivateFile } from './keyring.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const REQUEST_MS = 20_000;
const FRESH_MS = 24 * HOUR_MS;
const RETRY_MS: readonly number[] = [MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS, 12 * HOUR_MS];
/** Some thirty times what Tailscale's has. */
const LIMIT_BYTES = 1 << 20;

export interface PublicMapOptions {
  readonly dataFolder: string;
  /** Unix milliseconds. */
  readonly now: () => number;
  /** The regions to offer from now on; called only where they differ from before. */
  readonly onRegions: (regions: readonly DerpRegion[]) => void;
  readonly note: (level: 'info' | 'warn', event: string, fields: Readonly<Record<string, unknown>>) => void;
  /** Pauses after failures, the last for all that follow. */
  readonly retryMs?: readonly number[];
}

export interface PublicMap {
  /** Where the map is from now on; undefined: nowhere, and there are no public regions. */
  readonly follow: (url: string | undefined) => void;
  readonly close: () => void;
}

interface Kept {
  readonly url: string;
  readonly fetchedMs: number;
  readonly text: string;
}

/** The body, or a throw that says in words why there is none. */
const fetchText = async (url: string, closing: AbortSignal): Promise<string> => {
  const signal = AbortSignal.any([closing, AbortSignal.timeout(REQUEST_MS)]);
  const answer = await fetch(url, { redirect: 'error', headers: { 'user-agent': 'tailplane' }, signal });
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  try {
    if (answer.status !== 200) throw new Error(`it answers with HTTP ${answer.status}`);
    for await (const chunk of answer.body ?? []) {
      sizeBytes += chunk.length;
      if (sizeBytes > LIMIT_BYTES) throw new Error(`it has more than ${LIMIT_BYTES} bytes`);
      chunks.push(chunk);
    }
  } finally {
    await answer.body?.cancel().catch(() => undefined);
  }
  return utf8Text(Buffer.concat(chunks));
};

export const openPublicMap = (options: PublicMapOptions): PublicMap => {
  const { now, note, onRegions, retryMs = RETRY_MS } = options;
  const file = path.join(options.dataFolder, 'public-map.json');
  let url: string | undefined;
  /** What clients are offered, as it was published. */
  let offered = '';
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;
  let closing = new AbortController();

  const offer = (text: string): void => {
    if (text === offered) return;
    const read = text === '' ? { regions: [] } : parseDerpMap(utf8(text));
    if (!read.regions) throw new Error(read.reason);
    offered = text;
    onRegions(read.regions);
  };

  const readKept = (): Kept | undefined => {
    try {
      const kept = JSON.parse(fs.readFileSync(file, 'utf8')) as Kept;
      if (kept.url !== url || typeof kept.text !== 'string' || !Number.isFinite(kept.fetchedMs)) return undefined;
      offer(kept.text);
      return kept;
    } catch {
      // None yet, or half a file: it is fetched anew.
      return undefined;
    }
  };

  const schedule = (delayMs: number): void => {
    timer = setTimeout(() => void renew(), Math.max(0, Math.min(delayMs, FRESH_MS)));
    timer.unref();
  };

  const renew = async (): Promise<void> => {
    if (url === undefined) return;
    const asked = closing.signal;
    try {
      const text = await fetchText(url, asked);
      if (asked.aborted) return;
      offer(text);
      writePrivateFile(file, utf8(JSON.stringify({ url, fetchedMs: now(), text } satisfies Kept)));
      failures = 0;
      schedule(FRESH_MS);
    } catch (error) {
      if (asked.aborted) return;
      const delayMs = retryMs[Math.min(failures++, retryMs.length - 1)] as number;
      note('warn', 'the public relay map could not be renewed; the last good one stays', {
        reason: (error as Error).message,
        nextTrySeconds: Math.round(delayMs / 1000),
      });
      schedule(delayMs);
    }
  };

  const stop = (): void => {
    clearTimeout(timer);
    closing.abort();
    closing = new AbortController();
  };

  return {
    follow: (next) => {
      if (next === url) return;
      stop();
      url = next;
      failures = 0;
      const kept = url === undefined ? undefined : readKept();
      // What another publisher offered is no part of this map.
      if (!kept) offer('');
      if (url !== undefined) schedule(kept ? kept.fetchedMs + FRESH_MS - now() : 0);
    },
    close: () => {
      stop();
      url = undefined;
    },
  };
};
