// What a second address without TLS answers, for port 80. Clients try `/ts2021` there first, since Noise needs no TLS below it;
// the relay's check for captive portals asks there, too. Browsers are sent to the URL that people should use.

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';

/** `first` may take a request; what it leaves is redirected to the same path under `url`, if it only wants to read. */
export const redirectTo =
  (url: URL, first?: (request: IncomingMessage, response: ServerResponse) => boolean): RequestListener =>
  (request, response) => {
    if (first?.(request, response) === true) return;
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    const path = request.url?.startsWith('/') === true ? request.url : '/';
    response.writeHead(isRead ? 308 : 404, {
      'Content-Length': 0,
      ...(isRead ? { Location: `${url.origin}${path}` } : {}),
    });
    response.end();
  };
