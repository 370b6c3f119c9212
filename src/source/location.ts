// Where a tailnet lives, told from how it is written: a path, a URL, or git's short form for SSH. Credentials in a URL
// are refused, because URLs end up in logs; plain HTTP is refused, because nothing would protect the policy on its way.

import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { accept, refuse, type Outcome, type Refusal } from '../base/outcome.ts';

export type Location =
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'repository'; readonly path: string; readonly gitdir: string }
  | { readonly kind: 'https'; readonly url: string }
  | {
      readonly kind: 'ssh';
      readonly url: string;
      readonly user?: string;
      readonly host: string;
      readonly port?: number;
      readonly path: string;
    };

const isFolder = (file: string): boolean => statSync(file, { throwIfNoEntry: false })?.isDirectory() === true;

const isGitdir = (dir: string): boolean => existsSync(path.join(dir, 'HEAD')) && isFolder(path.join(dir, 'objects'));

/** The object store of a path: a bare repository, or the `.git` of a work tree. */
const gitdirOf = (dir: string): string | undefined =>
  [path.join(dir, '.git'), dir].find((candidate) => isGitdir(candidate));

const readText = (file: string): string => {
  try {
    return readFileSync(file, 'utf8').slice(0, 64 * 1024);
  } catch {
    return '';
  }
};

/** A work tree whose `.git` is a file that names a place in another repository. */
const linkedTo = (dir: string): Refusal | undefined => {
  const [, linked] = /^gitdir: (.+?)\s*$/.exec(readText(path.join(dir, '.git'))) ?? [];
  if (linked === undefined) return undefined;
  const gitdir = path.resolve(dir, linked);
  const common = path.resolve(gitdir, readText(path.join(gitdir, 'commondir')).trim());
  const [, branch] = /^ref: refs\/heads\/(\S+)/.exec(readText(path.join(gitdir, 'HEAD'))) ?? [];
  const named = branch === undefined ? '' : `, with --branch ${branch}`;
  return refuse('source/repository-form', `${dir} is a linked work tree; name its repository, ${common}${named}.`);
};

/** Why a repository can't be read although it is one. */
const strangenessOf = (gitdir: string): string | undefined => {
  if (/^\s*objectformat\s*=\s*(?!sha1\b)\S/im.test(readText(path.join(gitdir, 'config'))))
    return 'names its objects by another hash than SHA-1, which is not read';
  if (readText(path.join(gitdir, 'objects/info/alternates')).trim() !== '')
    return 'borrows objects from another repository, which is not read';
  return undefined;
};

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);

// A name that starts with a dash would be an option to ssh, and a space or quote would end its word there.
const isSafe = (text: string): boolean => /^[\w./~+@%:[\]-]+$/.test(text) && !text.startsWith('-');

const sshLocation = (
  text: string,
  user: string | undefined,
  host: string,
  port: string,
  file: string,
): Outcome<Location> => {
  if (!isSafe(host) || !isSafe(file) || (user !== undefined && !isSafe(user))) {
    return refuse('source/location', `«${text}» has characters that an SSH location cannot have.`);
  }
  const named = user === undefined ? {} : { user };
  return accept({ kind: 'ssh', url: text, ...named, host, ...(port === '' ? {} : { port: Number(port) }), path: file });
};

/** `asRepository`: a path is a repository and not a plain folder. */
export const parseLocation = (text: string, asRepository: boolean): Outcome<Location> => {
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f]/.test(text)) return refuse('source/location', 'A location has no control characters.');
  const repository = (dir: string): Outcome<Location> => {
    if (!isFolder(dir)) return refuse('source/absent', `There is no folder ${dir}.`);
    const gitdir = gitdirOf(dir);
    if (gitdir === undefined)
      return linkedTo(dir) ?? refuse('source/not-a-repository', `${dir} is not a git repository.`);
    const strange = strangenessOf(gitdir);
    if (strange !== undefined) return refuse('source/repository-form', `${dir} ${strange}.`);
    return accept({ kind: 'repository', path: dir, gitdir });
  };
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    const short = /^(?:([^/@:]+)@)([^/@:]+):(?!\/\/)(.+)$/.exec(text);
    if (short) return sshLocation(text, short[1], short[2] as string, '', short[3] as string);
    const dir = path.resolve(text);
    if (asRepository || (isGitdir(dir) && !existsSync(path.join(dir, 'tailnet.json5')))) return repository(dir);
    return accept({ kind: 'folder', path: dir });
  }
  let url: URL;
  let file: string;
  try {
    url = new URL(text);
    file = url.protocol === 'file:' && url.host === '' ? fileURLToPath(url) : decodeURI(url.pathname);
  } catch {
    return refuse('source/location', `«${text.slice(0, 200)}» is not a URL.`);
  }
  switch (url.protocol) {
    case 'file:':
      if (url.host !== '') return refuse('source/location', 'A file: URL names no host: file:///path/to/repository.');
      return repository(file);
    case 'http:':
    case 'https:':
      if (url.username !== '' || url.password !== '') {
        return refuse(
          'source/url-credentials',
          `The URL for ${url.host} carries a user name or password; give them as settings.`,
        );
      }
      if (url.protocol === 'http:' && !LOOPBACK.has(url.hostname)) {
        return refuse('source/insecure-url', `http://${url.host} is not encrypted; use https.`);
      }
      return accept({ kind: 'https', url: `${url.origin}${url.pathname.replace(/\/+$/, '')}` });
    case 'ssh:':
    case 'git+ssh:':
      if (url.password !== '') return refuse('source/url-credentials', `The URL for ${url.host} carries a password.`);
      return sshLocation(text, url.username || undefined, url.hostname, url.port, file.replace(/^\/~/, '~'));
    default:
      return refuse('source/location', `${url.protocol}// is not followed; use https://, ssh://, file:// or a path.`);
  }
};
