// What is wrong between the files: a name that another file should know, an address outside of the tailnet, a tag that
// nobody owns. A file that could not be read is left out, so that one mistake gives one diagnostic.

import { parsePrefix, prefixContains, prefixesOverlap, type Address, type Prefix } from '../base/address.ts';
import type { Code } from '../base/catalogue.ts';
import type { Diagnostic, Severity, Span } from '../base/diagnostic.ts';
import type { Tag } from '../base/ids.ts';
import { suggest } from '../base/suggest.ts';
import { EMBEDDED_REGION_CODE, EMBEDDED_REGION_ID } from '../config/derp.ts';
import type { TailnetFolder } from '../config/folder.ts';
import type { LocatedNode, LocatedString } from '../config/located.ts';
import type { NodeSelector } from '../config/selector.ts';
import { TAILNET_RANGES } from '../config/tailnet.ts';
import type { CompiledPolicy } from '../policy/compile.ts';
import type { User } from './snapshot.ts';

/** Every string of a file in the order of the file, so that a place is found by halving. */
const stringsOf = (root: LocatedNode): LocatedString[] => {
  const strings: LocatedString[] = [];
  const open: LocatedNode[] = [root];
  for (let node = open.pop(); node; node = open.pop()) {
    if (node.kind === 'string') strings.push(node);
    if (node.kind === 'object') open.push(...node.members.map(({ value }) => value).reverse());
    if (node.kind === 'array') open.push(...node.items.toReversed());
  }
  return strings;
};

/** Finds the place of a text within an entry; gives the entry's where it is not found. */
const finderOf = (folder: TailnetFolder): ((at: Span, text: string) => Span) => {
  const indexes = new Map<string, LocatedString[]>();
  return (at, text) => {
    let strings = indexes.get(at.file);
    if (!strings) {
      const root = folder.files.find(({ file }) => file === at.file)?.root;
      strings = root ? stringsOf(root) : [];
      indexes.set(at.file, strings);
    }
    let low = 0;
    let high = strings.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((strings[middle] as LocatedString).span.start.offset < at.start.offset) low = middle + 1;
      else high = middle;
    }
    for (let node = strings[low]; node && node.span.start.offset < at.end.offset; node = strings[++low]) {
      if (node.value === text) return node.span;
    }
    return at;
  };
};

/** Looking for what was meant costs the number of names, so only the first few mistakes of a kind get it. */
const SUGGESTIONS = 10;

const suggester = (candidates: readonly string[]): ((word: string) => string | undefined) => {
  const known = new Map<string, string | undefined>();
  return (word) => {
    if (!known.has(word) && known.size < SUGGESTIONS) known.set(word, suggest(word, candidates));
    return known.get(word);
  };
};

/** An entry, or a text within one. */
type Place = Span | readonly [Span, string];

type Report = (code: Code, place: Place, message: string, help: string, severity?: Severity) => void;

/** Addresses that clients keep for themselves: MagicDNS, and the range of Chromebooks (net/tsaddr). */
const RESERVED = ['100.100.100.100/32', '100.115.92.0/23', 'fd7a:115c:a1e0::53/128'].map(
  (text) => parsePrefix(text) as Prefix,
);
/** 4via6: subnets behind routers that share an IPv4 range are announced in here, on purpose. */
const VIA_RANGE = parsePrefix('fd7a:115c:a1e0:b1a::/64') as Prefix;

const checkPeople = (folder: TailnetFolder, users: readonly User[], report: Report): void => {
  const declared = folder.users;
  if (!declared) return;
  const byLogin = new Map(users.map((user) => [user.login.toLowerCase(), user]));
  const renamed = new Map(users.flatMap(({ login, formerly }) => formerly.map((old) => [old.toLowerCase(), login])));
  const admitted = new Set(declared.domainRules.map(({ domain }) => domain));
  const meantBy = suggester(users.map(({ login }) => login));
  const check = (login: string, span: Span, what: string): void => {
    const user = byLogin.get(login.toLowerCase());
    if (user?.disabled === true) {
      report(
        'snapshot/disabled-owner',
        [span, login],
        `\`${login}\` is disabled, so ${what} does nothing.`,
        'Remove the entry, or give it to someone else.',
        'warning',
      );
    }
    const now = renamed.get(login.toLowerCase());
    if (now !== undefined) {
      report(
        'snapshot/former-login',
        [span, login],
        `\`${login}\` is \`${now}\` from now on.`,
        'Write the new login: a former one counts only for what machines registered under it.',
      );
      return;
    }
    if (user || admitted.has(login.slice(login.indexOf('@') + 1).toLowerCase())) return;
    const meant = meantBy(login);
    report(
      'snapshot/unknown-user',
      [span, login],
      `users.json5 doesn't know \`${login}\`.`,
      meant === undefined ? 'Add the person there.' : `Did you mean \`${meant}\`?`,
    );
  };
  for (const { owner, at } of [...(folder.keys?.authKeys ?? []), ...(folder.keys?.apiCredentials ?? [])]) {
    if (owner !== undefined) check(owner, at, 'this key');
  }
  for (const { node } of [...(folder.nodes ?? []), ...(folder.routes ?? []), ...(folder.derp?.hide ?? [])]) {
    if (node.by === 'owner') check(node.owner, node.at, 'this entry');
  }
  if (users.length > 0 && !users.some(({ role, disabled }) => role === 'owner' && !disabled)) {
    report(
      'snapshot/no-owner',
      (users[0] as User).at,
      'Nobody has the role of owner.',
      "Give it to someone: role: 'owner'. The first pre-auth key of a new server belongs to the first owner.",
      'warning',
    );
  }
  const ids = new Map<number, User>();
  for (const user of users) {
    const other = ids.get(user.id);
    if (other && other.login.toLowerCase() !== user.login.toLowerCase()) {
      report(
        'snapshot/user-collision',
        user.at,
        `\`${user.login}\` and \`${other.login}\` get the same number.`,
        'Numbers are derived from logins, and these two happen to meet: change the spelling of one.',
      );
    }
    ids.set(user.id, user);
  }
};

const checkTags = (folder: TailnetFolder, policy: CompiledPolicy | undefined, report: Report): void => {
  const owners = policy?.document?.tagOwners;
  if (!owners) return;
  const meantBy = suggester([...owners.keys()]);
  const check = (tag: Tag, span: Span): void => {
    if (owners.has(tag)) return;
    const meant = meantBy(tag);
    report(
      'snapshot/tag-without-owner',
      [span, tag],
      `The policy's tagOwners don't have \`${tag}\`.`,
      meant === undefined ? `Add it there: "${tag}": ["autogroup:admin"].` : `Did you mean \`${meant}\`?`,
    );
  };
  for (const { tags, at } of [...(folder.keys?.authKeys ?? []), ...(folder.keys?.apiCredentials ?? [])]) {
    for (const tag of tags) check(tag, at);
  }
  for (const { tags = [], at } of folder.nodes ?? []) for (const tag of tags) check(tag, at);
  for (const { node } of [...(folder.nodes ?? []), ...(folder.routes ?? []), ...(folder.derp?.hide ?? [])])
    if (node.by === 'tag') check(node.tag, node.at);
};

const checkAddresses = (folder: TailnetFolder, report: Report): void => {
  const { tailnet, nodes = [], routes = [] } = folder;
  const checkOne = (address: Address, at: Span): void => {
    const span: Place = [at, address];
    if (RESERVED.some((range) => prefixContains(range, address))) {
      report('snapshot/reserved-address', span, `Clients keep ${address} for themselves.`, 'Take another address.');
    } else if (tailnet && !Object.values(tailnet.addresses).some((range) => prefixContains(range, address))) {
      report(
        'snapshot/address-outside',
        span,
        `${address} is not within the tailnet's addresses.`,
        `tailnet.json5 has ${tailnet.addresses.ipv4} and ${tailnet.addresses.ipv6}.`,
      );
    }
  };
  for (const { addresses = [], at } of nodes) for (const address of addresses) checkOne(address, at);
  for (const { subnets, at } of routes) {
    for (const subnet of subnets) {
      if (prefixContains(VIA_RANGE, subnet)) continue;
      const range = Object.values(TAILNET_RANGES).find((one) => prefixesOverlap(one, subnet));
      if (range === undefined) continue;
      report(
        'snapshot/route-over-tailnet',
        [at, subnet],
        `The subnet ${subnet} overlaps ${range}, where the nodes themselves are.`,
        'Clients would lose each other. Route a smaller subnet, or use 4via6.',
      );
    }
  }
};

const checkDns = (folder: TailnetFolder, report: Report): void => {
  const { dns, tailnet } = folder;
  if (!dns) return;
  const records = new Map(dns.extraRecords.map((record) => [record.name, record]));
  for (const record of dns.extraRecords) {
    if (record.type !== 'CNAME') continue;
    const seen = new Set<string>();
    let target: string | undefined = record.name;
    while (target !== undefined && !seen.has(target)) {
      seen.add(target);
      const next = records.get(target);
      if (next?.type !== 'CNAME') break;
      target = next.value;
    }
    if (target !== undefined && seen.has(target) && records.get(target)?.type === 'CNAME') {
      report(
        'snapshot/record-loop',
        record.at,
        `\`${record.name}\` leads back to itself.`,
        'Let one of the records name an address.',
      );
    } else if (tailnet && target !== undefined && !records.has(target) && !target.endsWith(`.${tailnet.baseDomain}`)) {
      report(
        'snapshot/record-target',
        [record.at, String(record.value)],
        `\`${record.value}\` is neither a node nor another record.`,
        `Clients serve addresses only, so the server must know them: name a node under ${tailnet.baseDomain}, or give an address.`,
      );
    }
  }
  if (!dns.magicDns && dns.extraRecords.length > 0) {
    report(
      'snapshot/records-without-magicdns',
      (dns.extraRecords[0] as { at: Span }).at,
      'Without MagicDNS nobody answers extra records.',
      'Say `magicDNS: true`, or remove them.',
      'warning',
    );
  }
  if (dns.overrideLocalDns && dns.nameservers.length === 0) {
    const first = folder.files.find(({ file }) => file === 'dns.json5')?.root;
    if (first) {
      report(
        'snapshot/override-without-nameservers',
        { ...first.span, end: first.span.start },
        '`overrideLocalDNS` has no nameservers to put in place.',
        'Add `nameservers`.',
      );
    }
  }
};

const selectorOf = (entry: { readonly node: NodeSelector; readonly at: Span }): Span => entry.node.at;

const checkPreapproval = (folder: TailnetFolder, report: Report): void => {
  if (folder.tailnet?.nodes.approval !== 'automatic') return;
  for (const node of folder.nodes ?? []) {
    if (node.approved !== false) continue;
    report(
      'snapshot/approval-without-effect',
      selectorOf(node),
      'Approval is automatic, so `approved: false` keeps nobody out.',
      "Say `disabled: true` for this node, or `nodes: { approval: 'manual' }` in tailnet.json5.",
    );
  }
};

const checkRelays = (folder: TailnetFolder, policy: CompiledPolicy | undefined, report: Report): void => {
  const { derp, derpmap } = folder;
  // What the server will fetch is not known here.
  if (!derp || !derpmap || !policy || derp.fetch !== undefined) return;
  const policyRegions = policy.document?.derpMap?.regions ?? [];
  const regions = [
    { id: EMBEDDED_REGION_ID, code: EMBEDDED_REGION_CODE },
    ...derpmap,
    ...policyRegions,
    ...derp.regions,
  ];
  const known = new Set(regions.flatMap(({ id, code }) => [String(id), code]));
  const meantBy = suggester(regions.map(({ code }) => code));
  for (const { region, at } of [...derp.omit, ...derp.scores, ...derp.hide.flatMap((entry) => entry.regions)]) {
    if (known.has(region)) continue;
    const meant = meantBy(region);
    report(
      'snapshot/unknown-region',
      at,
      `No region has the code or the id \`${region}\`.`,
      meant === undefined ? 'Regions are in derp.json5, derpmap.json5 and the policy.' : `Did you mean \`${meant}\`?`,
    );
  }
};

export const checkFolder = (
  folder: TailnetFolder,
  users: readonly User[],
  policy: CompiledPolicy | undefined,
): Diagnostic[] => {
  const diagnostics: Diagnostic[] = [];
  const find = finderOf(folder);
  const report: Report = (code, place, message, help, severity = 'error') => {
    const span = 'file' in place ? place : find(...place);
    diagnostics.push({ code, severity, message, span, help });
  };
  checkPeople(folder, users, report);
  checkTags(folder, policy, report);
  checkAddresses(folder, report);
  checkDns(folder, report);
  checkRelays(folder, policy, report);
  checkPreapproval(folder, report);
  return diagnostics;
};
