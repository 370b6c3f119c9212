// isomorphic-git's HttpClient over the system's ssh: the first request starts `git-upload-pack` (or `git-receive-pack`)
// on the host and reads its list of refs, the second writes the request to the same process and reads the answer. Git's
// protocol is the same over both once the smart-HTTP service line is added (gitprotocol-http(5)), so packs pass the same
// limits as over HTTPS. Host keys are pinned: the person who sets the server up names the file.

import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import type { GitHttpRequest, GitHttpResponse } from 'isomorphic-git';
import { refuse, type Refusal } from '../base/outcome.ts';
import { advertised, whole, type GitTransport } from './https.ts';
import { Refused } from './refused.ts';
import type { SourceLimits } from './source.ts';

export interface SshOptions {
  readonly user?: string | undefined;
  readonly host: string;
  readonly port?: number | undefined;
  readonly path: string;
  readonly identityFile?: string | undefined;
  readonly knownHostsFile?: string | undefined;
  /** The program and its first arguments; a test puts another one here. */
  readonly command?: readonly string[] | undefined;
  readonly limits: SourceLimits;
}

/** The arguments of ssh. Nothing of the user's own configuration applies, and nothing ever asks. */
export const sshArguments = (options: SshOptions, service: string): readonly string[] => [
  '-F',
  'none',
  '-T',
  '-o',
  'BatchMode=yes',
  '-o',
  'StrictHostKeyChecking=yes',
  '-o',
  `ConnectTimeout=${Math.ceil(options.limits.connectMs / 1000)}`,
  '-o',
  `ServerAliveInterval=${Math.max(1, Math.floor(options.limits.idleMs / 2000))}`,
  '-o',
  'ServerAliveCountMax=2',
  ...(options.knownHostsFile === undefined
    ? []
    : ['-o', `UserKnownHostsFile="${options.knownHostsFile}"`, '-o', 'GlobalKnownHostsFile=none']),
  ...(options.identityFile === undefined ? [] : ['-i', options.identityFile, '-o', 'IdentitiesOnly=yes']),
  ...(options.port === undefined ? [] : ['-p', String(options.port)]),
  '--',
  options.user === undefined ? options.host : `${options.user}@${options.host}`,
  `${service} '${options.path}'`,
];

/** What ssh says about the file of the deploy key, before the host refuses the login that lacks it. */
const keyProblem = (said: string): string => {
  if (/identity file .* not accessible|load key .*(?:no such file|permission denied)/i.test(said))
    return "The file of the SSH key can't be read.";
  if (/permissions .* are too open|bad permissions/i.test(said))
    return 'The file of the SSH key can be read by others, so ssh does not use it: chmod 600.';
  if (/load key .*(?:passphrase|invalid format|error in libcrypto)/i.test(said))
    return 'The file of the SSH key holds no key that can be used, or one under a passphrase.';
  return 'The git host refused the SSH key.';
};

const refusalOfSsh = (said: string, status: number | null): Refusal => {
  if (/host key verification failed|host identification has changed|no .* host key is known/i.test(said)) {
    return refuse('source/host-key', "The git host's SSH key is not the pinned one.");
  }
  if (/permission denied|access denied|too many authentication failures/i.test(said)) {
    return refuse('source/credentials', keyProblem(said));
  }
  if (/read.only|write access|not allowed to (?:push|upload)/i.test(said) && status !== 255) {
    return refuse('source/push-refused', 'The SSH key may only read.');
  }
  if (status === 127) return refuse('source/protocol', 'There is no git on the SSH host.');
  if (/not found|does not appear to be a git repository|no such/i.test(said) && status !== 255) {
    return refuse('source/not-found', 'The git host knows no such repository, or hides it from this key.');
  }
  // No status: it was killed, and only our own time limit does that.
  if (status === null || /timed out|timeout/i.test(said))
    return refuse('source/timeout', 'The git host did not answer in time.');
  if (status === 255) return refuse('source/unreachable', 'The git host cannot be reached by SSH.');
  return refuse('source/protocol', 'The git host ended the SSH session early.');
};

/** Bytes of a process, in the order asked for. */
class Reader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #held = Buffer.alloc(0);
  #limit: number;

  constructor(stream: AsyncIterable<Uint8Array>, limitBytes: number) {
    this.#chunks = stream[Symbol.asyncIterator]();
    this.#limit = limitBytes;
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#chunks.next();
    if (done) return false;
    this.#limit -= value.length;
    if (this.#limit < 0) throw new Refused(refuse('source/fetch-too-large', 'The fetch is larger than its limit.'));
    this.#held = Buffer.concat([this.#held, value]);
    return true;
  }

  /** Exactly so many bytes, or undefined at the end. */
  async take(count: number): Promise<Buffer | undefined> {
    while (this.#held.length < count) if (!(await this.#more())) return undefined;
    const out = this.#held.subarray(0, count);
    this.#held = this.#held.subarray(count);
    return out;
  }

  async rest(): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    do {
      chunks.push(this.#held);
      this.#held = Buffer.alloc(0);
    } while (await this.#more());
    return Buffer.concat(chunks);
  }
}

interface Session {
  readonly child: ChildProcessWithoutNullStreams;
  readonly reader: Reader;
  readonly ended: Promise<number | null>;
  said: string;
}

export const openSsh = (options: SshOptions): GitTransport => {
  let session: Session | undefined;
  const [program = 'ssh', ...first] = options.command ?? ['ssh'];

  const start = (service: string): Session => {
    const child = spawn(program, [...first, ...sshArguments(options, service)], {
      stdio: 'pipe',
      timeout: options.limits.totalMs,
      killSignal: 'SIGKILL',
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], LC_ALL: 'C' },
    });
    const ended = new Promise<number | null>((resolve) => {
      child.on('error', () => resolve(255));
      child.on('close', resolve);
    });
    const started: Session = { child, ended, said: '', reader: new Reader(child.stdout, options.limits.fetchBytes) };
    child.stderr.on('data', (chunk: Buffer) => (started.said = (started.said + chunk.toString()).slice(0, 4096)));
    // A host that hangs up is seen where its answer is read.
    child.stdin.on('error', () => {});
    return started;
  };

  const stop = (): void => {
    session?.child.stdin.end('0000');
    session?.child.kill('SIGTERM');
    session = undefined;
  };

  const failed = async (broken: Session): Promise<never> => {
    const status = await broken.ended;
    throw new Refused(refusalOfSsh(broken.said, status));
  };

  /** The list of refs: pkt-lines up to a flush, with the service line that smart HTTP puts in front. */
  const advertisement = async (started: Session, service: string): Promise<Buffer> => {
    const line = `# service=${service}\n`;
    const out: Buffer[] = [Buffer.from(`${(line.length + 4).toString(16).padStart(4, '0')}${line}0000`)];
    for (;;) {
      const head = await started.reader.take(4);
      if (!head) return await failed(started);
      out.push(head);
      const length = Number.parseInt(head.toString('latin1'), 16);
      if (length === 0) return Buffer.concat(out);
      if (!(length >= 4)) throw new Refused(refuse('source/protocol', 'The git host sent something that is not git.'));
      out.push((await started.reader.take(length - 4)) ?? (await failed(started)));
    }
  };

  const request = async ({ url, method, body: sent }: GitHttpRequest): Promise<GitHttpResponse> => {
    const answer = { url, method: method ?? 'GET', statusCode: 200, statusMessage: 'OK' };
    if (method !== 'POST') {
      const service = url.endsWith('git-receive-pack') ? 'git-receive-pack' : 'git-upload-pack';
      stop();
      session = start(service);
      const refs = await advertisement(session, service);
      return {
        ...answer,
        headers: { 'content-type': `application/x-${service}-advertisement` },
        body: advertised(refs),
      };
    }
    const running = session;
    if (!running) throw new Error('a request without a list of refs before it');
    session = undefined;
    if (sent) for await (const part of sent as AsyncIterable<Uint8Array>) running.child.stdin.write(part);
    running.child.stdin.end();
    const body = await running.reader.rest();
    if ((await running.ended) !== 0) return await failed(running);
    return { ...answer, headers: {}, body: whole(body) };
  };

  return { client: { request }, close: stop };
};
