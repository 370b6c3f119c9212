// The page of a machine that ran `tailscale up` without a key: what it tells, who may let the machine in, and for whom.

import { parseLogin } from '../base/ids.ts';
import type { Login } from '../base/ids.ts';
import { accept, refuse } from '../base/outcome.ts';
import type { Outcome } from '../base/outcome.ts';
import type { Control } from '../control/ports.ts';
import { waitedSince } from '../http/decision.ts';
import type { DecisionPorts, Verdict } from '../http/decision.ts';
import type { Offer, Question } from '../http/decision-views.ts';
import { isAdministrator, isDecidable, mayDecide } from '../identity/credential.ts';
import type { Actor } from '../identity/credential.ts';
import { printable } from '../review/excerpt.ts';
import { parseLoginId } from '../registry/record.ts';
import type { LoginRecord } from '../registry/record.ts';
import { findPerson } from '../snapshot/person.ts';
import { codeOf, machineOf, wishedTags } from './login-operations.ts';
import type { Parts } from './parts.ts';

export const nameOfActor = ({ displayName, login, role }: Actor): string =>
  displayName === login ? `${login} (${role})` : `${displayName} (${login}, ${role})`;

/** Enough for every honest name, and too little for a message to whoever decides. */
const LONGEST = 63;

/** What a stranger's machine says of itself. */
const shown = (text: string): string => printable(text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);

const titled = (login: string, displayName: string): string =>
  displayName === login ? login : `${displayName} (${login})`;

export const loginPage = (parts: Parts, control: Control): DecisionPorts => {
  /** While it can be decided or was just decided. */
  const findLogin = (id: string): LoginRecord | undefined => {
    const parsed = parseLoginId(id);
    const login = parsed && parts.registry.view.logins.get(parsed);
    return login && login.expiresMs > parts.now() ? login : undefined;
  };
  /** Whose the machine is already, if it is: it asks again because its key ran out. */
  const formerOwner = ({ machineKey }: LoginRecord): Login | null => {
    const { byMachineKey, nodes } = parts.registry.view;
    const owners = (byMachineKey.get(machineKey) ?? []).flatMap((id) => nodes.get(id)?.login ?? []);
    return owners.at(-1) ?? null;
  };

  const joined = (login: LoginRecord, name: string): string => {
    const node = login.nodeId === null ? undefined : parts.tailnet.node(login.nodeId);
    return node && !node.authorized
      ? `${name} has joined, and waits until an administrator approves it.`
      : `${name} is part of the network now.`;
  };

  const question = (id: string): Question | undefined => {
    const login = findLogin(id);
    if (!login) return undefined;
    const { hostname, os, version } = machineOf(login);
    const name = shown(hostname) || 'The machine';
    const tags = wishedTags(login);
    return {
      title: `A machine wants to join ${parts.snapshot().tailnet.name}`,
      caution: 'Go on only if you started this yourself, on a machine that you know.',
      facts: [
        ['Machine', shown(hostname) || 'without a name'],
        [
          'System',
          [shown(os), version && `Tailscale ${shown(version.split('-')[0] ?? '')}`].filter(Boolean).join(', ') ||
            'unknown',
        ],
        ...(tags.length > 0 ? [['Wants to be', tags.join(', ')] as const] : []),
        ['Asks from', login.remote],
        ['Since', waitedSince(login.createdMs, parts.now())],
        ['Code', codeOf(login)],
      ],
      command: `tailplane auth approve ${codeOf(login)}`,
      yes: 'Let it in',
      no: 'Turn it away',
      state: login.state,
      approved: joined(login, name),
      denied: `${name} was turned away. Nothing was changed.`,
    };
  };

  const offer = (id: string, actor: Actor): Outcome<Offer> => {
    const login = findLogin(id);
    if (!login) return refuse('http/not-found', 'This link is over.');
    const may = mayDecide(actor, 'logins', actor.login);
    if (!may.ok) return may;
    const isTagged = wishedTags(login).length > 0;
    const as = nameOfActor(actor);
    const tagged = 'With its tags it belongs to nobody; whoever vouches for them has to own them.';
    if (!isAdministrator(actor)) {
      const waits = parts.snapshot().tailnet.nodes.approval === 'manual';
      const own = `It becomes a machine of yours, with what the policy gives you.${waits ? ' Then it waits until an administrator approves it.' : ''}`;
      return accept({ as, consequence: isTagged ? tagged : own });
    }
    const people = parts.snapshot().users.filter(({ disabled }) => !disabled);
    const owner = formerOwner(login);
    const known = owner === null ? undefined : findPerson(parts.snapshot(), owner);
    return accept({
      as,
      consequence: isTagged ? tagged : 'The machine gets what the policy gives this person.',
      choice: {
        label: isTagged ? 'Who vouches for its tags?' : 'Whose machine is it?',
        options: people.map(({ login: value, displayName }) => ({ value, text: titled(value, displayName) })),
        chosen: known && !known.disabled ? known.login : actor.login,
      },
    });
  };

  const personFor = (actor: Actor, { person }: Verdict): Outcome<Login> => {
    if (!isAdministrator(actor)) return accept(actor.login);
    const chosen = parseLogin(person);
    const found = chosen && parts.snapshot().userByLogin.get(chosen.toLowerCase());
    return found && !found.disabled ? accept(found.login) : refuse('http/bad-request', 'Choose whose machine it is.');
  };

  return {
    path: '/register',
    isOpen: () => isDecidable('logins', parts),
    find: question,
    offer,
    decide: async (id, actor, verdict) => {
      const login = findLogin(id);
      if (!login) return refuse('http/not-found', 'This link is over.');
      const person = verdict.approve ? personFor(actor, verdict) : accept(actor.login);
      if (!person.ok) return person;
      const may = mayDecide(actor, 'logins', person.value);
      if (!may.ok) return may;
      const outcome = verdict.approve
        ? await control.approveLogin(login.id, {
            login: person.value,
            decidedBy: actor.login,
            approves: isAdministrator(actor),
          })
        : await control.denyLogin(login.id, actor.login);
      return outcome.ok ? accept(undefined) : outcome;
    },
  };
};
