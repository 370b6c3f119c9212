// Live secrets in files that everybody may read: found before anything else, reported without being repeated, and masked
// wherever a line of the file is shown.

import type { Diagnostic } from '../base/diagnostic.ts';
import { linesOf } from './lines.ts';

// Each pattern is linear: a fixed word, then one run of characters. The first group stays readable, the rest is secret.
const PATTERN = new RegExp(
  [
    '((?:tp|ts|hs)key-[a-z]{2,12}-)[A-Za-z0-9_-]{20,}',
    '((?:priv|nlpriv|discopriv|nodepriv)(?:key)?:)[0-9a-f]{64}',
    '(gh[pousr]_|github_pat_|glpat-)[A-Za-z0-9_-]{20,}',
    '(AKIA)[0-9A-Z]{16}',
    '(AGE-SECRET-KEY-)[0-9A-Z]{20,}',
    '(-----BEGIN [A-Z ]{0,20}PRIVATE KEY)[A-Z ]{0,10}-----',
  ].join('|'),
  'g',
);

/** A secret that stands where a sealed one belongs; the schema reports it. */
const UNSEALED = /(\bsecret["']?\s{0,9}:\s{0,9}["'])(?!sealed:)(?:(?<=")(?:[^"\\\n]|\\.)+|(?<=')(?:[^'\\\n]|\\.)+)/g;

/** The text with the secret part of everything that looks like a secret blotted out; its length stays. */
export const maskSecrets = (text: string): string =>
  [PATTERN, UNSEALED].reduce(
    (masked, pattern) =>
      masked.replaceAll(pattern, (secret, ...groups: unknown[]) => {
        const shown = groups.find((group) => typeof group === 'string' && secret.startsWith(group)) as string;
        return shown + '•'.repeat(secret.length - shown.length);
      }),
    text,
  );

/** Every live secret of a file, in comments too. */
export const findSecrets = (file: string, text: string): Diagnostic[] => {
  const matches = [...text.matchAll(PATTERN)];
  if (matches.length === 0) return [];
  const lines = linesOf(file, text);
  return matches.slice(0, 100).map((match): Diagnostic => ({
    code: 'config/live-secret',
    severity: 'error',
    message: 'This looks like a live secret.',
    span: lines.span(match.index, match.index + match[0].length),
    help: 'Revoke it now: whoever can read the repository, or its history, has it. keys.json5 holds the hash of a key.',
  }));
};
