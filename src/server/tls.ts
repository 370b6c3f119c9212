// The certificate that the shared port shows: the files of the settings, one of an ACME server, or one of our own that clients
// of the relay pin by its hash. `/ts2021` accepts any certificate (Noise proves the server), so a server without a domain
// needs no other.

import fs from 'node:fs';
import { isIP } from 'node:net';
import path from 'node:path';
import { createHash, X509Certificate } from 'node:crypto';
import { utf8 } from '../base/bytes.ts';
import { openAcme } from './acme.ts';
import { readCertificateFiles, watchCertificateFiles } from './certificate-files.ts';
import type { TlsContext } from './certificate-files.ts';
import { createChallenges } from './challenges.ts';
import type { Challenges } from './challenges.ts';
import { makeMetaCertificate, makeSelfSignedCertificate } from './certificate.ts';
import { StartFailure } from './failure.ts';
import { writePrivateFile } from './keyring.ts';
import type { Settings } from './settings.ts';

export interface ServerCertificate {
  readonly context: () => TlsContext;
  /** SHA-256 of our own certificate; undefined where clients verify the certificate by name. */
  readonly pinned: string | undefined;
  /** A certificate may be renewed while the server runs: connections go on, new ones are to see the new one. */
  readonly onChange: (listener: () => void) => void;
  /** What the listeners have to answer so that an ACME server signs. */
  readonly challenges?: Challenges;
  /** To be called when listeners answer, each for itself. */
  readonly begin: () => void;
  readonly close: () => void;
}

interface Inputs {
  readonly settings: Settings;
  readonly dataFolder: string;
  /** The host of the server's URL. */
  readonly host: string;
  readonly now: () => number;
  readonly note?: (level: 'info' | 'warn', event: string, fields: Readonly<Record<string, unknown>>) => void;
}

const YEAR_MS = 365 * 86_400_000;
const OWN_VALID_MS = 10 * YEAR_MS;
/** Clients check the times of a pinned certificate too; a new one is made well before the end. */
const RENEW_BEFORE_MS = YEAR_MS;

const covers = (certificate: X509Certificate, host: string): boolean =>
  (isIP(host) ? certificate.checkIP(host) : certificate.checkHost(host)) !== undefined;

const readOwn = (folder: string, host: string, nowMs: number): TlsContext | undefined => {
  try {
    const cert = fs.readFileSync(path.join(folder, 'tls.crt'), 'utf8');
    const key = fs.readFileSync(path.join(folder, 'tls.key'), 'utf8');
    const parsed = new X509Certificate(cert);
    const fresh = Date.parse(parsed.validTo) - nowMs > RENEW_BEFORE_MS && Date.parse(parsed.validFrom) <= nowMs;
    return fresh && covers(parsed, host) ? { cert, key } : undefined;
  } catch {
    return undefined;
  }
};

const ownCertificate = ({ dataFolder, host, now }: Inputs): TlsContext => {
  const folder = path.join(dataFolder, 'keys');
  const stored = readOwn(folder, host, now());
  if (stored) return stored;
  const { certPem, keyPem } = makeSelfSignedCertificate({
    hostnames: isIP(host) ? [] : [host],
    ips: isIP(host) ? [host] : [],
    // A client's clock may be behind.
    notBefore: new Date(now() - 86_400_000),
    notAfter: new Date(now() + OWN_VALID_MS),
  });
  writePrivateFile(path.join(folder, 'tls.key'), utf8(keyPem));
  writePrivateFile(path.join(folder, 'tls.crt'), utf8(certPem));
  return { cert: certPem, key: keyPem };
};

const badSetting = (message: string, help: string): StartFailure =>
  new StartFailure('usage', 'server/bad-setting', message, help);

/** Holds what is shown now, and tells of changes. */
const createHolder = (first: TlsContext) => {
  const listeners: (() => void)[] = [];
  let current = first;
  return {
    context: () => current,
    onChange: (listener: () => void) => {
      listeners.push(listener);
    },
    replace: (context: TlsContext) => {
      current = context;
      for (const listener of listeners) listener();
    },
  };
};

const untilOf = ({ cert }: TlsContext): string => new X509Certificate(cert).validToDate.toISOString();

const fromFiles = (certFile: string, keyFile: string, { note }: Inputs): ServerCertificate => {
  let first: TlsContext;
  try {
    first = readCertificateFiles(certFile, keyFile);
  } catch (error) {
    throw badSetting(`The certificate can't be used: ${(error as Error).message}.`, 'Check --tls-cert and --tls-key.');
  }
  const { context, onChange, replace } = createHolder(first);
  let stopWatching = (): void => {};
  return {
    context,
    onChange,
    pinned: undefined,
    begin: () => {
      stopWatching();
      stopWatching = watchCertificateFiles(
        certFile,
        keyFile,
        (renewed) => {
          replace(renewed);
          note?.('info', 'certificate reloaded', { until: untilOf(renewed) });
        },
        (reason) => note?.('warn', 'the new certificate is not taken; the last one goes on', { reason }),
      );
    },
    close: () => stopWatching(),
  };
};

const fromAcme = (directoryUrl: string, inputs: Inputs): ServerCertificate => {
  const { settings, dataFolder, host, now, note } = inputs;
  if (URL.parse(directoryUrl)?.protocol !== 'https:') {
    throw badSetting(
      '--acme-directory wants an https URL.',
      "Let's Encrypt: https://acme-v02.api.letsencrypt.org/directory",
    );
  }
  if (isIP(host) || !host.includes('.')) {
    throw badSetting(
      `An ACME server can't give a certificate for «${host}».`,
      'Set --url to the name that clients use.',
    );
  }
  const challenges = createChallenges();
  const acme = openAcme({
    directoryUrl,
    ...(settings.acmeEmail === undefined ? {} : { email: settings.acmeEmail }),
    hostname: host,
    folder: path.join(dataFolder, 'acme'),
    challenges,
    now,
    onCertificate: (renewed) => {
      replace(renewed);
      note?.('info', 'certificate received', { until: untilOf(renewed) });
    },
    onFailure: (reason, retryInMs) => note?.('warn', 'no certificate from the ACME server', { reason, retryInMs }),
  });
  // Until the first one comes, `/ts2021` works with any.
  const { context, onChange, replace } = createHolder(acme.stored ?? ownCertificate(inputs));
  return { context, onChange, pinned: undefined, challenges, begin: acme.begin, close: acme.close };
};

export const openCertificate = (inputs: Inputs): ServerCertificate => {
  const { tlsCert, tlsKey, acmeDirectory } = inputs.settings;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw badSetting('--tls-cert and --tls-key belong together.', 'Set both or neither.');
  }
  if (tlsCert !== undefined && tlsKey !== undefined) return fromFiles(tlsCert, tlsKey, inputs);
  if (acmeDirectory !== undefined) return fromAcme(acmeDirectory, inputs);
  const context = ownCertificate(inputs);
  const pinned = createHash('sha256').update(new X509Certificate(context.cert).raw).digest('hex');
  return {
    context: () => context,
    pinned,
    onChange: () => undefined,
    begin: () => undefined,
    close: () => undefined,
  };
};

/** The same with the relay's key behind it, which lets clients of the relay begin a round trip earlier. */
export const withRelayKey = (certificate: ServerCertificate, relayKey: Uint8Array): ServerCertificate => {
  const meta = makeMetaCertificate(relayKey, new Date());
  return {
    ...certificate,
    context: () => {
      const { cert, key } = certificate.context();
      return { cert: `${cert.trimEnd()}\n${meta}`, key };
    },
  };
};
