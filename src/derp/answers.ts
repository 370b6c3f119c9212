// The plain requests that clients make of a relay's host: latency probes, the check for a captive portal, and addresses for
// clients whose DNS fails (Tailscale's derp/derpserver/handler.go and cmd/derper/bootstrap_dns.go).

import type { IncomingMessage, ServerResponse } from 'node:http';

type BootstrapDns = (name: string) => Readonly<Record<string, readonly string[]>>;

const CHALLENGE = /^[A-Za-z0-9._:-]{1,64}$/;
const DNS_NAME = /^[a-z0-9._-]{1,253}$/;

const answer = (
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  body = '',
): void => {
  response.writeHead(status, { 'Content-Length': Buffer.byteLength(body), ...headers });
  response.end(body);
};

const isRead = ({ method }: IncomingMessage): boolean => method === 'GET' || method === 'HEAD';

const answerProbe = (request: IncomingMessage, response: ServerResponse): void => {
  if (isRead(request)) answer(response, 200, { 'Access-Control-Allow-Origin': '*' });
  else answer(response, 405, { Allow: 'GET, HEAD' });
};

const answerNoContent = (request: IncomingMessage, response: ServerResponse): void => {
  const challenge = request.headers['x-tailscale-challenge'];
  const echo = typeof challenge === 'string' && CHALLENGE.test(challenge);
  response.writeHead(204, {
    'Cache-Control': 'no-cache, no-store, must-revalidate, no-transform, max-age=0',
    ...(echo ? { 'X-Tailscale-Response': `response ${challenge}` } : {}),
  });
  response.end();
};

const answerBootstrapDns = (response: ServerResponse, query: string, bootstrapDns: BootstrapDns | undefined): void => {
  const name = (new URLSearchParams(query).get('q') ?? '').toLowerCase();
  const known = DNS_NAME.test(name) ? bootstrapDns?.(name) : undefined;
  answer(
    response,
    200,
    { 'Content-Type': 'application/json', 'Access-Control-Allow-Origin': '*' },
    JSON.stringify(known ?? {}),
  );
};

/** False, with nothing done, for a path that is none of the relay's. */
export const answerRelayRequest = (
  request: IncomingMessage,
  response: ServerResponse,
  bootstrapDns: BootstrapDns | undefined,
): boolean => {
  const [path = '', query = ''] = (request.url ?? '').split('?', 2);
  switch (path) {
    case '/derp/probe':
    case '/derp/latency-check':
      answerProbe(request, response);
      return true;
    case '/generate_204':
      answerNoContent(request, response);
      return true;
    case '/bootstrap-dns':
      answerBootstrapDns(response, query, bootstrapDns);
      return true;
    case '/derp':
      answer(response, 426, { 'Content-Type': 'text/plain', Upgrade: 'DERP' }, 'DERP requires connection upgrade\n');
      return true;
    default:
      return false;
  }
};
