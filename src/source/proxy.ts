// The HTTP proxy that the environment names, as curl and git read it: HTTPS_PROXY and NO_PROXY, in capitals or small. Node's
// own agent does the tunnel; what it would pass over in silence, such as a SOCKS proxy, is refused here.

import { accept, refuse, type Outcome, type Refusal } from '../base/outcome.ts';

export interface Proxy {
  /** `http://proxy.example.com:3128`; it may carry a user name and a password. */
  readonly HTTPS_PROXY: string;
  /** Hosts that are reached directly, with commas between them. */
  readonly NO_PROXY: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Undefined where none is named. */
export const readProxy = (env: Environment): Outcome<Proxy | undefined> => {
  const text = env['HTTPS_PROXY'] || env['https_proxy'];
  if (!text) return accept(undefined);
  const url = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (!url || !/^https?:$/.test(url.protocol)) {
    return refuse('source/proxy', 'HTTPS_PROXY names no HTTP proxy; write it like http://proxy.example.com:3128.');
  }
  return accept({ HTTPS_PROXY: url.href, NO_PROXY: env['NO_PROXY'] || env['no_proxy'] || '' });
};

/** What a failure of the proxy itself means; undefined where the proxy is not at fault. */
export const refusalOfProxy = (error: unknown, { HTTPS_PROXY }: Proxy): Refusal | undefined => {
  const { code, message, port, hostname } = error as Partial<Record<'code' | 'message' | 'port' | 'hostname', unknown>>;
  if (code === 'ERR_PROXY_TUNNEL') {
    const [, status] = /HTTP\/\d\.\d (\d{3})/.exec(String(message)) ?? [];
    const why = status === undefined ? 'does not let the connection through' : `answers with HTTP ${status}`;
    return refuse('source/proxy', `The proxy to the git host ${why}.`);
  }
  const url = new URL(HTTPS_PROXY);
  const proxyPort = url.port || (url.protocol === 'https:' ? '443' : '80');
  const isProxy = hostname === url.hostname || (code === 'ECONNREFUSED' && String(port) === proxyPort);
  return isProxy ? refuse('source/proxy', 'The proxy to the git host cannot be reached.') : undefined;
};
