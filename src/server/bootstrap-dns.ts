// Addresses for clients whose DNS fails: they ask any relay whose address they have kept for the control server and for relays
// (`/bootstrap-dns`). We answer for our own names alone, from what was resolved last.

import dns from 'node:dns/promises';
import { isIP } from 'node:net';

export interface BootstrapDns {
  /** `{ name: addresses }` for a name of ours, or `{}`. */
  readonly answer: (name: string) => Readonly<Record<string, readonly string[]>>;
}

type Resolve = (name: string) => Promise<readonly string[]>;

const FRESH_MS = 10 * 60_000;

const resolveBoth: Resolve = async (name) => {
  const answers = await Promise.allSettled([dns.resolve4(name), dns.resolve6(name)]);
  return answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
};

/** `names` are ours at the time of the question. A name is resolved again when somebody asks and the answer is old. */
export const createBootstrapDns = (
  names: () => readonly string[],
  now: () => number,
  resolve: Resolve = resolveBoth,
): BootstrapDns => {
  const known = new Map<string, { addresses: readonly string[]; askedAtMs: number }>();
  const refresh = async (name: string): Promise<void> => {
    const before = known.get(name)?.addresses ?? [];
    known.set(name, { addresses: before, askedAtMs: now() });
    const addresses = await resolve(name).catch(() => []);
    // What was right before our own DNS failed is the best answer there is.
    if (addresses.length > 0) known.set(name, { addresses, askedAtMs: now() });
  };
  const answer = (name: string): Readonly<Record<string, readonly string[]>> => {
    if (isIP(name) !== 0 || !name.includes('.') || !names().includes(name)) return {};
    const entry = known.get(name);
    if (!entry || now() - entry.askedAtMs > FRESH_MS) void refresh(name);
    return entry && entry.addresses.length > 0 ? { [name]: entry.addresses } : {};
  };
  for (const name of names()) answer(name);
  return { answer };
};
