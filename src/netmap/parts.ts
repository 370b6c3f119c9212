// The parts of a map that concern the node itself: its own node, DNS, relays, packet filter, SSH policy, the tailnet's name.
// Each is written only where it differs from what the client was last sent.

import { hash } from 'node:crypto';
import type { SshPolicy } from '../wire/ssh.ts';
import type { Entry } from './entry.ts';
import { filterChunks, writeFilters } from './filters.ts';
import { encodeFragment, SHARE_FROM } from './fragment.ts';
import type { Fragment, MessageBuilder } from './fragment.ts';
import { selfTexts } from './self.ts';
import type { World } from './world.ts';

/** Parts that may have changed for a stream, as bits; `somePeers` is in no other. */
export const PART = {
  self: 1,
  dns: 2,
  derp: 4,
  filter: 8,
  ssh: 16,
  domain: 32,
  /** How some peers are seen, and whether: those that are named beside. */
  somePeers: 64,
  /** How all peers are seen, and which. */
  allPeers: 128,
  /** Which release to run. */
  advice: 256,
  all: 447,
} as const;

/** What a client was last sent of each part, as texts that tell versions of it apart. */
export interface Sent {
  self: string;
  dns: string;
  derp: string;
  ssh: string;
  domain: string;
  /** Names of filter chunks; null before the first message. */
  filter: ReadonlySet<string> | null;
}

export const nothingSent = (): Sent => ({ self: '', dns: '', derp: '', ssh: '', domain: '', filter: null });

const digest = (text: string): string => (text.length < 64 ? text : hash('sha256', text, 'base64url'));

/** Writes what differs of the parts in `dirty`, and notes it in `sent`. `cut`: nobody may reach the node. */
export const writeParts = (
  world: World,
  entry: Entry,
  sent: Sent,
  dirty: number,
  cut: boolean,
  to: MessageBuilder,
): void => {
  const { population, snapshot } = world;
  if ((dirty & PART.self) !== 0) {
    const { text, key } = selfTexts(world, entry);
    const version = digest(key);
    if (sent.self !== version) {
      sent.self = version;
      to.field('Node');
      to.text(text);
    }
  }
  if ((dirty & PART.domain) !== 0 && sent.domain !== snapshot.tailnet.name) {
    sent.domain = snapshot.tailnet.name;
    to.field('Domain');
    to.text(JSON.stringify(sent.domain));
  }
  // Which relays are hidden depends on the node's tags and name.
  if ((dirty & (PART.derp | PART.self)) !== 0) {
    const { version, fragment } = world.derpMapOf(entry.node);
    if (sent.derp !== version) {
      sent.derp = version;
      to.field('DERPMap');
      to.fragment(fragment);
    }
  }
  // The name of the node itself is in it.
  if ((dirty & (PART.dns | PART.self)) !== 0) {
    const names = snapshot.tailnet.features.https ? JSON.stringify([entry.node.fqdn]) : '';
    const { version: shared, fragment, more } = world.dnsOf(entry);
    const version = `${shared}${digest(more)}${names}`;
    if (sent.dns !== version) {
      sent.dns = version;
      to.field('DNSConfig');
      to.fragment(fragment);
      to.text(names === '' ? `${more}}` : `${more},"CertDomains":${names}}`);
    }
  }
  if ((dirty & PART.filter) !== 0) {
    const chunks = filterChunks(cut ? [] : population.compactFilterFor(entry.id));
    writeFilters(sent.filter, chunks, to);
    sent.filter = new Set(chunks.keys());
  }
  if ((dirty & PART.ssh) !== 0) {
    const { version, fragment } = sshTextOf(cut ? NO_SSH : population.sshFor(entry.id));
    if (sent.ssh !== version) {
      sent.ssh = version;
      to.field('SSHPolicy');
      if (typeof fragment === 'string') to.text(fragment);
      else to.fragment(fragment);
    }
  }
};

const NO_SSH: SshPolicy = { rules: [] };

interface SshText {
  readonly version: string;
  /** A short one is text of the message. */
  readonly fragment: Fragment | string;
}

/** A policy is one object for all nodes for which it is the same, so it is written once for them. */
const sshTexts = new WeakMap<SshPolicy, SshText>();

const sshTextOf = (policy: SshPolicy): SshText => {
  let known = sshTexts.get(policy);
  if (!known) {
    const text = JSON.stringify(policy);
    known = { version: digest(text), fragment: text.length < SHARE_FROM ? text : encodeFragment(text) };
    sshTexts.set(policy, known);
  }
  return known;
};
