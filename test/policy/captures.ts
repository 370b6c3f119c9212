// Answers captured cases with our own engine, one JSON object a line in and out. It maps names only: the rules are in
// src/policy. The form of the lines and what is compared is described in the captures' own check program.

import readline from 'node:readline';
import { parseAddress, parsePrefix, hostPrefix, type Prefix } from '../../src/base/address.ts';
import { hasErrors } from '../../src/base/diagnostic.ts';
import type { Login, NodeId, StableId, Tag, UserId } from '../../src/base/ids.ts';
import { parseDocument } from '../../src/config/document.ts';
import { compilePolicy } from '../../src/policy/compile.ts';
import type { PolicyNode, PolicyUser, Role, TailnetFacts } from '../../src/policy/facts.ts';
import { populate, type PeerView, type SelfView } from '../../src/policy/population.ts';
import { readPolicy } from '../../src/policy/read.ts';
import { runTests } from '../../src/policy/tests.ts';

interface CapturedUser {
  readonly id: number;
  readonly name: string;
  readonly email: string;
  readonly role: Role;
}

interface CapturedNode {
  readonly name: string;
  readonly stableId: string;
  readonly user: string | null;
  readonly tags: readonly string[] | null;
  readonly ipv4?: string;
  readonly ipv6?: string;
  readonly routableIPs: readonly string[] | null;
  readonly approvedRoutes: readonly string[] | null;
  readonly created: string;
}

interface CapturedCase {
  readonly policy: string;
  readonly tailnetName: string;
  readonly users: readonly CapturedUser[];
  readonly nodes: readonly CapturedNode[];
}

const prefixes = (texts: readonly string[] | null): Prefix[] =>
  (texts ?? []).flatMap((text) => parsePrefix(text) ?? []);

/** The node's number here is its place in the case. */
const nodeOf = (node: CapturedNode, index: number, users: readonly CapturedUser[]): PolicyNode => ({
  id: (index + 1) as NodeId,
  stableId: node.stableId as StableId,
  name: node.name,
  user: node.user === null ? null : ((users.find(({ name }) => name === node.user)?.id ?? 0) as UserId),
  tags: (node.tags ?? []) as readonly string[] as readonly Tag[],
  addresses: [node.ipv4, node.ipv6].flatMap((text) => parseAddress(text ?? '') ?? []),
  routableIPs: prefixes(node.routableIPs),
  approvedRoutes: prefixes(node.approvedRoutes),
  createdMs: Date.parse(node.created),
});

const viewOf = ({ addresses, allowedIPs, primaryRoutes }: SelfView): object => ({
  addresses: addresses.map(hostPrefix),
  allowedIPs,
  primaryRoutes,
});

export const answer = (captured: CapturedCase): object => {
  const users: PolicyUser[] = captured.users.map(({ id, email, role }) => ({
    id: id as UserId,
    login: email as Login,
    role,
  }));
  const userOf = (id: UserId): PolicyUser | undefined => users.find((user) => user.id === id);
  const facts: TailnetFacts = {
    name: captured.tailnetName,
    domains: [captured.tailnetName.slice(captured.tailnetName.lastIndexOf('@') + 1)],
    users,
  };
  const parsed = parseDocument('policy.hujson', Buffer.from(captured.policy), { dialect: 'hujson' });
  if (!parsed.root || hasErrors(parsed.diagnostics))
    return { accepted: false, message: parsed.diagnostics[0]?.message };
  const { document, diagnostics } = readPolicy(parsed.root, facts);
  if (!document) return { accepted: false, message: diagnostics[0]?.message };
  const policy = compilePolicy(document, facts);
  const nodes = captured.nodes.map((node, index) => nodeOf(node, index, captured.users));
  const failed = runTests(policy, nodes, userOf);
  if (failed.length > 0) return { accepted: false, message: failed[0]?.message.split('\n')[0] };
  const population = populate(policy, nodes, userOf);
  const answers = nodes.map((node): [string, object] => {
    const peers = [...population.visiblePeers(node.id)].filter((peer) => peer !== node.id);
    const nameOf = (id: NodeId): string => population.node(id)?.name ?? '';
    const seen = (view: PeerView): object => ({ ...viewOf(view), capMap: view.capMap });
    return [
      node.name,
      {
        packetFilter: population.filterFor(node.id),
        sshRules: population.sshFor(node.id).rules,
        capMap: population.capsFor(node.id),
        self: viewOf(population.selfView(node.id)),
        peers: Object.fromEntries(peers.map((peer) => [nameOf(peer), seen(population.peerView(node.id, peer))])),
        whoisCaps: Object.fromEntries(peers.map((peer) => [nameOf(peer), population.whois(node.id, peer)])),
      },
    ];
  });
  return { accepted: true, nodes: Object.fromEntries(answers) };
};

if (import.meta.main) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (line !== '') process.stdout.write(`${JSON.stringify(answer(JSON.parse(line) as CapturedCase))}\n`);
  }
}
