// Records through dynamic updates (RFC 2136) of the zone's primary name server: every message is signed, the zone is what
// the server says that it is, and one update takes the old records away and puts the new ones there.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { accept, refuse, type Outcome } from '../base/outcome.ts';
import { exchangeOverTcp, type Exchange, type NameServer } from './exchange.ts';
import { CLASS, decodeResponse, decodeText, encodeRequest, encodeText, OPCODE, rcodeName, TYPE } from './message.ts';
import type { DnsRequest, DnsResponse, ResourceRecord } from './message.ts';
import type { DnsProvider } from './provider.ts';
import { signMessage, verifyResponse, type UpdateKey } from './signature.ts';

export interface UpdateOptions {
  readonly primary: NameServer;
  readonly key: UpdateKey;
  /** Other servers of the zone, which get it from the primary: waited for, because a certificate authority may ask them. */
  readonly secondaries: readonly NameServer[];
  readonly now: () => number;
  readonly exchange?: Exchange;
  readonly spreadMs?: number;
}

/** Answers are asked for while they are wrong, so they must not be kept for long. */
const TTL_SECONDS = 30;
/** How long the secondaries have, and how often they are asked. */
const SPREAD_MS = 20_000;
const ASK_EVERY_MS = 250;

const newId = (): number => randomBytes(2).readUInt16BE(0);
const sameTexts = (a: readonly string[], b: readonly string[]): boolean =>
  [...a].sort().join('\n') === [...b].sort().join('\n');

export const createUpdateProvider = (options: UpdateOptions): DnsProvider => {
  const { primary, key, secondaries, now, exchange = exchangeOverTcp, spreadMs = SPREAD_MS } = options;

  const ask = async (request: Omit<DnsRequest, 'id'>): Promise<Outcome<DnsResponse>> => {
    const message = encodeRequest({ id: newId(), ...request });
    if (!message) return refuse('dns/refused', 'That is no name that a record can have.');
    const signed = signMessage(key, message, now());
    let answer: Uint8Array;
    try {
      answer = await exchange(primary, signed.message);
    } catch (error) {
      return refuse('dns/unreachable', `The name server cannot be asked: ${(error as Error).message}.`);
    }
    const verified = verifyResponse(key, answer, signed.mac, now());
    return verified.ok
      ? accept(verified.response)
      : refuse('dns/unsigned', `The answer of the name server ${verified.reason}.`);
  };

  /** The zone that holds the name: its SOA is in the answer, or in what is said along with «no such name». */
  const zoneOf = async (name: string): Promise<Outcome<string>> => {
    const answer = await ask({ opcode: OPCODE.query, question: { name, type: TYPE.SOA } });
    if (!answer.ok) return answer;
    const { rcode, answers, authority } = answer.value;
    const soa = [...answers, ...authority].find(({ type }) => type === TYPE.SOA);
    if (soa && (name === soa.name || name.endsWith(`.${soa.name}`))) return accept(soa.name);
    return refuse('dns/refused', `The name server has no zone for ${name} (${rcodeName(rcode)}).`);
  };

  const serves = async (server: NameServer, name: string, values: readonly string[]): Promise<boolean> => {
    const request = encodeRequest({ id: newId(), opcode: OPCODE.query, question: { name, type: TYPE.TXT } });
    try {
      const answer = decodeResponse(await exchange(server, request as Uint8Array));
      const texts = (answer?.answers ?? []).filter((record) => record.type === TYPE.TXT && record.name === name);
      return sameTexts(texts.map(({ data }) => decodeText(data)), values); // prettier-ignore
    } catch {
      return false;
    }
  };

  const waitFor = async (server: NameServer, name: string, values: readonly string[]): Promise<boolean> => {
    const endMs = now() + spreadMs;
    while (!(await serves(server, name, values))) {
      if (now() > endMs) return false;
      await sleep(ASK_EVERY_MS);
    }
    return true;
  };

  return {
    setTexts: async (name, values) => {
      const zone = await zoneOf(name);
      if (!zone.ok) return zone;
      const record = { name, type: TYPE.TXT };
      const updates: ResourceRecord[] = [
        // «Delete an RRset» (section 2.5.2); no data, no time to live.
        { ...record, class: CLASS.ANY, ttlSeconds: 0, data: new Uint8Array() },
        ...values.map((text) => ({ ...record, class: CLASS.IN, ttlSeconds: TTL_SECONDS, data: encodeText(text) })),
      ];
      const question = { name: zone.value, type: TYPE.SOA };
      const answer = await ask({ opcode: OPCODE.update, question, authority: updates });
      if (!answer.ok) return answer;
      if (answer.value.rcode !== 0)
        return refuse('dns/refused', `The name server did not take the record (${rcodeName(answer.value.rcode)}).`);
      // Nobody waits for a record to be gone.
      if (values.length === 0) return accept(undefined);
      const arrived = await Promise.all(secondaries.map((server) => waitFor(server, name, values)));
      return arrived.every(Boolean)
        ? accept(undefined)
        : refuse('dns/late', 'Not all name servers of the zone had the record in time.');
    },
  };
};
