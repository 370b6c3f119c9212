// A plan as findings, for forms that show findings on lines: SARIF and annotations. Only the new files have lines in a pull
// request, so what stood in the old ones is told without a place.

import type { Diagnostic } from '../base/diagnostic.ts';
import type { AccessChange } from './access.ts';
import { trafficText } from './plan-words.ts';
import { formatCause, type Plan } from './plan.ts';

const names = (parties: AccessChange['who']): string => parties.map(({ name }) => name).join(', ');

const ofAccess = (change: AccessChange): readonly Diagnostic[] => {
  const gained = change.direction === 'gained';
  const verb = gained ? 'may now reach' : 'may no longer reach';
  const message = `${names(change.who)} ${verb} ${names(change.what)}: ${trafficText(change.traffic)}.`;
  const code = gained ? 'review/access-gained' : 'review/access-lost';
  const here = change.causes.filter(({ side }) => side === 'after');
  const because = change.causes.map(formatCause).join(', ');
  if (here.length === 0) {
    return [{ code, severity: 'info', message, ...(because === '' ? {} : { help: `It stood in ${because}.` }) }];
  }
  return here.map(({ at, what }) => ({ code, severity: 'info', message, span: at, help: `Because of ${what}.` }));
};

/** What the guard would hold comes first, as warnings; changes of access are notes. */
export const planFindings = ({ guard, access }: Plan): readonly Diagnostic[] => [
  ...guard.map(({ rule, message, allowedBy }): Diagnostic => ({
    code: `review/guard-${rule}`,
    severity: 'warning',
    message,
    ...(allowedBy === undefined ? {} : { help: `To let it pass, a later commit says: ${allowedBy}` }),
  })),
  ...access.flatMap(ofAccess),
];
