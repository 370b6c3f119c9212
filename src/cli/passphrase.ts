// Where a passphrase comes from: a file, a variable, or a person at a terminal. Never a flag, which the process list shows.

import fs from 'node:fs';
import readline from 'node:readline/promises';
import { Writable } from 'node:stream';
import { Secret } from '../base/secret.ts';
import { EXIT, Failure } from './failure.ts';

const MIN_LENGTH = 10;

const ask = async (question: string): Promise<string> => {
  process.stderr.write(question);
  // What is typed is echoed by readline to its output: this one swallows it.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const prompt = readline.createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    return await prompt.question('');
  } finally {
    prompt.close();
    process.stderr.write('\n');
  }
};

/** `isNew` asks twice and wants some length. */
export const readPassphrase = async (file: string | undefined, isNew: boolean): Promise<Secret<string>> => {
  const from = file ?? process.env['TAILPLANE_PASSPHRASE_FILE'];
  let text = process.env['TAILPLANE_PASSPHRASE'];
  if (from !== undefined) {
    try {
      text = fs.readFileSync(from, 'utf8').replace(/\r?\n$/, '');
    } catch (error) {
      throw new Failure(EXIT.usage, 'cli/usage', `The passphrase file can't be read: ${(error as Error).message}.`);
    }
  } else if (text === undefined) {
    if (!process.stdin.isTTY) {
      throw new Failure(
        EXIT.usage,
        'cli/usage',
        'A passphrase is needed, and there is no terminal to ask for it.',
        'Give --passphrase-file FILE, or TAILPLANE_PASSPHRASE.',
      );
    }
    text = await ask('Passphrase: ');
    if (isNew && (await ask('Again: ')) !== text) {
      throw new Failure(EXIT.usage, 'cli/usage', 'The two passphrases differ.', 'Try again.');
    }
  }
  if (isNew && text.length < MIN_LENGTH) {
    throw new Failure(EXIT.usage, 'cli/usage', `A passphrase has at least ${MIN_LENGTH} characters.`);
  }
  return new Secret(text);
};
