// The log: one line for each event that matters, pretty on a terminal, JSON elsewhere, always on standard error. Fields
// that could hold a secret are removed by name as a last guard; secrets are also a type of their own (base/secret.ts). Much of
// it was said by strangers, so no text moves a cursor or begins another line.

import pino from 'pino';
import type { Logger, LoggerOptions } from 'pino';
import pretty from 'pino-pretty';
import { printable } from '../review/excerpt.ts';

export type { Logger } from 'pino';

export interface LogOptions {
  readonly level: string;
  readonly pretty: boolean;
  readonly colour: boolean;
}

const REDACTED = ['key', 'secret', 'token', 'authKey', 'password', 'passphrase', 'authorization'];

const lines = (text: string): string => text.split('\n').map(printable).join('\n');

/** An error by what it says and where it was thrown; anything else that was thrown as it is. */
const describeFault = (fault: unknown): unknown => {
  if (!(fault instanceof Error)) return visible(fault);
  const { message, stack, ...rest } = pino.stdSerializers.err(fault);
  return { ...rest, message: printable(message), stack: lines(stack) };
};

const visible = (value: unknown): unknown =>
  typeof value === 'string' ? printable(value) : Array.isArray(value) ? value.map(visible) : value;

const visibleFields = (fields: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, visible(value)]));

export const createLog = (options: LogOptions): Logger => {
  const settings: LoggerOptions = {
    level: options.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`]), censor: '«secret»' },
    formatters: { level: (label: string) => ({ level: label }), log: visibleFields },
    serializers: { err: describeFault, fault: describeFault },
    hooks: {
      logMethod(args, method) {
        method.apply(this, args.map(visible) as Parameters<typeof method>);
      },
    },
  };
  if (!options.pretty) return pino(settings, pino.destination({ fd: 2, sync: true }));
  const stream = pretty({
    colorize: options.colour,
    destination: 2,
    sync: true,
    translateTime: 'SYS:HH:MM:ss.l',
    errorLikeObjectKeys: ['err', 'fault'],
    // Its default leaves out «hostname», which is a client's here.
    ignore: 'pid',
    singleLine: true,
  });
  return pino(settings, stream);
};
