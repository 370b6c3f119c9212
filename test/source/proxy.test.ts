// A git host behind an HTTP proxy, and repositories of forms that are not read: each by name.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Outcome } from '../../src/base/outcome.ts';
import { Secret } from '../../src/base/secret.ts';
import { makeSelfSignedCertificate } from '../../src/server/certificate.ts';
import { openSource } from '../../src/source/open.ts';
import { readProxy, type Proxy } from '../../src/source/proxy.ts';
import type { SourceSettings } from '../../src/source/source.ts';
import { git, PASSWORD, startHost, startWriter, tempDir } from './githost.ts';

const outcomeOf = (seen: Outcome<unknown>): string => (seen.ok ? 'ok' : `${seen.code}: ${seen.reason}`);

const ask = async (t: TestContext, url: string, settings: Partial<SourceSettings>): Promise<string> => {
  const opened = await openSource(url, {
    dataDir: tempDir(t, 'data'),
    credential: { kind: 'basic', username: 'tailplane', password: new Secret(PASSWORD) },
    limits: { connectMs: 1500, idleMs: 5000, totalMs: 10_000 },
    ...settings,
  });
  if (!opened.ok) return outcomeOf(opened);
  try {
    return outcomeOf(await opened.value.sync());
  } finally {
    await opened.value.close();
  }
};

interface TestProxy {
  readonly port: number;
  /** `host:port` of each tunnel that was asked for. */
  readonly asked: string[];
}

/** Opens tunnels for whoever has the password. */
const startProxy = async (t: TestContext, answer: 'tunnel' | 'refuse' | 'silence' = 'tunnel'): Promise<TestProxy> => {
  const asked: string[] = [];
  const sockets = new Set<net.Socket>();
  const proxy = http.createServer();
  proxy.on('connection', (socket) => sockets.add(socket));
  proxy.on('connect', (request, socket, head) => {
    asked.push(request.url ?? '');
    if (answer === 'silence') return;
    const isKnown = request.headers['proxy-authorization'] === `Basic ${btoa('alice:of-the-proxy')}`;
    if (answer === 'refuse' || !isKnown) {
      socket.end(`HTTP/1.1 ${isKnown ? '403 Forbidden' : '407 Proxy Authentication Required'}\r\n\r\n`);
      return;
    }
    const [host, port] = (request.url ?? '').split(':');
    const up = net.connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
      up.write(head);
      up.pipe(socket);
      socket.pipe(up);
    });
    sockets.add(up);
    for (const side of [up, socket]) side.on('error', () => {});
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  return { port: (proxy.address() as AddressInfo).port, asked };
};

test('a git host is reached through the proxy that the environment names', async (t) => {
  const { certPem, keyPem } = makeSelfSignedCertificate({
    hostnames: [],
    ips: ['127.0.0.1'],
    notBefore: new Date(Date.now() - 86_400_000),
    notAfter: new Date(Date.now() + 86_400_000),
  });
  const host = await startHost(t, { tls: { key: keyPem, cert: certPem } });
  startWriter(t, host.repository).commit({ 'tailnet.json5': '{}' });
  const place = new URL(host.url).host;
  const [open, shut, silent] = await Promise.all([startProxy(t), startProxy(t, 'refuse'), startProxy(t, 'silence')]);
  const through = (HTTPS_PROXY: string, NO_PROXY = ''): Promise<string> =>
    ask(t, host.url, { caPem: certPem, proxy: { HTTPS_PROXY, NO_PROXY } });
  const at = ({ port }: TestProxy, who = 'alice:of-the-proxy@'): string => `http://${who}127.0.0.1:${port}`;

  assert.equal(await through(at(open)), 'ok');
  assert.ok(open.asked.length > 0 && open.asked.every((asked) => asked === place));
  open.asked.length = 0;
  assert.equal(await through(at(open), 'git.example.com,127.0.0.1'), 'ok');
  assert.deepEqual(open.asked, [], 'NO_PROXY');
  const outcomes = await Promise.all([
    through(at(open, '')),
    through(at(shut)),
    through(at(silent)),
    through('http://127.0.0.1:9'),
    through('http://proxy.invalid:3128'),
  ]);
  assert.deepEqual(outcomes, [
    'source/proxy: The proxy to the git host answers with HTTP 407.',
    'source/proxy: The proxy to the git host answers with HTTP 403.',
    'source/timeout: The git host did not answer in time.',
    'source/proxy: The proxy to the git host cannot be reached.',
    'source/proxy: The proxy to the git host cannot be reached.',
  ]);
});

test('how the environment names a proxy', () => {
  const read = (env: Record<string, string>): Proxy | string | undefined => {
    const proxy = readProxy(env);
    return proxy.ok ? proxy.value : proxy.code;
  };
  assert.equal(read({}), undefined);
  assert.equal(read({ HTTPS_PROXY: '' }), undefined);
  assert.deepEqual(read({ https_proxy: 'proxy.example.com:3128', no_proxy: 'a' }), {
    HTTPS_PROXY: 'http://proxy.example.com:3128/',
    NO_PROXY: 'a',
  });
  assert.equal(read({ HTTPS_PROXY: 'socks5://127.0.0.1:1080' }), 'source/proxy');
  assert.equal(read({ HTTPS_PROXY: 'http://' }), 'source/proxy');
});

test('repositories of forms that are not read', async (t) => {
  const dir = tempDir(t, 'forms');
  const made = (name: string, ...args: readonly string[]): string => {
    git(dir, ['init', '-q', '-b', 'main', ...args, name]);
    const at = path.join(dir, name);
    fs.writeFileSync(path.join(at, 'tailnet.json5'), '{}');
    git(at, ['add', '-A']);
    git(at, ['commit', '-q', '-m', 'First']);
    return at;
  };
  const plain = made('plain');
  git(plain, ['worktree', 'add', '-q', '-b', 'side', path.join(dir, 'linked')]);
  git(dir, ['clone', '-q', '--shared', plain, 'shared']);
  const sha256 = made('sha256', '--object-format=sha256');
  const settings = { branch: 'main' };
  assert.equal(await ask(t, plain, settings), 'ok');
  assert.match(
    await ask(t, path.join(dir, 'linked'), settings),
    /^source\/repository-form: .*linked work tree; name its repository, .*plain\/\.git, with --branch side\.$/,
  );
  assert.match(await ask(t, path.join(dir, 'shared'), settings), /^source\/repository-form: .*borrows objects/);
  assert.equal(
    await ask(t, sha256, settings),
    `source/repository-form: ${sha256} names its objects by another hash than SHA-1, which is not read.`,
  );
  const host = await startHost(t);
  fs.rmSync(host.repository, { recursive: true });
  git(dir, ['clone', '-q', '--bare', sha256, host.repository]);
  assert.match(await ask(t, host.url, settings), /^source\/repository-form: .*by SHA-256/);
  assert.match(await ask(t, host.url, {}), /^source\/repository-form: .*by SHA-256/);
  const ssh = path.join(dir, 'ssh.sh');
  fs.writeFileSync(ssh, 'for last; do :; done\neval exec "$last"\n');
  const location = `ssh://git@git.example.com${host.repository}`;
  assert.match(await ask(t, location, { sshCommand: ['sh', ssh] }), /^source\/repository-form: .*by SHA-256/);
});
