// A plan as findings, for forms that show findings on lines: SARIF and annotations. Only the new files have lines in a pull
// request, so what stood in the old ones is told without a place.

import type { Code } from '../base/catalogue.ts';
import type { Diagnostic } from '../base/diagnostic.ts';
import type { AccessChange } from './access.ts';
import type { CapabilityChange } from './capabilities.ts';
import type { Cause } from './causes.ts';
import { formatParty } from './naming.ts';
import { formatAt, type Plan } from './plan.ts';
import { loginTexts } from './risk.ts';
import type { ShellChange } from './shells.ts';
import { trafficText } from './traffic-words.ts';

const names = (parties: AccessChange['who']): string => parties.map(formatParty).join(', ');

/** One finding on each new line behind a change; one without a place where all of them are gone. */
const onLines = (code: Code, message: string, causes: readonly Cause[]): readonly Diagnostic[] => {
  const here = causes.filter(({ side }) => side === 'after');
  if (here.length > 0) {
    return here.map(({ at, what }) => ({ code, severity: 'info', message, span: at, help: `Because of ${what}.` }));
  }
  const because = causes.map(({ what, at }) => `${what} (${formatAt(at)})`).join(', ');
  return [{ code, severity: 'info', message, ...(because === '' ? {} : { help: `It stood in ${because}.` }) }];
};

const ofAccess = ({ direction, who, what, traffic, causes }: AccessChange): readonly Diagnostic[] => {
  const gained = direction === 'gained';
  const verb = gained ? 'may now reach' : 'may no longer reach';
  return onLines(
    gained ? 'review/access-gained' : 'review/access-lost',
    `${names(who)} ${verb} ${names(what)}: ${trafficText(traffic)}.`,
    causes,
  );
};

const ofShell = ({ from, to, who, what, logins, causes }: ShellChange): readonly Diagnostic[] => {
  const less = to === 'deny' || from === 'accept';
  const how =
    to === 'deny' ? '' : to === 'check' ? ' after a confirmation' : from === 'check' ? ' without a confirmation' : '';
  const verb = to === 'deny' ? 'may no longer open' : 'may now open';
  return onLines(
    less ? 'review/shell-lost' : 'review/shell-gained',
    `${names(who)} ${verb} shells as ${loginTexts(logins).join(', ')} on ${names(what)}${how}.`,
    causes,
  );
};

const ofCapability = ({ direction, capability, who, what, causes }: CapabilityChange): readonly Diagnostic[] => {
  const gained = direction === 'gained';
  const on = what.length > 0 ? ` on ${names(what)}` : '';
  return onLines(
    gained ? 'review/capability-gained' : 'review/capability-lost',
    `${names(who)} ${gained ? 'may now use' : 'may no longer use'} ${capability}${on}.`,
    causes,
  );
};

/** What the guard would hold comes first, as warnings; changes of access are notes. */
export const planFindings = ({ guard, access, shells, capabilities }: Plan): readonly Diagnostic[] => [
  ...guard.map(({ rule, message, allowedBy }): Diagnostic => ({
    code: `review/guard-${rule}`,
    severity: 'warning',
    message,
    ...(allowedBy === undefined ? {} : { help: `To let it pass, a later commit says: ${allowedBy}` }),
  })),
  ...access.flatMap(ofAccess),
  ...shells.flatMap(ofShell),
  ...capabilities.flatMap(ofCapability),
];
