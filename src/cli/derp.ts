// `tailplane derp`: a relay alone, for a region of its own. A control server says who may use it.

import fs from 'node:fs';

import type { Command } from 'commander';

import { parseHex } from '../base/bytes.ts';
import { Secret } from '../base/secret.ts';
import { verifyAt } from '../derp/verify.ts';
import { KEY_BYTES } from '../keys/crypto.ts';
import { StartFailure } from '../server/failure.ts';
import { startRelayAlone } from '../server/relay-alone.ts';
import { formatHostPort, parseHostPort, type HostPort } from '../server/settings.ts';
import { EXIT, Failure } from './failure.ts';
import { dataFolderOf, outputOf } from './server.ts';

interface Flags {
  readonly listen: string;
  readonly stun?: string;
  readonly hostname?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly verifyUrl?: string;
  readonly admit?: string;
  readonly insecureHttp?: boolean;
  readonly meshKeyFile?: string;
  readonly meshWith?: string;
}

const DEFAULT_STUN_PORT = 3478;
const DRAIN_MS = 1_500;

const usage = (message: string, help?: string): Failure => new Failure(EXIT.usage, 'cli/usage', message, help);

const hostPortOf = (flag: string, text: string): HostPort => {
  const at = parseHostPort(text);
  if (at) return at;
  throw usage(`«${text}» is not an address for ${flag}.`, 'Write it like 0.0.0.0:443 or [::]:443.');
};

const isLoopback = ({ host }: HostPort): boolean =>
  host === '::1' || host === 'localhost' || /^127(?:\.\d+){3}$/.test(host);

const admissionOf = (flags: Flags, listen: HostPort): ReturnType<typeof verifyAt> => {
  if (flags.admit !== undefined) {
    if (flags.admit !== 'any') throw usage('--admit knows «any» alone.', 'Use --verify-url to ask a control server.');
    if (!isLoopback(listen)) throw usage('--admit any is for tests on loopback.', 'Anybody could use such a relay.');
    return () => true;
  }
  if (flags.verifyUrl === undefined) {
    throw usage('Nobody may use this relay yet.', 'Say who may: --verify-url https://tail.example.com/verify');
  }
  const url = URL.parse(flags.verifyUrl);
  const isSafe =
    url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback({ host: url.hostname, port: 0 }));
  if (!isSafe) throw usage('--verify-url wants an https URL.', 'Over http, others could say who may use the relay.');
  return verifyAt(flags.verifyUrl);
};

const meshKeyOf = (file: string): Secret<Uint8Array> => {
  const key = parseHex(fs.readFileSync(file, 'utf8').trim());
  if (key?.length === KEY_BYTES) return new Secret(key);
  throw usage(`${file} does not hold a mesh key.`, 'It is 64 hex digits, for example of: openssl rand -hex 32');
};

const meshWithOf = ({ meshWith, meshKeyFile }: Flags): readonly URL[] => {
  if (meshWith === undefined) return [];
  if (meshKeyFile === undefined)
    throw usage('--mesh-with wants --mesh-key-file.', 'The relays of a region share a key.');
  return meshWith.split(',').map((text) => {
    const url = URL.parse(`https://${text.trim()}/derp`);
    if (url) return url;
    throw usage(
      `«${text}» in --mesh-with is not an address.`,
      'Write it like derp2.example.com,derp3.example.com:8443.',
    );
  });
};

export const registerDerp = (program: Command): void => {
  program
    .command('derp')
    .description('run a relay alone')
    .requiredOption('--listen <host:port>', 'address for clients')
    .option(
      '--stun <host:port|off>',
      `UDP address of the STUN server (default: the host of --listen, ${DEFAULT_STUN_PORT})`,
    )
    .option('--hostname <name>', 'name or address that clients dial (default: the host of --listen)')
    .option('--tls-cert <file>', 'certificate chain, PEM (default: one of its own, to be pinned)')
    .option('--tls-key <file>', 'private key of the certificate, PEM')
    .option('--verify-url <url>', 'control server that says who may use the relay, POST /verify')
    .option('--mesh-key-file <file>', 'key that the relays of one region share, 64 hex digits')
    .option('--mesh-with <hosts>', 'the other relays of the region, host:port with commas between them')
    .option('--admit <who>', '«any» lets everybody in; for tests on loopback')
    .option('--insecure-http', 'lets clients in without TLS; for tests on loopback')
    .addHelpText(
      'after',
      '\nExample:\n  tailplane derp --listen 0.0.0.0:443 --hostname derp.example.com \\\n' +
        '    --tls-cert chain.pem --tls-key key.pem --verify-url https://tail.example.com/verify',
    )
    .action(async (flags: Flags, command: Command) => {
      const listen = hostPortOf('--listen', flags.listen);
      const admit = admissionOf(flags, listen);
      if (flags.insecureHttp === true && !isLoopback(listen)) {
        throw usage('--insecure-http is for tests on loopback.', 'Clients speak to relays by TLS.');
      }
      const stun =
        flags.stun === 'off'
          ? undefined
          : flags.stun === undefined
            ? { host: listen.host, port: isLoopback(listen) ? 0 : DEFAULT_STUN_PORT }
            : hostPortOf('--stun', flags.stun);
      const out = outputOf(command);
      const running = await startRelayAlone({
        listen,
        stun,
        dataFolder: dataFolderOf(command),
        hostname: flags.hostname ?? listen.host,
        certificate: {
          ...(flags.tlsCert === undefined ? {} : { tlsCert: flags.tlsCert }),
          ...(flags.tlsKey === undefined ? {} : { tlsKey: flags.tlsKey }),
        },
        admit,
        meshWith: meshWithOf(flags),
        ...(flags.meshKeyFile === undefined ? {} : { meshKey: meshKeyOf(flags.meshKeyFile) }),
        isPlainAllowed: flags.insecureHttp === true,
      }).catch((error: unknown) => {
        if (!(error instanceof StartFailure)) throw error;
        throw new Failure(error.kind === 'usage' ? EXIT.usage : EXIT.findings, error.code, error.message, error.help);
      });
      const scheme = flags.insecureHttp === true ? 'http' : 'https';
      const url = `${scheme}://${formatHostPort(running.listen)}/derp`;
      const value = {
        url,
        key: running.relay.publicKey,
        stunPort: running.stunPort,
        certName: running.pinned && `sha256-raw:${running.pinned}`,
      };
      out.show(value, () =>
        [
          `Relay at ${url}`,
          `STUN ${running.stunPort === undefined ? 'off' : `on UDP port ${running.stunPort}`}`,
          ...(value.certName === undefined || flags.insecureHttp === true ? [] : [`certName: '${value.certName}'`]),
        ].join('\n'),
      );
      const stop = (): void => {
        setTimeout(() => process.exit(1), DRAIN_MS).unref();
        void running.stop().then(() => process.exit(0));
      };
      process.once('SIGTERM', stop);
      process.once('SIGINT', stop);
    });
};
