// `tailplane lint` and `fmt` as a person or a pipeline runs them: what they print and how they end.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';

const root = path.join(import.meta.dirname, '../..');
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-lint-'));
after(() => fs.rmSync(scratch, { recursive: true }));

const folder = (name: string, files: Readonly<Record<string, string>>): string => {
  const dir = path.join(scratch, name);
  fs.mkdirSync(dir);
  for (const [file, text] of Object.entries(files)) fs.writeFileSync(path.join(dir, file), text);
  return dir;
};

interface Ended {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

const tailplane = (...args: string[]): Ended => {
  const launcher = path.join(root, 'src/cli/tailplane.js');
  const { status, stdout, stderr } = spawnSync(process.execPath, [launcher, ...args], {
    cwd: scratch,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], FORCE_COLOR: '1' },
  });
  return { status, out: stdout, err: stderr };
};

const lint = (...args: string[]): Ended => tailplane('lint', ...args);

const broken = folder('broken', { 'tailnet.json5': "{ nmae: 'example.com' }\n" });
const risky = folder('risky', {
  'tailnet.json5': "{ name: 'example.com' }\n",
  'users.json5': "{ users: [{ login: 'alice@example.com' }] }\n",
});

test('a good folder: one line, exit code 0', () => {
  assert.deepEqual(lint(path.join(root, 'tailnet.example')), {
    status: 0,
    out: 'Nothing to report in 8 files.\n',
    err: '',
  });
});

test('an error: exit code 1, without colours where nobody looks', () => {
  const { status, out } = lint(broken);
  assert.equal(status, 1);
  assert.match(out, /^error\[config\/unknown-field\]: There is no field `nmae` here\.\n --> tailnet\.json5:1:3\n/);
  assert.ok(!out.includes('\u001b'));
});

test('a warning fails only with --strict', () => {
  assert.equal(lint(risky).status, 0);
  assert.equal(lint(risky, '--strict').status, 1);
});

test('--json answers with an object that fits the schema it names', () => {
  for (const flags of [['--json'], ['--format', 'json']]) {
    const { status, out } = lint(broken, ...flags);
    const answer = JSON.parse(out) as { readonly schema: string; readonly ok: boolean };
    const schema = JSON.parse(fs.readFileSync(path.join(root, 'schemas', answer.schema), 'utf8')) as object;
    const check = new Ajv2020().compile(schema);
    assert.ok(check(answer), JSON.stringify(check.errors));
    assert.deepEqual([status, answer.ok], [1, false]);
  }
});

test('sarif and github name files as they lie in the repository', () => {
  const sarif = JSON.parse(lint(broken, '--format', 'sarif', '--prefix', 'infra/tailnet').out) as {
    readonly runs: readonly [
      {
        readonly results: readonly {
          readonly locations: readonly [
            { readonly physicalLocation: { readonly artifactLocation: { readonly uri: string } } },
          ];
        }[];
      },
    ];
  };
  assert.equal(
    sarif.runs[0].results[0]?.locations[0].physicalLocation.artifactLocation.uri,
    'infra/tailnet/tailnet.json5',
  );
  assert.match(
    lint(broken, '--format', 'github', '--prefix', 'infra/tailnet/').out,
    /^::error file=infra\/tailnet\/tailnet\.json5,line=1,/,
  );
  assert.match(lint(broken, '--format', 'markdown').out, /^### Tailplane lint: 1 error\n/);
});

test('a folder that is not there, or a format that is none: exit code 2', () => {
  const missing = lint('nowhere');
  assert.equal(missing.status, 2);
  assert.match(missing.err, /nowhere can't be read: ENOENT/);
  assert.equal(lint(broken, '--format', 'html').status, 2);
});

test('--fix corrects the files and says so; what is left is reported', () => {
  const dir = folder('fixable', {
    'tailnet.json5': "{ name: 'example.com' }\n",
    'users.json5': "{ users: [{ login: 'alice@example.com', role: 'owner' }] }\n",
    'policy.json5': '{\n  "groups": {\n    "group:a": [], // nobody\n  },\n}\n',
  });
  const { status, out, err } = lint(dir, '--fix');
  assert.deepEqual([status, err], [0, 'Fixed 1 finding in policy.json5.\n']);
  assert.match(out, /^warning\[lint\/no-rules\]/);
  assert.equal(fs.readFileSync(path.join(dir, 'policy.json5'), 'utf8'), '{\n  "groups": {\n  },\n}\n');
  assert.deepEqual(fs.readdirSync(dir).sort(), ['policy.json5', 'tailnet.json5', 'users.json5']);
});

test('a pipe in the place of a file holds nothing up', { skip: process.platform === 'win32' }, () => {
  const dir = folder('pipe', {});
  assert.equal(spawnSync('mkfifo', [path.join(dir, 'tailnet.json5')]).status, 0);
  const { status, out } = lint(dir);
  assert.equal(status, 1);
  assert.match(out, /config\/no-tailnet/);
});

test('fmt --check says what would change; fmt changes it; a broken file is left alone', () => {
  const dir = folder('crooked', { 'tailnet.json5': "{name:'example.com'} // mine\n" });
  const check = tailplane('fmt', dir, '--check');
  assert.deepEqual([check.status, check.out], [1, 'Would change tailnet.json5.\n']);
  assert.deepEqual(JSON.parse(tailplane('fmt', dir, '--json').out), { changed: ['tailnet.json5'] });
  assert.equal(fs.readFileSync(path.join(dir, 'tailnet.json5'), 'utf8'), "{ name: 'example.com' } // mine\n");
  assert.equal(tailplane('fmt', dir, '--check').status, 0);

  const { status, err } = tailplane('fmt', folder('open', { 'tailnet.json5': '{ name: ' }));
  assert.equal(status, 1);
  assert.match(err, /config\/cannot-edit/);
});
