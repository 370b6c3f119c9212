// The desk at which a person shows who they are before they decide something on a page. What was shown holds for one question,
// one browser and a few minutes, and only as long as it stays true. A credential comes to the desk today; an identity provider
// that vouches for somebody brings the same proof.

import { createHash, timingSafeEqual } from 'node:crypto';
import { formatBase32, utf8 } from '../base/bytes.ts';
import { refuse, type Outcome } from '../base/outcome.ts';
import { createRates, networkOf } from '../base/census.ts';
import type { Actor, Proof } from '../identity/credential.ts';
import type { Random } from '../keys/crypto.ts';

export interface DeskPorts {
  readonly now: () => number;
  readonly random: Random;
  /** Takes what somebody pasted. */
  readonly prove: (credential: string) => Outcome<Proof>;
}

/** Somebody who has shown who they are, for one question. */
export interface Visit {
  readonly actor: Actor;
  /** Stands in the form: another site can't know it. */
  readonly formToken: string;
}

export interface Desk {
  /** Counts an attempt and judges it. `address` is where it comes from. */
  readonly show: (credential: string, address: string) => Outcome<Proof>;
  /** Lets somebody decide about a question; gives the text of the cookie that tells them from others. */
  readonly admit: (question: string, proof: Proof) => string;
  readonly visitOf: (question: string, cookie: string) => Visit | undefined;
  readonly isOwnForm: (visit: Visit, token: string) => boolean;
  readonly leave: (cookie: string) => void;
}

export const VISIT_MS = 5 * 60_000;
const TOKEN_BYTES = 20;
const MAX_VISITS = 1000;
/** Credentials that one address may try at once, and for a long time. */
const BURST = 10;
const PER_SECOND = 1 / 6;

interface Entry {
  readonly question: string;
  readonly proof: Proof;
  readonly formToken: string;
  readonly expiresMs: number;
}

const digest = (text: string): Buffer => createHash('sha256').update(utf8(text)).digest();

export const createDesk = ({ now, random, prove }: DeskPorts): Desk => {
  const rates = createRates(PER_SECOND, BURST);
  /** By the hash of the cookie, in the order in which they end. */
  const visits = new Map<string, Entry>();
  const nameOf = (cookie: string): string => digest(cookie).toString('hex');
  const token = (): string => formatBase32(random(TOKEN_BYTES)).toLowerCase();

  const forgetOld = (): void => {
    for (const [name, { expiresMs }] of visits) {
      if (expiresMs > now() && visits.size <= MAX_VISITS) break;
      visits.delete(name);
    }
  };

  return {
    show: (credential, address) => {
      if (!rates.allows(networkOf(address), now()))
        return refuse('identity/too-many-attempts', 'Too many attempts from your address. Try again in a minute.');
      return prove(credential);
    },
    admit: (question, proof) => {
      const cookie = token();
      visits.set(nameOf(cookie), { question, proof, formToken: token(), expiresMs: now() + VISIT_MS });
      forgetOld();
      return cookie;
    },
    visitOf: (question, cookie) => {
      const entry = visits.get(nameOf(cookie));
      if (entry?.question !== question || entry.expiresMs <= now()) return undefined;
      const actor = entry.proof();
      return actor.ok ? { actor: actor.value, formToken: entry.formToken } : undefined;
    },
    isOwnForm: ({ formToken }, shown) => timingSafeEqual(digest(formToken), digest(shown)),
    leave: (cookie) => void visits.delete(nameOf(cookie)),
  };
};
