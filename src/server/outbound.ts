// The way out of the server's network: where the environment names an HTTP proxy (HTTPS_PROXY, NO_PROXY), the git remote and
// every request of the server itself (commit statuses, notifications, relay map) go through it. Loopback never does.

import http from 'node:http';
import { readProxy, type Proxy } from '../source/proxy.ts';
import { StartFailure } from './failure.ts';

const LOOPBACK = 'localhost,127.0.0.1,[::1]';

/** The proxy for the git remote. From here on `fetch` and the agents of Node use it too. */
export const readOutbound = (env: NodeJS.ProcessEnv = process.env): Proxy | undefined => {
  const proxy = readProxy(env);
  if (!proxy.ok) throw new StartFailure('usage', proxy.code, proxy.reason);
  if (!proxy.value) return undefined;
  const { HTTPS_PROXY, NO_PROXY } = proxy.value;
  const direct = [NO_PROXY, LOOPBACK].filter((part) => part !== '').join(',');
  http.setGlobalProxyFromEnv({ HTTPS_PROXY, HTTP_PROXY: HTTPS_PROXY, NO_PROXY: direct });
  return proxy.value;
};
