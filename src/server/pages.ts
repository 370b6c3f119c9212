// The pages on which people decide, with what they share: one desk where credentials are shown, so that attempts are counted
// over all pages.

import type { IncomingMessage } from 'node:http';
import type { Control, Note } from '../control/ports.ts';
import { mountDecisionPage } from '../http/decision.ts';
import { createDesk } from '../http/desk.ts';
import type { PublicPorts } from '../http/public.ts';
import { proveByCredential } from '../identity/credential.ts';
import { loginPage } from './login-page.ts';
import type { Parts } from './parts.ts';
import { shellPage } from './shell-page.ts';

export interface PagesPorts {
  /** The server's URL as people reach it. */
  readonly origin: string;
  readonly remoteAddressOf: (request: IncomingMessage) => string;
  readonly note: Note;
}

export const mountPages =
  (parts: Parts, control: Control, ports: PagesPorts): NonNullable<PublicPorts['mount']> =>
  (router) => {
    const desk = createDesk({ ...parts, prove: (text) => proveByCredential(text, parts) });
    const house = { ...ports, desk };
    for (const page of [loginPage(parts, control), shellPage(parts, control)]) mountDecisionPage(router, house, page);
  };
