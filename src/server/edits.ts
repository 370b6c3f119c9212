// What an administrator decides at run time and belongs in git, as the smallest edit of the files: a route is approved, a
// node is let in, named, tagged, given an address. The files are changed here as texts; writing them is somebody else's.

import { isExitRoute, type Prefix } from '../base/address.ts';
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
    return edited(file, subject, page, [{ kind: 'insert', path: ['routes'], value }]);
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
    return edited(file, subject, page, [{ kind: 'insert', path: ['nodes'], value }]);
  }
  return edited(
    file,
    subject,
    page,
    fields.map(([name, value]) => ({ kind: 'set', path: ['nodes', index, name], value })),
  );
};
