// `tailplane init [DIR]`: a new tailnet folder, small enough to read at once and complete enough to serve.

import fs from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { parseLogin } from '../base/ids.ts';
import { EXIT, Failure } from './failure.ts';
import { createOutput } from './output.ts';

const SCHEMAS = 'https://unpkg.com/tailplane/schemas';

const FILES: Readonly<Record<string, (owner: string) => string>> = {
  'tailnet.json5': (owner) => `{
  $schema: '${SCHEMAS}/tailnet.schema.json',
  // Shown in clients as the name of the network.
  name: '${owner.slice(owner.indexOf('@') + 1)}',
  // Machines are <name>.<baseDomain> in MagicDNS. It must not be a domain that the public DNS serves to you.
  baseDomain: 'tail.internal',
}
`,
  'users.json5': (owner) => `{
  $schema: '${SCHEMAS}/users.schema.json',
  users: [
    { login: '${owner}', role: 'owner' },
  ],
}
`,
  'policy.json5':
    () => `// The Tailscale policy language: who may reach what. Without this file everybody reaches everything.
{
  "grants": [
    // People reach their own machines.
    { "src": ["autogroup:member"], "dst": ["autogroup:self"], "ip": ["*"] },
  ],
}
`,
};

export const registerInit = (program: Command): void => {
  program
    .command('init')
    .description('make a new tailnet folder')
    .argument('[dir]', 'the folder to make', '.')
    .option('--owner <login>', 'the first person, as a login', 'you@example.com')
    .addHelpText(
      'after',
      '\nExample:\n  tailplane init my-tailnet --owner alice@example.com && tailplane serve my-tailnet',
    )
    .action((dir: string, options: { owner: string }, command: Command) => {
      const { json = false } = command.optsWithGlobals<{ json?: boolean }>();
      if (parseLogin(options.owner) === undefined || /['\\]/.test(options.owner)) {
        throw new Failure(
          EXIT.usage,
          'cli/usage',
          `«${options.owner}» is not a login.`,
          'Write it like alice@example.com.',
        );
      }
      const folder = path.resolve(dir);
      const taken = Object.keys(FILES).filter((file) => fs.existsSync(path.join(folder, file)));
      if (taken.length > 0) {
        throw new Failure(
          EXIT.findings,
          'cli/would-overwrite',
          `${folder} already holds ${taken.join(', ')}; nothing was written.`,
          'Name an empty folder.',
        );
      }
      fs.mkdirSync(folder, { recursive: true });
      for (const [file, text] of Object.entries(FILES))
        fs.writeFileSync(path.join(folder, file), text(options.owner), { flag: 'wx' });
      const out = createOutput(json);
      out.show({ folder, files: Object.keys(FILES) }, () =>
        [`Made ${folder}:`, ...Object.keys(FILES).map((file) => `  ${file}`), `Next: tailplane serve ${dir}`].join(
          '\n',
        ),
      );
    });
};
