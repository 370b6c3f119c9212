// The log: one line for each event that matters, pretty on a terminal, JSON elsewhere, always on standard error. Fields
// that could hold a secret are removed by name as a last guard; secrets are also a type of their own (base/secret.ts).

import pino from 'pino';
import type { Logger, LoggerOptions } from 'pino';
import pretty from 'pino-pretty';

export type { Logger } from 'pino';

export interface LogOptions {
  readonly level: string;
  readonly pretty: boolean;
  readonly colour: boolean;
}

const REDACTED = ['key', 'secret', 'token', 'authKey', 'password', 'passphrase', 'authorization'];

export const createLog = (options: LogOptions): Logger => {
  const settings: LoggerOptions = {
    level: options.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`]), censor: '«secret»' },
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (!options.pretty) return pino(settings, pino.destination({ fd: 2, sync: true }));
  const stream = pretty({
    colorize: options.colour,
    destination: 2,
    sync: true,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname',
    singleLine: true,
  });
  return pino(settings, stream);
};
