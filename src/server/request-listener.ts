// Koa's applications as listeners of Node's HTTP servers.

import type http from 'node:http';

/** Koa answers with a promise that never rejects; Node's servers expect none. */
export const listenerOf = (app: {
  readonly callback: () => (request: http.IncomingMessage, response: http.ServerResponse) => Promise<void>;
}): http.RequestListener => {
  const answer = app.callback();
  return (request, response) => {
    void answer(request, response);
  };
};
