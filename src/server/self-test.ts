// Whether clients can use this server, tried as a client would from this machine: the URL leads here, the certificate is one
// that clients believe, the relay and STUN answer, the clock is right. Each answer is a sentence for whoever set it up.

import { createHash, randomBytes } from 'node:crypto';
import dgram from 'node:dgram';
import http from 'node:http';
import https from 'node:https';
import tls from 'node:tls';
import { certificateProblem } from '../source/refused.ts';
import { decodeStunResponse, encodeStunRequest } from '../derp/stun.ts';
import type { Logger } from './log.ts';
import type { DerpRegion } from '../wire/derp.ts';

export interface SelfTestTarget {
  /** What clients pass to --login-server. */
  readonly url: string;
  /** The server's public key, `mkey:…`, as its `/key` answers. */
  readonly key: string;
  /** The embedded relay as clients are told of it. */
  readonly relay: DerpRegion | null;
  /** Where the tailnet comes from: the answer of an https host tells the time. */
  readonly source: string;
}

export interface SelfTestAnswer {
  readonly about: 'address' | 'certificate' | 'relay' | 'STUN' | 'clock';
  readonly state: 'works' | 'fails' | 'unsure';
  /** A sentence. */
  readonly text: string;
  /** What to do about it, where it fails. */
  readonly help?: string;
}

const WAIT_MS = 5_000;
const STUN_TRIES = 3;
const STUN_WAIT_MS = 700;
const SOON_DAYS = 14;
const DAY_MS = 86_400_000;
const CLOCK_SLACK_MS = 60_000;
const ANSWER_LIMIT_BYTES = 4096;

const LOOPBACK = /^(?:localhost|127\.\d+\.\d+\.\d+|::1)$/;

interface Answer {
  readonly status: number;
  readonly head: http.IncomingHttpHeaders;
  readonly body: string;
  /** What the relay says first after the upgrade. */
  readonly first?: Buffer;
  /** In DER. */
  readonly certificate?: Buffer;
}

const get = async (url: URL, options: https.RequestOptions): Promise<Answer> =>
  await new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? https : http).get(url, { ...options, agent: false, timeout: WAIT_MS });
    request.on('timeout', () => request.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })));
    request.on('error', reject);
    request.on('response', (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => {
        body += chunk.toString('latin1');
        if (body.length > ANSWER_LIMIT_BYTES) response.destroy();
      });
      response.on('close', () => resolve({ status: response.statusCode ?? 0, head: response.headers, body }));
    });
    request.on('upgrade', (response, socket, head) => {
      const certificate = socket instanceof tls.TLSSocket ? { certificate: socket.getPeerCertificate().raw } : {};
      const done = (first: Buffer): void => {
        socket.destroy();
        resolve({ status: response.statusCode ?? 0, head: response.headers, body: '', first, ...certificate });
      };
      if (head.length > 0) done(head);
      else socket.once('data', done).once('error', reject);
    });
  });

const WHY: Readonly<Record<string, string>> = {
  ENOTFOUND: 'the name does not resolve',
  EAI_AGAIN: 'the name does not resolve at the moment',
  ECONNREFUSED: 'nothing listens there',
  ETIMEDOUT: 'there is no answer; a firewall may be in the way',
  EHOSTUNREACH: 'there is no route to it',
  ENETUNREACH: 'there is no route to it',
  ECONNRESET: 'the connection is cut',
  EPROTO: 'it does not speak TLS',
};

const whyOf = (error: unknown): string => {
  const { code, errors } = error as { code?: string; errors?: readonly unknown[] };
  return WHY[code ?? ''] ?? (errors?.[0] ? whyOf(errors[0]) : `it fails (${code ?? (error as Error).message})`);
};

/** Trust in a certificate is an answer of its own. */
const UNCHECKED = { rejectUnauthorized: false } as const;

const testAddress = async ({ url, key }: SelfTestTarget): Promise<SelfTestAnswer> => {
  const about = 'address';
  try {
    const { status, body } = await get(new URL('/key?v=130', url), UNCHECKED);
    if (status === 200 && body.includes(`"${key}"`))
      return { about, state: 'works', text: `${url} leads to this server.` };
    const text = body.includes('"mkey:')
      ? `${url} leads to another control server.`
      : `${url} leads to something else, which answers with HTTP ${status}.`;
    return {
      about,
      state: 'fails',
      text,
      help: 'Look at the name, the port and the proxy in front, or set --url to what clients use.',
    };
  } catch (error) {
    const help =
      'Clients elsewhere may still reach it: some routers let no machine inside reach their outer address. Otherwise look at the name, the port and the firewall, or set --url to what clients use.';
    return { about, state: 'fails', text: `${url} does not lead here from this machine: ${whyOf(error)}.`, help };
  }
};

const testCertificate = async ({ url }: SelfTestTarget, nowMs: number): Promise<SelfTestAnswer | undefined> => {
  const { protocol, hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  const about = 'certificate';
  if (protocol === 'http:') {
    if (LOOPBACK.test(host)) return { about, state: 'works', text: 'There is no TLS, which is fine on loopback.' };
    const text = `${url} is plain HTTP: whoever is on the way can pass for this server.`;
    return {
      about,
      state: 'fails',
      text,
      help: 'Use https: --acme-directory, --tls-cert with --tls-key, or a proxy with TLS in front.',
    };
  }
  const servername = /^[\d.]+$|:/.test(host) ? undefined : host;
  return await new Promise((resolve) => {
    const socket = tls.connect({
      ...UNCHECKED,
      host,
      port: Number(port || 443),
      timeout: WAIT_MS,
      ...(servername === undefined ? {} : { servername }),
    });
    const end = (answer: SelfTestAnswer | undefined): void => {
      socket.destroy();
      resolve(answer);
    };
    // That it can't be reached is told by the address.
    socket.on('error', () => end(undefined)).on('timeout', () => end(undefined));
    socket.on('secureConnect', () => {
      const { valid_to: until } = socket.getPeerCertificate();
      const days = Math.trunc((Date.parse(until) - nowMs) / DAY_MS);
      if (!socket.authorized) {
        const code = String(socket.authorizationError);
        const why = certificateProblem(code) ?? `is not trusted (${code})`;
        const text = `Clients refuse the certificate of ${host}: ${days < 0 ? `it expired ${-days} days ago` : `it ${why}`}.`;
        end({
          about,
          state: 'fails',
          text,
          help: 'Get one that every machine believes (--acme-directory), or install your authority on each of them.',
        });
      } else if (days < SOON_DAYS) {
        const text = `The certificate of ${host} is good for ${days} more days only.`;
        end({ about, state: 'unsure', text, help: 'It should have been renewed by now: the log says why not.' });
      } else end({ about, state: 'works', text: `The certificate of ${host} is good for ${days} more days.` });
    });
  });
};

const PINNED = 'sha256-raw:';

const testRelay = async ({ relay }: SelfTestTarget): Promise<SelfTestAnswer | undefined> => {
  const node = relay?.Nodes?.[0];
  if (!node) return undefined;
  const about = 'relay';
  const host = node.HostName;
  const at = `${host}:${node.DERPPort ?? 443}`;
  const help =
    'Clients that find no direct path to each other need it. It takes the port of --listen, by TLS; a proxy in front has to pass upgrades on.';
  const pin = node.CertName?.startsWith(PINNED) ? node.CertName.slice(PINNED.length) : undefined;
  const headers = { connection: 'Upgrade', upgrade: 'DERP' };
  try {
    const url = new URL(`https://${host.includes(':') ? `[${host}]` : host}:${node.DERPPort ?? 443}/derp`);
    const { status, first, certificate } = await get(url, { ...(pin === undefined ? {} : UNCHECKED), headers });
    if (status !== 101 || first?.subarray(5, 9).toString('latin1') !== 'DERP')
      return {
        about,
        state: 'fails',
        text: `The relay at ${at} answers with HTTP ${status} instead of its own protocol.`,
        help,
      };
    if (
      pin !== undefined &&
      createHash('sha256')
        .update(certificate ?? '')
        .digest('hex') !== pin
    )
      return {
        about,
        state: 'fails',
        text: `The relay at ${at} shows another certificate than clients are told to expect.`,
        help,
      };
    return { about, state: 'works', text: `The relay answers at ${at}.` };
  } catch (error) {
    return { about, state: 'fails', text: `The relay at ${at} can't be used: ${whyOf(error)}.`, help };
  }
};

const testStun = async ({ relay }: SelfTestTarget): Promise<SelfTestAnswer | undefined> => {
  const node = relay?.Nodes?.[0];
  const port = node?.STUNPort ?? 3478;
  if (!node || port < 0) return undefined;
  const at = `${node.HostName}:${port}`;
  const socket = dgram.createSocket(node.HostName.includes(':') ? 'udp6' : 'udp4');
  const transaction = randomBytes(12);
  let timer: NodeJS.Timeout | undefined;
  try {
    const seen = await new Promise<string | undefined>((resolve) => {
      socket.on('message', (message) => {
        const address = decodeStunResponse(message, transaction);
        if (address !== undefined) resolve(address);
      });
      socket.on('error', () => resolve(undefined));
      let tries = 0;
      const send = (): void => {
        if (tries++ === STUN_TRIES) {
          resolve(undefined);
          return;
        }
        socket.send(encodeStunRequest(transaction), port, node.HostName, (error) => error && resolve(undefined));
        timer = setTimeout(send, STUN_WAIT_MS);
      };
      send();
    });
    if (seen !== undefined)
      return { about: 'STUN', state: 'works', text: `STUN answers at ${at} and sees this machine as ${seen}.` };
    const help = `Let UDP port ${port} in. Without it clients learn their outer address from no one and talk through the relay, which is slower.`;
    return { about: 'STUN', state: 'fails', text: `STUN does not answer at ${at}.`, help };
  } finally {
    clearTimeout(timer);
    socket.close();
  }
};

const testClock = async ({ source }: SelfTestTarget, now: () => number): Promise<SelfTestAnswer | undefined> => {
  if (!source.startsWith('https://')) return undefined;
  const about = 'clock';
  const { host, origin } = new URL(source);
  const unsure: SelfTestAnswer = {
    about,
    state: 'unsure',
    text: `The clock could not be compared with that of ${host}.`,
  };
  try {
    const { head } = await get(new URL(origin), UNCHECKED);
    const aheadMs = now() - Date.parse(head.date ?? '');
    if (Number.isNaN(aheadMs)) return unsure;
    if (Math.abs(aheadMs) <= CLOCK_SLACK_MS)
      return { about, state: 'works', text: `The clock agrees with that of ${host}.` };
    const seconds = Math.round(Math.abs(aheadMs) / 1000);
    const text = `The clock is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} that of ${host}.`;
    return {
      about,
      state: 'fails',
      text,
      help: 'Keys expire and certificates are judged by it: let the machine follow a time server.',
    };
  } catch {
    return unsure;
  }
};

/** All at once; none takes longer than a few seconds, and none throws. */
export const runSelfTest = async (target: SelfTestTarget, now: () => number): Promise<readonly SelfTestAnswer[]> => {
  const answers = await Promise.all([
    testAddress(target),
    testCertificate(target, now()),
    testRelay(target),
    testStun(target),
    testClock(target, now),
  ]);
  return answers.filter((answer) => answer !== undefined);
};

/** Runs it once in the background and logs what fails. Gives the way to say that nobody listens any more. */
export const tellSelfTest = (target: SelfTestTarget, now: () => number, log: Logger): (() => void) => {
  let isOver = false;
  const tell = async (): Promise<void> => {
    const answers = await runSelfTest(target, now);
    if (isOver) return;
    const failing = answers.filter(({ state }) => state === 'fails');
    for (const { about, text, help } of failing) log.warn({ about, help }, text);
    const works = answers.filter(({ state }) => state === 'works').map(({ about }) => about);
    if (failing.length === 0) log.info({ works }, 'clients on this machine can use this server');
  };
  void tell().catch(() => {});
  return () => {
    isOver = true;
  };
};
