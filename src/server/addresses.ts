// Where the server listens and what clients are told to connect to, as the settings say or as they are left open.

import { StartFailure } from './failure.ts';
import { formatHostPort, parseHostPort } from './settings.ts';
import type { HostPort, Settings } from './settings.ts';

const DEFAULT_LISTEN = '127.0.0.1:8080';

const hostPortSetting = (name: string, text: string): HostPort => {
  const parsed = parseHostPort(text);
  if (parsed) return parsed;
  throw new StartFailure(
    'usage',
    'server/bad-setting',
    `«${text}» is not an address for --${name}.`,
    'Write it like 127.0.0.1:8080, [::1]:8080 or :8080.',
  );
};

/** What to bind. Undefined: not at all. */
export interface Addresses {
  readonly listen: HostPort;
  /** For plain HTTP beside it. */
  readonly second: HostPort | undefined;
  /** Where the setting is open, STUN is at the address that was bound. */
  readonly stun: HostPort | 'as bound' | undefined;
}

const switchable = (name: string, text: string): HostPort | undefined =>
  text === 'off' ? undefined : hostPortSetting(name, text);

export const addressesOf = ({ listen, httpListen, stun, relay }: Settings): Addresses => ({
  listen: hostPortSetting('listen', listen ?? DEFAULT_LISTEN),
  second: switchable('http-listen', httpListen ?? 'off'),
  stun: relay === false ? undefined : stun === undefined ? 'as bound' : switchable('stun', stun),
});

const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::';

/** What clients are told to connect to: the setting, or the address we listen on. */
export const urlOf = (setting: string | undefined, { host, port }: HostPort): URL => {
  if (setting === undefined)
    return new URL(`http://${formatHostPort({ host: isWildcard(host) ? '127.0.0.1' : host, port })}`);
  let url: URL | undefined;
  try {
    url = new URL(setting);
  } catch {
    // told below
  }
  if (url && /^https?:$/.test(url.protocol) && url.pathname === '/' && url.search === '' && url.username === '')
    return url;
  throw new StartFailure(
    'usage',
    'server/bad-setting',
    `«${setting}» can't be the URL of a control server.`,
    'Write it like https://tail.example.com, without a path: clients drop paths when they connect.',
  );
};

const DEFAULT_PORTS: Readonly<Record<string, number>> = { 'https:': 443, 'http:': 80 };

/** The port that clients dial. */
export const portOf = (url: URL): number => (url.port === '' ? (DEFAULT_PORTS[url.protocol] ?? 80) : Number(url.port));
