// How much a reviewer should worry about a change, and why, in a sentence.

import type { AccessChange } from './access.ts';
import { OWNER_ADDED, TEST_DROPPED } from './declared-policy.ts';
import { ENABLED_AGAIN, EXIT_NODE } from './declared.ts';
import type { DeclaredChange } from './differences.ts';
import { formatParty, type Party } from './naming.ts';
import { SENSITIVE } from './services.ts';
import type { ShellChange } from './shells.ts';
import { isNearlyAll, trafficText } from './traffic-words.ts';

export type Risk = 'none' | 'low' | 'medium' | 'high';

/** A change with its risk. */
export type Judged<T> = T & { readonly risk: Risk };

type Verdict = readonly [Risk, string?];

export const RANK: readonly Risk[] = ['none', 'low', 'medium', 'high'];
export const worst = (risks: readonly Risk[]): Risk =>
  risks.reduce((a, b) => (RANK.indexOf(a) >= RANK.indexOf(b) ? a : b), 'none');

/** Names of a sentence; more are counted. */
const NAMES_SHOWN = 3;

const names = (parties: AccessChange['who']): string => {
  const shown = parties.slice(0, parties.length > NAMES_SHOWN ? NAMES_SHOWN - 1 : NAMES_SHOWN).map(formatParty);
  const rest = parties.length - shown.length;
  const all = rest > 0 ? [...shown, `${rest} more`] : shown;
  return all.length < 2 ? all.join('') : `${all.slice(0, -1).join(', ')} and ${all.at(-1)}`;
};

/** IPv4 networks shorter than this are more than a handful of machines. */
const WIDE_BITS = 24;

/** A network as a destination: nobody sees at a glance what is in it. */
const isWideNetwork = ({ kind, name }: Party): boolean => {
  const text = /\(([^()]*)\)$/.exec(name)?.[1] ?? name;
  const bits = /\/(\d+)$/.exec(text)?.[1];
  if (kind !== 'addresses' || text.includes(':')) return false;
  return bits === undefined ? /^[\d.]+-/.test(text) : Number(bits) < WIDE_BITS;
};

const opens = (change: AccessChange, port: number): boolean =>
  change.traffic.some(
    ({ protocol, ports }) =>
      protocol === 'tcp' &&
      ports.split(',').some((range) => {
        if (range === '*') return true;
        const [first = 0, last = first] = range.split('-').map(Number);
        return first <= port && port <= last;
      }),
  );

export const judgeAccess = (change: AccessChange): Verdict => {
  if (change.direction === 'lost' || change.what.every(({ kind }) => kind === 'own')) return ['low'];
  if (change.what.some(({ name }) => name === 'the internet'))
    return ['medium', `${names(change.who)} may use exit nodes`];
  const wide = change.who.some(
    ({ kind, name }) => kind === 'everything' || kind === 'people' || name === 'the internet' || name.endsWith('/0'),
  );
  const all = change.traffic.some(({ protocol, ports }) => protocol !== 'icmp' && isNearlyAll(ports));
  const found = Object.entries(SENSITIVE).filter(([port]) => opens(change, Number(port)));
  const service = all ? 'every port' : found.map(([, name]) => name).join(', ');
  if (wide && (all || found.length > 0))
    return ['high', `${names(change.who)} may use ${service} on ${names(change.what)}`];
  if (all || found.length > 0) return ['medium', `${names(change.who)} may use ${service} on ${names(change.what)}`];
  if (change.what.some(isWideNetwork)) {
    return [
      'medium',
      `${names(change.who)} may use ${trafficText(change.traffic)} in a whole network, ${names(change.what)}`,
    ];
  }
  return ['low'];
};

/** Logins as people say them. */
export const loginTexts = (logins: readonly string[]): readonly string[] =>
  logins.includes('*') && logins.includes('root')
    ? ['any user']
    : logins.map((login) => (login === '*' ? 'any user but root' : login));

export const judgeShell = ({ to, from, who, what, logins }: ShellChange): Verdict => {
  if (to === 'deny' || (to === 'check' && from === 'accept')) return ['low'];
  // On machines of one's own, whoever sits there is root anyway.
  if (what.every(({ kind }) => kind === 'own')) return ['low'];
  const root = logins.includes('root');
  const how = from === 'check' ? ' without a confirmation' : '';
  return [
    root ? 'high' : 'medium',
    `${names(who)} may open shells as ${loginTexts(logins).join(', ')} on ${names(what)}${how}`,
  ];
};

export const judgeDeclared = ({ area, kind, text }: DeclaredChange): Verdict => {
  if (area === 'policy' && kind === 'removed' && text.startsWith('the policy file')) return ['high', text];
  if (area === 'people' && /(?:owner|admin)$/.test(text) && kind !== 'removed') return ['medium', text];
  if (area === 'people' && text.endsWith(ENABLED_AGAIN)) return ['medium', text];
  if (area === 'policy' && (text.startsWith(TEST_DROPPED) || text.includes(OWNER_ADDED))) return ['medium', text];
  if (area === 'keys' && kind === 'added') return ['medium', text];
  if (area === 'routes' && kind === 'added' && text.includes(EXIT_NODE)) return ['medium', text];
  if (area === 'settings' && /guard|sign|invariants/.test(text)) return ['medium', text];
  return ['low'];
};
