// A relay without a control server around it: the same port, relay and STUN, and a control server elsewhere that says who may use it.

import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { TLSSocket } from 'node:tls';

import type { Secret } from '../base/secret.ts';
import { createRelay, type Relay, type RelayPorts } from '../derp/relay.ts';
import { startStunServer } from '../derp/stun-server.ts';
import { nativeCrypto } from '../keys/native.ts';
import { prepareDataFolder } from './data-folder.ts';
import { bindFront } from './front.ts';
import { keyPairOf } from './keyring.ts';
import { listenFailure } from './listen.ts';
import { formatHostPort, type HostPort, type Settings } from './settings.ts';
import { openCertificate, withRelayKey } from './tls.ts';

export interface RelayAloneOptions {
  readonly listen: HostPort;
  /** Undefined: no STUN. */
  readonly stun: HostPort | undefined;
  readonly dataFolder: string;
  /** The name that clients dial; the certificate is made for it if there are no files. */
  readonly hostname: string;
  readonly certificate: Pick<Settings, 'tlsCert' | 'tlsKey'>;
  readonly admit: RelayPorts['admit'];
  readonly meshKey?: Secret<Uint8Array>;
  readonly meshWith: readonly URL[];
  /** Whether clients may speak to it without TLS. */
  readonly isPlainAllowed: boolean;
}

export interface RelayAlone {
  readonly relay: Relay;
  readonly listen: HostPort;
  readonly stunPort: number | undefined;
  /** SHA-256 of the relay's own certificate; undefined where clients verify it by name. */
  readonly pinned: string | undefined;
  readonly stop: () => Promise<void>;
}

const NOT_FOUND = 404;

export const startRelayAlone = async (options: RelayAloneOptions): Promise<RelayAlone> => {
  const dataFolder = prepareDataFolder(path.resolve(options.dataFolder));
  const certificate = openCertificate({
    settings: options.certificate,
    dataFolder,
    host: options.hostname,
    now: Date.now,
  });
  const key = keyPairOf(nativeCrypto, dataFolder, 'relay');
  const relay = createRelay(
    { crypto: nativeCrypto, random: (sizeBytes) => randomBytes(sizeBytes), admit: options.admit },
    { key, meshWith: options.meshWith, ...(options.meshKey === undefined ? {} : { meshKey: options.meshKey }) },
  );
  const front = await bindFront(options.listen);
  const stun = options.stun
    ? await startStunServer(options.stun).catch((error: unknown) => {
        front.close();
        throw listenFailure(formatHostPort(options.stun as HostPort), error as NodeJS.ErrnoException);
      })
    : undefined;
  front.open(
    {
      answer: (request, response) => {
        if (relay.handleRequest(request, response)) return;
        response.writeHead(NOT_FOUND, { 'Content-Length': 0 });
        response.end();
      },
      upgrade: (request, socket, head) =>
        (options.isPlainAllowed || socket instanceof TLSSocket) && relay.handleUpgrade(request, socket, head),
    },
    withRelayKey(certificate, key.publicKey),
  );
  return {
    relay,
    listen: front.at,
    stunPort: stun?.port,
    pinned: certificate.pinned,
    stop: async () => {
      front.refuse();
      await relay.close({ reconnectInMs: 0, tryForMs: 0 });
      await stun?.close();
      front.close();
      certificate.close();
    },
  };
};
