// API credentials: for whom one acts, what a person is told when it doesn't, and who may decide what.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Login } from '../../src/base/ids.ts';
import type { Outcome } from '../../src/base/outcome.ts';
import { ROLES } from '../../src/config/users.ts';
import type { Role } from '../../src/config/users.ts';
import { isAdministrator, isDecidable, mayDecide, proveByCredential } from '../../src/identity/credential.ts';
import type { Actor, Scope } from '../../src/identity/credential.ts';
import { hashSecret } from '../../src/identity/token.ts';
import { snapshotOf } from '../control/world.ts';
import { START_MS } from '../registry/sample.ts';

const SECRET = 'k'.repeat(32);
const credential = (id: string, more: object): object => ({
  id,
  hash: `sha256:${hashSecret(`${SECRET}${id}`)}`,
  scopes: ['logins'],
  ...more,
});
const textOf = (id: string): string => `tpkey-api-${id}-${SECRET}${id}`;
const CREDENTIALS = [
  credential('alice', { owner: 'alice@example.com', expires: '2027-01-31' }),
  credential('old', { owner: 'alice@example.com', expires: '2025-01-31' }),
  credential('ci', { tags: ['tag:server'] }),
  credential('carol', { owner: 'carol@example.com' }),
];
const served = snapshotOf({ 'keys.json5': { apiCredentials: CREDENTIALS } });
const ports = (snapshot = served) => ({ now: () => START_MS, snapshot: () => snapshot });
const said = (outcome: Outcome<unknown>): string => (outcome.ok ? 'yes' : `${outcome.code}: ${outcome.reason}`);

const UNKNOWN = 'identity/credential-unknown: This credential is not known here. Copy the whole of it.';

describe('what a person is told', () => {
  const cases: readonly [what: string, text: string, says: string][] = [
    ['right', textOf('alice'), 'yes'],
    ['with blanks around it', ` ${textOf('alice')}\n`, 'yes'],
    ['nothing', '', UNKNOWN],
    ['another form', 'hunter2', UNKNOWN],
    ['a pre-auth key', textOf('alice').replace('-api-', '-auth-'), UNKNOWN],
    ['an unknown id', textOf('nobody'), UNKNOWN],
    ['a wrong secret', `${textOf('alice')}x`, UNKNOWN],
    ['the secret of another', textOf('alice').replace('-alice-', '-old-'), UNKNOWN],
    ['expired', textOf('old'), 'identity/credential-expired: The credential expired on 2025-01-31.'],
    [
      'for tags',
      textOf('ci'),
      'identity/credential-limited: The credential acts for tags; only a person can decide here.',
    ],
    [
      'of a disabled person',
      textOf('carol'),
      'identity/credential-limited: carol@example.com is not an active person of this tailnet.',
    ],
  ];
  for (const [what, text, says] of cases) {
    test(what, () => assert.equal(said(proveByCredential(text, ports())), says));
  }
});

test('it acts for its person, and for nobody once it is withdrawn or has another secret', () => {
  let snapshot = served;
  const outcome = proveByCredential(textOf('alice'), { now: () => START_MS, snapshot: () => snapshot });
  assert.ok(outcome.ok);
  assert.deepEqual(outcome.value(), {
    ok: true,
    value: {
      login: 'alice@example.com',
      displayName: 'alice@example.com',
      role: 'owner',
      scopes: ['logins'],
      via: 'credential alice',
    },
  });
  snapshot = snapshotOf({ 'keys.json5': { apiCredentials: [] } });
  assert.equal(said(outcome.value()), UNKNOWN);
  const replaced = credential('alice', { owner: 'bob@example.com', hash: `sha256:${hashSecret('other')}` });
  snapshot = snapshotOf({ 'keys.json5': { apiCredentials: [replaced] } });
  assert.equal(said(outcome.value()), UNKNOWN);
});

test('a page offers a form only where a credential could decide there', () => {
  const cases: readonly [declared: readonly object[], logins: boolean, shells: boolean][] = [
    [[], false, false],
    [CREDENTIALS, true, false],
    [CREDENTIALS.slice(1), false, false],
    [[credential('a', { owner: 'bob@example.com', scopes: ['all'] })], true, true],
    [[credential('a', { owner: 'bob@example.com', scopes: ['devices:read'] })], false, false],
  ];
  for (const [apiCredentials, logins, shells] of cases) {
    const known = ports(snapshotOf({ 'keys.json5': { apiCredentials } }));
    assert.deepEqual([isDecidable('logins', known), isDecidable('shells', known)], [logins, shells]);
  }
});

test('no text is taken for a credential that it is not', () => {
  const right = textOf('alice');
  const near = fc
    .tuple(fc.nat(right.length), fc.string({ maxLength: 3 }))
    .map(([i, noise]) => right.slice(0, i) + noise + right.slice(i + 1));
  fc.assert(
    fc.property(fc.oneof(near, fc.string({ maxLength: 400 })), (text) => {
      assert.equal(proveByCredential(text, ports()).ok, text.trim() === right);
    }),
    { numRuns: 500 },
  );
});

test('owners and administrators decide for anybody, everybody else for themselves, within their scopes', () => {
  const people = ['bob@example.com', 'BOB@example.com', 'carol@example.com', null] as (Login | null)[];
  const scopesOf: readonly (readonly string[])[] = [['logins'], ['shells'], ['all'], ['devices:read'], []];
  for (const role of ROLES) {
    const isAdmin = (['owner', 'admin'] as Role[]).includes(role);
    for (const scopes of scopesOf) {
      const actor: Actor = { login: 'bob@example.com' as Login, displayName: 'Bob', role, scopes, via: 'credential b' };
      assert.equal(isAdministrator(actor), isAdmin);
      for (const person of people) {
        for (const scope of ['logins', 'shells'] as Scope[]) {
          const outcome = mayDecide(actor, scope, person);
          const inScope = scopes.includes(scope) || scopes.includes('all');
          const wanted = inScope ? (isAdmin || person?.toLowerCase() === actor.login ? 'ok' : 'identity/not-yours') : 'identity/credential-limited'; // prettier-ignore
          assert.equal(outcome.ok ? 'ok' : outcome.code, wanted, `${role} ${scopes.join()} ${scope} ${person}`);
        }
      }
    }
  }
});
