// What the server's own keys do for a repository: `seal` encrypts a value that only the server can read, `signer` says by
// which key the server's own commits are signed.

import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { Secret } from '../base/secret.ts';
import { nativeCrypto } from '../keys/native.ts';
import { sealSecret } from '../keys/sealed.ts';
import { parseMachineKey } from '../keys/text.ts';
import { EXIT, Failure } from './failure.ts';
import { serverOf } from './server.ts';

const SECRET_LIMIT_BYTES = 64 * 1024;

const readSecret = async (): Promise<Secret<string>> => {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > SECRET_LIMIT_BYTES) throw new Failure(EXIT.usage, 'cli/usage', 'The value is larger than 64 KiB.');
    chunks.push(chunk);
  }
  return new Secret(
    Buffer.concat(chunks)
      .toString('utf8')
      .replace(/\r?\n$/, ''),
  );
};

export const registerSeal = (program: Command): void => {
  program
    .command('seal')
    .description('encrypt a value to the server, so that it may lie in the repository; reads it from standard input')
    .option('--to <key>', "the server's sealing key; asked of the running server by default")
    .addHelpText('after', '\nExample:\n  printf %s "$SECRET" | tailplane seal')
    .action(async ({ to }: { to?: string }, command: Command) => {
      const { admin, out } = serverOf(command);
      const recipient = parseMachineKey(to ?? (await admin.get<{ key: string }>('/seal-key')).key);
      if (!recipient) {
        throw new Failure(
          EXIT.usage,
          'cli/usage',
          'This is not a sealing key.',
          '`tailplane seal` alone asks the server for its own.',
        );
      }
      const sealed = sealSecret(nativeCrypto, (size) => randomBytes(size), recipient, await readSecret());
      out.show({ sealed }, () => sealed);
    });
};

export const registerSigner = (program: Command): void => {
  program
    .command('signer')
    .description("show the public key of the server's own commits, as an entry for `signers` in tailnet.json5")
    .addHelpText('after', '\nExample:\n  tailplane signer')
    .action(async (_options: unknown, command: Command) => {
      const { admin, out } = serverOf(command);
      const signer = await admin.get<{ name: string; key: string }>('/signer');
      out.show(signer, () => `{ name: '${signer.name}', key: '${signer.key}' },`);
    });
};
