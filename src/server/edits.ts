// What an administrator decides at run time and belongs in git, as the smallest edit of the files: a route is approved, a
// node is let in, named, tagged, given an address. The files are changed here as texts; writing them is somebody else's.

import { isExitRoute, parsePrefix, type Prefix } from '../base/address.ts';
import { canonicalJson, type Json } from '../base/canonical.ts';
import { accept, refuse, type Outcome } from '../base/outcome.ts';
import { parseDocument } from '../config/document.ts';
import { editDocument, type Edit } from '../config/edit.ts';
import { memberOf, plainOf } from '../config/located.ts';
import type { ResolvedNode } from '../netmap/resolve.ts';

export interface FileEdit {
  readonly file: string;
  /** Undefined: the file is new. */
  readonly before: string | undefined;
  readonly after: string;
  /** One line for a commit message. */
  readonly subject: string;
}

type Files = ReadonlyMap<string, Uint8Array>;
type Entry = Readonly<Record<string, Json>>;

/** A machine by its name and whoever vouches for it: a name alone could be taken by any other machine. */
const selectorOf = ({ record, owner, tags }: ResolvedNode): Json =>
  owner === null ? { name: record.name, tag: tags[0] ?? '' } : { name: record.name, owner };

/** The text of a list file; a new one where there is none. */
const openList = (
  files: Files,
  file: string,
  list: string,
): { readonly before: string | undefined; readonly text: string } => {
  const bytes = files.get(file);
  const before = bytes && Buffer.from(bytes).toString('utf8');
  return { before, text: before ?? `{\n  ${list}: [],\n}\n` };
};

const entriesOf = (text: string, file: string, list: string): readonly Entry[] => {
  const { root } = parseDocument(file, Buffer.from(text), { dialect: 'json5' });
  const found = memberOf(root, list)?.value;
  return found?.kind === 'array' ? found.items.map((item) => plainOf(item) as Entry) : [];
};

/** One more entry of the list, which may not be there yet. */
const added = (text: string, file: string, list: string, value: Entry): Edit => {
  const { root } = parseDocument(file, Buffer.from(text), { dialect: 'json5' });
  return memberOf(root, list) ? { kind: 'insert', path: [list], value } : { kind: 'set', path: [list], value: [value] };
};

const edited = (
  file: string,
  subject: string,
  { before, text }: ReturnType<typeof openList>,
  edits: readonly Edit[],
): Outcome<FileEdit> => {
  const after = editDocument(text, 'json5', edits);
  return after.ok ? accept({ file, before, after: after.value, subject }) : after;
};

/** Approves routes that a node advertises; those that are approved already are left alone. */
export const approveRoutes = (files: Files, node: ResolvedNode, routes: readonly Prefix[]): Outcome<FileEdit> => {
  const file = 'routes.json5';
  if (routes.length === 0) return refuse('server/nothing-to-change', `${node.label} advertises no routes.`);
  const wanted = routes.filter((route) => !node.approvedRoutes.includes(route));
  if (wanted.length === 0) return refuse('server/nothing-to-change', `${node.label} has these routes already.`);
  const subnets = wanted.filter((route) => !isExitRoute(route));
  const exitNode = wanted.some(isExitRoute);
  const page = openList(files, file, 'routes');
  const selector = selectorOf(node);
  const index = entriesOf(page.text, file, 'routes').findIndex(
    (entry) => canonicalJson(entry['node'] ?? null) === canonicalJson(selector),
  );
  const what = [...subnets, ...(exitNode ? ['exit node'] : [])].join(', ');
  const subject = `Approve ${what} of ${node.label}`;
  if (index < 0) {
    const value = { node: selector, ...(subnets.length > 0 ? { subnets } : {}), ...(exitNode ? { exitNode } : {}) };
    return edited(file, subject, page, [added(page.text, file, 'routes', value)]);
  }
  const hasSubnets = entriesOf(page.text, file, 'routes')[index]?.['subnets'] !== undefined;
  const edits: Edit[] = hasSubnets
    ? subnets.map((value) => ({ kind: 'insert', path: ['routes', index, 'subnets'], value }))
    : subnets.length > 0
      ? [{ kind: 'set', path: ['routes', index, 'subnets'], value: subnets }]
      : [];
  if (exitNode) edits.push({ kind: 'set', path: ['routes', index, 'exitNode'], value: true });
  return edited(file, subject, page, edits);
};

const nothingLeft = ({ subnets, exitNode }: Entry): boolean =>
  (subnets === undefined || (Array.isArray(subnets) && subnets.length === 0)) && exitNode !== true;

/**
 * Takes back what routes.json5 approves for this node: the given routes, or all of its own entries. What a tag, a larger
 * subnet or the policy approves is for others too, so it is named and left to a person.
 */
export const withdrawRoutes = (
  files: Files,
  node: ResolvedNode,
  routes: readonly Prefix[] | undefined,
): Outcome<FileEdit> => {
  const file = 'routes.json5';
  const page = openList(files, file, 'routes');
  const own = new Set(
    [{ id: node.record.stableId }, selectorOf(node), ...node.tags.map((tag) => ({ name: node.record.name, tag }))].map(
      (selector) => canonicalJson(selector),
    ),
  );
  const edits: Edit[] = [];
  const withdrawn = new Set<string>();
  // From the end, so that what is removed moves no index that is still to be used.
  for (const [index, entry] of [...entriesOf(page.text, file, 'routes').entries()].toReversed()) {
    if (!own.has(canonicalJson(entry['node'] ?? null))) continue;
    const subnets = Array.isArray(entry['subnets']) ? entry['subnets'] : [];
    const isAsked = (text: Json): boolean =>
      routes === undefined || (typeof text === 'string' && routes.includes(parsePrefix(text) as Prefix));
    const gone = subnets.filter(isAsked);
    const leaves = entry['exitNode'] === true && (routes === undefined || routes.some(isExitRoute));
    if (gone.length === 0 && !leaves) continue;
    for (const subnet of gone) withdrawn.add(String(subnet));
    if (leaves) withdrawn.add('exit node');
    const kept = subnets.filter((subnet) => !isAsked(subnet));
    const rest = { subnets: kept, exitNode: entry['exitNode'] === true && !leaves };
    if (nothingLeft(rest)) {
      edits.push({ kind: 'remove', path: ['routes', index] });
      continue;
    }
    if (leaves) edits.push({ kind: 'remove', path: ['routes', index, 'exitNode'] });
    if (gone.length > 0 && kept.length === 0) edits.push({ kind: 'remove', path: ['routes', index, 'subnets'] });
    else {
      for (const [at, subnet] of [...subnets.entries()].toReversed())
        if (isAsked(subnet)) edits.push({ kind: 'remove', path: ['routes', index, 'subnets', at] });
    }
  }
  const isGone = (route: Prefix): boolean => withdrawn.has(isExitRoute(route) ? 'exit node' : route);
  const left = (routes ?? []).filter((route) => !isGone(route));
  if (left.length > 0) {
    return refuse(
      'server/approved-elsewhere',
      `No entry of routes.json5 approves ${left.join(', ')} for ${node.label} alone; \`tailplane routes list\` says what does.`,
    );
  }
  if (edits.length === 0)
    return refuse('server/nothing-to-change', `routes.json5 has no entry for ${node.label} alone.`);
  return edited(file, `Withdraw ${[...withdrawn].sort().join(', ')} of ${node.label}`, page, edits);
};

export interface NodeWish {
  readonly name?: string;
  readonly tags?: readonly string[];
  readonly addresses?: readonly string[];
  readonly approved?: boolean;
  readonly disabled?: boolean;
}

/** Declares something about one node; whether the words make sense is checked when the files are compiled. */
export const declareNode = (files: Files, node: ResolvedNode, wish: NodeWish): Outcome<FileEdit> => {
  const file = 'nodes.json5';
  const fields = Object.entries(wish).filter(([, value]) => value !== undefined) as [string, Json][];
  if (fields.length === 0) return refuse('server/nothing-to-change', 'Nothing was said about the node.');
  const page = openList(files, file, 'nodes');
  // By its id: a declaration that lets a machine in must not pass to another that takes its name.
  const selectors = [{ id: node.record.stableId }, selectorOf(node)].map((each) => canonicalJson(each));
  const entries = entriesOf(page.text, file, 'nodes').map((entry) => canonicalJson(entry['node'] ?? null));
  const index = selectors.map((selector) => entries.indexOf(selector)).find((found) => found >= 0);
  const subject = `Set ${fields.map(([name]) => name).join(', ')} of ${node.label}`;
  if (index === undefined) {
    const value = { node: { id: node.record.stableId }, ...Object.fromEntries(fields) };
    return edited(file, subject, page, [added(page.text, file, 'nodes', value)]);
  }
  return edited(
    file,
    subject,
    page,
    fields.map(([name, value]) => ({ kind: 'set', path: ['nodes', index, name], value })),
  );
};

/** A credential as keys.json5 declares it; `hash` is of its secret, which stays with whoever made it. */
export interface CredentialEntry {
  readonly id: string;
  readonly hash: string;
  readonly owner: string;
  readonly scopes: readonly string[];
  readonly expires?: string;
  readonly description?: string;
}

const KEYS_FILE = 'keys.json5';
const CREDENTIALS = 'apiCredentials';

/** Adds a credential; that its id is not taken is checked when the files are compiled. */
export const declareCredential = (files: Files, entry: CredentialEntry): Outcome<FileEdit> => {
  const page = openList(files, KEYS_FILE, CREDENTIALS);
  const edit = added(page.text, KEYS_FILE, CREDENTIALS, { ...entry });
  return edited(KEYS_FILE, `Declare the credential ${entry.id} of ${entry.owner}`, page, [edit]);
};

export const withdrawCredential = (files: Files, id: string): Outcome<FileEdit> => {
  const page = openList(files, KEYS_FILE, CREDENTIALS);
  const index = entriesOf(page.text, KEYS_FILE, CREDENTIALS).findIndex((entry) => entry['id'] === id);
  if (index < 0) return refuse('server/nothing-to-change', `keys.json5 declares no credential «${id}».`);
  return edited(KEYS_FILE, `Withdraw the credential ${id}`, page, [{ kind: 'remove', path: [CREDENTIALS, index] }]);
};
