// A certificate from an ACME server (RFC 8555), renewed when two thirds of its life are over. Account and certificate are
// kept in the data folder; a failure is told, tried again later and later, and never stops the server, which goes on with the
// certificate that it has.

import { X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

import type { Client } from 'acme-client';

import { utf8 } from '../base/bytes.ts';
import type { TlsContext } from './certificate-files.ts';
import type { PendingChallenges } from './challenges.ts';
import { writePrivateFile } from './keyring.ts';

export interface AcmeOptions {
  readonly directoryUrl: string;
  readonly email?: string;
  readonly hostname: string;
  readonly folder: string;
  readonly challenges: PendingChallenges;
  readonly now: () => number;
  readonly onCertificate: (context: TlsContext) => void;
  readonly onFailure: (reason: string, retryInMs: number) => void;
  /** Waits after one, two, three … failures in a row; the last stays. */
  readonly retryMs?: readonly number[];
}

export interface AcmeCertificate {
  /** What is stored and still valid. */
  readonly stored: TlsContext | undefined;
  /** Orders and renews from now on; the challenges have to be answered by then. */
  readonly begin: () => void;
  readonly close: () => void;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** Below the limits of Let's Encrypt, which takes five failures of one name in an hour. */
const RETRY_MS = [MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS, 12 * HOUR_MS];

/** It and what it needs are most of what a server would load, and most servers never ask for a certificate. */
const library = async () => (await import('acme-client')).default;

/** How often the ACME server is asked whether it is done. */
const POLLING = { backoffMin: 1_000, backoffMax: 20_000, backoffAttempts: 12 };

/** Which of the two reaches us depends on what stands before us, a proxy or a firewall: after a failure the other is tried. */
const challengeOrder = (failures: number): readonly string[] =>
  failures % 2 === 0 ? ['tls-alpn-01', 'http-01'] : ['http-01', 'tls-alpn-01'];

/** When a new certificate is due, in the clock of `now`: renewals of many servers spread by a twentieth of the life. */
export const renewalMs = ({ cert }: TlsContext, random: number): number => {
  const { validFromDate, validToDate } = new X509Certificate(cert);
  const from = validFromDate.getTime();
  return from + (validToDate.getTime() - from) * (2 / 3 - random / 20);
};

export const openAcme = (options: AcmeOptions): AcmeCertificate => {
  const { hostname, challenges, now } = options;
  const retryMs = options.retryMs ?? RETRY_MS;
  // One folder for each ACME server: an account of one is unknown to the next.
  const folder = path.join(options.folder, new URL(options.directoryUrl).host.replace(':', '_'));
  const certFile = path.join(folder, `${hostname}.crt`);
  const keyFile = path.join(folder, `${hostname}.key`);
  const accountFile = path.join(folder, 'account.json');
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  const readStored = (): TlsContext | undefined => {
    try {
      const context = { cert: fs.readFileSync(certFile, 'utf8'), key: fs.readFileSync(keyFile, 'utf8') };
      const leaf = new X509Certificate(context.cert);
      return leaf.validToDate.getTime() > now() && leaf.checkHost(hostname) !== undefined ? context : undefined;
    } catch {
      return undefined;
    }
  };

  /** The account of this server, made at the first order; kept only once the ACME server knows it. */
  const openAccount = async (): Promise<Client> => {
    const acme = await library();
    const { directoryUrl, email } = options;
    if (fs.existsSync(accountFile)) {
      const { key, url } = JSON.parse(fs.readFileSync(accountFile, 'utf8')) as Readonly<Record<'key' | 'url', string>>;
      return new acme.Client({ directoryUrl, accountKey: key, accountUrl: url, ...POLLING });
    }
    const accountKey = await acme.crypto.createPrivateEcdsaKey('P-256');
    const client = new acme.Client({ directoryUrl, accountKey, ...POLLING });
    await client.createAccount({
      termsOfServiceAgreed: true,
      ...(email === undefined ? {} : { contact: [`mailto:${email}`] }),
    });
    const account = { key: accountKey.toString(), url: client.getAccountUrl() };
    writePrivateFile(accountFile, utf8(JSON.stringify(account)));
    return client;
  };

  const order = async (): Promise<TlsContext> => {
    const client = await openAccount();
    const acme = await library();
    const [key, csr] = await acme.crypto.createCsr(
      { commonName: hostname, altNames: [hostname] },
      await acme.crypto.createPrivateEcdsaKey('P-256'),
    );
    const takeBack: (() => void)[] = [];
    try {
      const cert = await client.auto({
        csr,
        // It would dial our public address, which many networks don't let their own machines reach.
        skipChallengeVerification: true,
        challengePriority: [...challengeOrder(failures)],
        challengeCreateFn: async (authorization, challenge, keyAuthorization) => {
          if (challenge.type === 'http-01') {
            takeBack.push(challenges.offerHttp(challenge.token, keyAuthorization));
            return;
          }
          const [alpnKey, alpnCert] = await acme.crypto.createAlpnCertificate(authorization, keyAuthorization);
          takeBack.push(challenges.offerTls(authorization.identifier.value, { cert: alpnCert, key: alpnKey }));
        },
        challengeRemoveFn: async () => {},
      });
      return { cert, key: key.toString() };
    } finally {
      for (const take of takeBack) take();
    }
  };

  const schedule = (delayMs: number): void => {
    if (isClosed) return;
    // A timer holds 24 days at most; on the way a machine may have slept, so it looks again once a day.
    timer = setTimeout(() => (delayMs > DAY_MS ? begin() : void attempt()), Math.max(0, Math.min(delayMs, DAY_MS)));
    timer.unref();
  };

  const attempt = async (): Promise<void> => {
    try {
      const context = await order();
      writePrivateFile(keyFile, utf8(context.key));
      writePrivateFile(certFile, utf8(context.cert));
      failures = 0;
      if (!isClosed) options.onCertificate(context);
      schedule(renewalMs(context, Math.random()) - now());
    } catch (error) {
      const waitMs = retryMs[Math.min(failures, retryMs.length - 1)] as number;
      failures++;
      if (!isClosed) options.onFailure((error as Error).message, waitMs);
      schedule(waitMs);
    }
  };

  const begin = (): void => {
    clearTimeout(timer);
    const context = readStored();
    schedule(context ? renewalMs(context, 0) - now() : 0);
  };

  return {
    stored: readStored(),
    begin,
    close: () => {
      isClosed = true;
      clearTimeout(timer);
    },
  };
};
