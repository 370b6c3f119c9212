// The page of a shell in check mode: what it tells, and who may confirm it.

import type { Login } from '../base/ids.ts';
import { accept, refuse } from '../base/outcome.ts';
import type { Control, SshCheck } from '../control/ports.ts';
import { waitedSince } from '../http/decision.ts';
import type { DecisionPorts } from '../http/decision.ts';
import { isDecidable, mayDecide } from '../identity/credential.ts';
import { printable } from '../review/excerpt.ts';
import { nameOfActor } from './login-page.ts';
import type { Parts } from './parts.ts';
import { codeOf, nameOf } from './ssh-operations.ts';

export const shellPage = (parts: Parts, control: Control): DecisionPorts => {
  const findCheck = (id: string): SshCheck | undefined => control.sshChecks().find((check) => check.id === id);
  const ownerOf = ({ source }: SshCheck): Login | null => parts.tailnet.node(source)?.owner ?? null;
  const gone = refuse('http/not-found', 'This link is over.');

  return {
    path: '/ssh/check',
    isOpen: () => isDecidable('shells', parts),
    find: (id) => {
      const check = findCheck(id);
      if (!check) return undefined;
      const owner = ownerOf(check);
      return {
        title: 'Is this you?',
        caution: 'Somebody opens a shell. Go on only if it is you, and you started it just now.',
        facts: [
          ['From', nameOf(parts, check.source)],
          ...(owner ? [['Person', owner] as const] : []),
          ['To', nameOf(parts, check.destination)],
          ['As', printable(check.sshUser)],
          ['Since', waitedSince(check.createdMs, parts.now())],
          ['Code', codeOf(check)],
        ],
        command: `tailplane auth ssh approve ${codeOf(check)}`,
        yes: 'It is me',
        no: 'It is not me',
        state: check.state,
        approved: 'The shell opens now.',
        denied: 'The shell was refused.',
      };
    },
    offer: (id, actor) => {
      const check = findCheck(id);
      if (!check) return gone;
      const may = mayDecide(actor, 'shells', ownerOf(check));
      if (!may.ok) return may;
      return accept({
        as: nameOfActor(actor),
        consequence: `With a yes, the shell on ${nameOf(parts, check.destination)} opens at once.`,
      });
    },
    decide: async (id, actor, { approve }) => {
      const check = findCheck(id);
      if (!check) return gone;
      const may = mayDecide(actor, 'shells', ownerOf(check));
      if (!may.ok) return may;
      const outcome = control.decideSshCheck(check.id, approve ? 'accept' : 'reject', actor.login);
      return outcome.ok ? accept(undefined) : outcome;
    },
  };
};
