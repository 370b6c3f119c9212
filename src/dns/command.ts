// Records through a command of the operator's, for name servers that take no dynamic updates: `COMMAND set NAME TEXT…`, and
// without a text it takes the record away. No shell reads its arguments, and the server's own secrets are kept from it.

import { execFile } from 'node:child_process';

import { accept, refuse } from '../base/outcome.ts';
import type { DnsProvider } from './provider.ts';

export interface CommandOptions {
  readonly file: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What it printed when it failed: for the log, not for clients. */
  readonly onFailure: (exitCode: number | string, printed: string) => void;
  readonly limitMs?: number;
}

const LIMIT_MS = 60_000;
const PRINTED_CHARACTERS = 1_000;

export const createCommandProvider = ({ file, env, onFailure, limitMs = LIMIT_MS }: CommandOptions): DnsProvider => {
  const own = Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('TAILPLANE_')));
  return {
    setTexts: async (name, values) =>
      new Promise((resolve) => {
        const limits = { timeout: limitMs, killSignal: 'SIGKILL', maxBuffer: 1 << 20 } as const;
        execFile(file, ['set', name, ...values], { env: own, ...limits }, (error, stdout, stderr) => {
          if (!error) return resolve(accept(undefined));
          onFailure(error.code ?? error.signal ?? '', `${stdout}${stderr}`.trim().slice(-PRINTED_CHARACTERS));
          const how = error.killed ? 'took too long' : typeof error.code === 'number' ? `ended with ${error.code}` : 'could not run'; // prettier-ignore
          resolve(refuse('dns/command', `The command that publishes DNS records ${how}.`));
        });
      }),
  };
};
