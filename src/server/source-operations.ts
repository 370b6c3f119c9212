// What an administrator may ask about the source of the tailnet, by the socket: how it fares, its history, going back,
// waiting, and edits that end in git and nowhere else.

import fs from 'node:fs/promises';
import path from 'node:path';
import { randomBytes } from 'node:crypto';
import { parsePrefix, type Prefix } from '../base/address.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import type { AdminOperation, AdminRequest } from '../http/admin.ts';
import { unifiedDiff } from '../review/textdiff.ts';
import { compileSnapshot } from '../snapshot/compile.ts';
import type { SourceTree } from '../source/tree.ts';
import { approveRoutes, declareCredential, declareNode, withdrawCredential, withdrawRoutes } from './edits.ts';
import type { CredentialEntry, FileEdit, NodeWish } from './edits.ts';
import type { Follower } from './follow.ts';
import { findNode } from './node-operations.ts';
import type { Parts } from './parts.ts';
import type { ReconcileStatus } from './reconcile.ts';

export interface EditAnswer {
  readonly file: string;
  readonly diff: string;
  readonly mode: 'print' | 'commit' | 'propose';
  readonly subject: string;
  readonly commit?: string;
  readonly branch?: string;
  /** Where a person opens the pull request. */
  readonly openUrl?: string;
}

const HISTORY_LIMIT = 1000;
const SUSPEND_LIMIT_MS = 30 * 86_400_000;

const textOf = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

const textsOf = (value: unknown): readonly string[] | undefined =>
  Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined;

const badRequest = (reason: string): Outcome<never> => refuse('http/bad-request', reason);

const textsIn = (tree: SourceTree): ReadonlyMap<string, string> =>
  new Map(Array.from(tree.files, ([name, bytes]) => [name, Buffer.from(bytes).toString('utf8')]));

/** What keys.json5 makes of it is checked with the whole file. */
const credentialOf = (body: AdminRequest['body']): CredentialEntry | undefined => {
  const [id, hash, owner, expires, description] = ['id', 'hash', 'owner', 'expires', 'description'].map((field) =>
    textOf(body[field]),
  );
  const scopes = textsOf(body['scopes']);
  if (id === undefined || hash === undefined || owner === undefined || !scopes) return undefined;
  return { id, hash, owner, scopes, ...(expires && { expires }), ...(description && { description }) };
};

/** `sealKey`: the public key that `tailplane seal` encrypts to, `mkey:…`. */
export const sourceOperations = (parts: Parts, follower: Follower, sealKey: string): readonly AdminOperation[] => {
  const { reconcile, origin } = follower;
  const { history } = origin;
  const noHistory = refuse('server/no-history', 'A plain folder has no history; follow a git repository for that.');

  const named = (request: AdminRequest, run: (revision: string) => Promise<Outcome<ReconcileStatus>>) => {
    const revision = textOf(request.body['revision']);
    return revision === undefined ? badRequest('Name a commit.') : run(revision);
  };

  const wishOf = (body: AdminRequest['body']): NodeWish => ({
    ...(textOf(body['name']) === undefined ? {} : { name: textOf(body['name']) as string }),
    ...(textsOf(body['tags']) ? { tags: textsOf(body['tags']) as readonly string[] } : {}),
    ...(textsOf(body['addresses']) ? { addresses: textsOf(body['addresses']) as readonly string[] } : {}),
    ...(typeof body['approved'] === 'boolean' ? { approved: body['approved'] } : {}),
    ...(typeof body['disabled'] === 'boolean' ? { disabled: body['disabled'] } : {}),
  });

  const editOf = (tree: SourceTree, { params, body }: AdminRequest): Outcome<FileEdit> => {
    const record = findNode(parts, params['node'] ?? '');
    const node = record && parts.tailnet.node(record.id);
    if (!node) return refuse('http/not-found', `There is no node «${params['node']}».`);
    if (params['what'] === 'declaration') return declareNode(tree.files, node, wishOf(body));
    const asked = textsOf(body['routes'])?.map((text) => parsePrefix(text));
    if (asked?.includes(undefined)) return badRequest('A route is written like 10.1.0.0/16.');
    const routes = asked as readonly Prefix[] | undefined;
    switch (params['what']) {
      case 'routes':
        return approveRoutes(tree.files, node, routes ?? node.policyNode.routableIPs);
      case 'withdrawal':
        return withdrawRoutes(tree.files, node, routes);
      default:
        return refuse('http/not-found', `There is no edit «${params['what']}».`);
    }
  };

  /** Whatever is written must compile: an edit must not be the commit that is rejected. */
  const checked = (tree: SourceTree, edit: FileEdit): Outcome<FileEdit> => {
    const files = new Map([...tree.files, [edit.file, Buffer.from(edit.after)]]);
    const { snapshot, diagnostics } = compileSnapshot({ revision: tree.revision, files });
    const error = diagnostics.find(({ severity }) => severity === 'error');
    return snapshot ? accept(edit) : badRequest(error?.message ?? 'The edited files have errors.');
  };

  const write = async (edit: FileEdit, { body }: AdminRequest): Promise<Outcome<Partial<EditAnswer>>> => {
    const mode = body['mode'] ?? 'print';
    if (mode === 'print') return accept({ mode });
    if (mode !== 'commit' && mode !== 'propose') return badRequest('The mode is print, commit or propose.');
    if (!history) {
      const file = path.join(origin.status().location, edit.file);
      await fs.writeFile(`${file}.part`, edit.after);
      await fs.rename(`${file}.part`, file);
      return accept({ mode });
    }
    const slug = edit.subject
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .slice(0, 40)
      .replace(/-$/, '');
    const branch = mode === 'propose' ? { branch: `tailplane/${slug}-${randomBytes(3).toString('hex')}` } : {};
    const proposal = await history.propose({
      files: new Map([[edit.file, Buffer.from(edit.after)]]),
      message: textOf(body['message']) ?? edit.subject,
      author: {
        name: textOf(body['authorName']) ?? 'Tailplane',
        email: textOf(body['authorEmail']) ?? `tailplane@${parts.snapshot().tailnet.baseDomain}`,
      },
      ...branch,
    });
    return proposal.ok ? accept({ mode, ...proposal.value }) : proposal;
  };

  const edit = async (
    request: AdminRequest,
    make: (tree: SourceTree) => Outcome<FileEdit>,
  ): Promise<Outcome<EditAnswer>> => {
    if (request.body['mode'] === 'propose' && !history) return noHistory;
    // A folder is read anew: what was written a moment ago, perhaps by the edit before this one, has to stay.
    const tree = history ? await origin.read() : await origin.sync();
    if (!tree.ok) return tree;
    const made = make(tree.value);
    const sound = made.ok ? checked(tree.value, made.value) : made;
    if (!sound.ok) return sound;
    const { file, before, after, subject } = sound.value;
    const written = await write(sound.value, request);
    if (!written.ok) return written;
    return accept({ mode: 'print', file, subject, diff: unifiedDiff(file, before, after), ...written.value });
  };

  const diff = async (from: string, to: string): Promise<Outcome<{ readonly diff: string }>> => {
    if (!history) return noHistory;
    const [a, b] = [await history.readAt(from), await history.readAt(to)];
    if (!a.ok) return a;
    if (!b.ok) return b;
    const [before, after] = [textsIn(a.value), textsIn(b.value)];
    const names = [...new Set([...before.keys(), ...after.keys()])];
    return accept({ diff: names.map((name) => unifiedDiff(name, before.get(name), after.get(name))).join('') });
  };

  return [
    {
      method: 'get',
      path: '/reconcile',
      run: () => accept({ ...reconcile.status(), transitions: reconcile.transitions().slice(-20) }),
    },
    { method: 'post', path: '/reconcile/sync', run: async () => await reconcile.sync() },
    {
      method: 'post',
      path: '/reconcile/trust',
      run: async (request) => await named(request, (revision) => reconcile.trust(revision)),
    },
    {
      method: 'post',
      path: '/reconcile/rollback',
      run: async (request) => await named(request, (revision) => reconcile.rollback(revision)),
    },
    {
      method: 'post',
      path: '/reconcile/suspend',
      run: ({ body }) => {
        const forMs = Number(body['forMs']);
        if (!(forMs > 0 && forMs <= SUSPEND_LIMIT_MS)) return badRequest('A suspension lasts up to 30 days.');
        return reconcile.suspend(parts.now() + forMs);
      },
    },
    { method: 'post', path: '/reconcile/resume', run: async () => await reconcile.resume() },
    {
      method: 'get',
      path: '/history',
      run: async ({ query }) => {
        if (!history) return noHistory;
        const limit = Math.min(Math.max(1, Number(query.get('limit') ?? 20) || 20), HISTORY_LIMIT);
        const log = await history.log(limit);
        if (!log.ok) return log;
        const { serving, pending } = reconcile.status();
        const marks = new Map<string, string>([[serving.revision, 'serving']]);
        if (pending) marks.set(pending.revision, pending.state);
        return accept(log.value.map((commit) => ({ ...commit, mark: marks.get(commit.id) ?? null })));
      },
    },
    {
      method: 'get',
      path: '/diff',
      run: async ({ query }) => await diff(query.get('from') ?? 'HEAD~1', query.get('to') ?? 'HEAD'),
    },
    { method: 'get', path: '/seal-key', run: () => accept({ key: sealKey }) },
    { method: 'get', path: '/signer', run: () => accept({ name: 'tailplane', key: follower.signer }) },
    // `what` is `routes`, `withdrawal` or `declaration`.
    {
      method: 'post',
      path: '/edits/:what/:node',
      run: async (request) => await edit(request, (tree) => editOf(tree, request)),
    },
    {
      method: 'post',
      path: '/edits/credentials',
      run: async (request) => {
        const entry = credentialOf(request.body);
        if (!entry) return badRequest('A credential has an id, a hash, an owner and scopes.');
        return await edit(request, (tree) => declareCredential(tree.files, entry));
      },
    },
    {
      method: 'post',
      path: '/edits/credentials/:id/withdraw',
      run: async (request) => await edit(request, (tree) => withdrawCredential(tree.files, request.params['id'] ?? '')),
    },
  ];
};
