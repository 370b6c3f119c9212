// The certificate that the shared port shows: the files of the settings, or one of our own that clients of the relay pin by
// its hash. `/ts2021` accepts any certificate (Noise proves the server), so a server without a domain needs no other.

import fs from 'node:fs';
import { isIP } from 'node:net';
import path from 'node:path';
import { createHash, X509Certificate } from 'node:crypto';
import { utf8 } from '../base/bytes.ts';
import { makeMetaCertificate, makeSelfSignedCertificate } from './certificate.ts';
import { StartFailure } from './failure.ts';
import { writePrivateFile } from './keyring.ts';
import type { Settings } from './settings.ts';

export interface TlsContext {
  readonly cert: string;
  readonly key: string;
}

export interface ServerCertificate {
  readonly context: () => TlsContext;
  /** SHA-256 of our own certificate; undefined where clients verify the certificate by name. */
  readonly pinned: string | undefined;
  readonly onChange: (listener: () => void) => void;
  readonly close: () => void;
}

interface Inputs {
  readonly settings: Settings;
  readonly dataFolder: string;
  /** The host of the server's URL. */
  readonly host: string;
  readonly now: () => number;
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

const readFiles = (certFile: string, keyFile: string): TlsContext => {
  try {
    return { cert: fs.readFileSync(certFile, 'utf8'), key: fs.readFileSync(keyFile, 'utf8') };
  } catch (error) {
    throw new StartFailure(
      'usage',
      'server/bad-setting',
      `The certificate can't be read: ${(error as Error).message}.`,
      'Check --tls-cert and --tls-key.',
    );
  }
};

export const openCertificate = (inputs: Inputs): ServerCertificate => {
  const { tlsCert, tlsKey } = inputs.settings;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new StartFailure(
      'usage',
      'server/bad-setting',
      '--tls-cert and --tls-key belong together.',
      'Set both or neither.',
    );
  }
  if (tlsCert !== undefined && tlsKey !== undefined) {
    const context = readFiles(tlsCert, tlsKey);
    return { context: () => context, pinned: undefined, onChange: () => undefined, close: () => undefined };
  }
  const context = ownCertificate(inputs);
  const pinned = createHash('sha256').update(new X509Certificate(context.cert).raw).digest('hex');
  return { context: () => context, pinned, onChange: () => undefined, close: () => undefined };
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
