// What the official client does with the messages of one stream, as far as its state goes (controlclient/map.go of v1.102.3:
// upgradeNode, patchifyPeersChanged, removeUnwantedDiscoUpdates, updateStateFromResponse; types/netmap/nodemut.go).

import assert from 'node:assert/strict';
import { zstdDecompressSync } from 'node:zlib';

export type Fields = Record<string, unknown>;

/** The JSON of one message; its frames are decoded as one. */
export const decodeMessage = (pieces: readonly Uint8Array[]): Fields => {
  const bytes = Buffer.concat(pieces);
  assert.equal(bytes.readUInt32LE(0), bytes.length - 4, 'the length in front is that of the frames');
  return JSON.parse(zstdDecompressSync(bytes.subarray(4)).toString()) as Fields;
};

const PATCHABLE = new Set(['Key', 'KeyExpiry', 'KeySignature', 'DiscoKey', 'Endpoints', 'HomeDERP', 'Cap', 'CapMap', 'Online', 'LastSeen']); // prettier-ignore
const CHEAP_PATCH = new Set(['NodeID', 'DERPRegion', 'Endpoints', 'Online', 'LastSeen']);
const ZERO_TIME = '0001-01-01T00:00:00Z';
const ZERO_DISCO = `discokey:${'0'.repeat(64)}`;

const equal = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
const time = (value: unknown): number => (value === undefined || value === ZERO_TIME ? 0 : Date.parse(value as string));

const upgrade = (node: Fields): Fields => {
  const { DERP, ...rest } = node;
  const home = /^127\.3\.3\.40:(\d+)$/.exec((DERP as string | undefined) ?? '');
  if (rest['HomeDERP'] === undefined && home) rest['HomeDERP'] = Number(home[1]);
  rest['AllowedIPs'] ??= rest['Addresses'];
  return rest;
};

/** peerChangeDiff: a patch, null where nothing differs, undefined where no patch can say it. */
const diff = (was: Fields, now: Fields): Fields | null | undefined => {
  const patch: Fields = {};
  for (const field of new Set([...Object.keys(was), ...Object.keys(now)])) {
    if (PATCHABLE.has(field)) continue;
    if (!equal(was[field], now[field])) return undefined;
  }
  if (was['Key'] !== now['Key']) patch['Key'] = now['Key'];
  if (time(was['KeyExpiry']) !== time(now['KeyExpiry'])) patch['KeyExpiry'] = now['KeyExpiry'] ?? ZERO_TIME;
  if (!equal(was['KeySignature'] ?? '', now['KeySignature'] ?? '')) patch['KeySignature'] = now['KeySignature'];
  if (was['DiscoKey'] !== now['DiscoKey']) patch['DiscoKey'] = now['DiscoKey'] ?? ZERO_DISCO;
  if (!equal(was['Endpoints'] ?? [], now['Endpoints'] ?? [])) patch['Endpoints'] = now['Endpoints'];
  if (was['HomeDERP'] !== now['HomeDERP']) patch['DERPRegion'] = now['HomeDERP'] ?? 0;
  if (was['Cap'] !== now['Cap']) patch['Cap'] = now['Cap'] ?? 0;
  if (!equal(was['CapMap'] ?? {}, now['CapMap'] ?? {})) patch['CapMap'] = now['CapMap'] ?? {};
  if (was['Online'] !== undefined && now['Online'] !== undefined && was['Online'] !== now['Online']) {
    patch['Online'] = now['Online'];
  }
  if (
    was['LastSeen'] !== undefined &&
    now['LastSeen'] !== undefined &&
    time(was['LastSeen']) !== time(now['LastSeen'])
  ) {
    patch['LastSeen'] = now['LastSeen'];
  }
  return Object.keys(patch).length === 0 ? null : { NodeID: now['ID'], ...patch };
};

const REBUILDING = ['Node', 'DERPMap', 'DNSConfig', 'Domain', 'CollectServices', 'Health', 'DisplayMessages', 'SSHPolicy', 'TKAInfo', 'Debug', 'ControlDialPlan', 'ClientVersion', 'Peers']; // prettier-ignore
const REBUILDING_BEFORE_100 = [...REBUILDING, 'PeersChanged', 'PeersRemoved', 'PacketFilter', 'PacketFilters', 'UserProfiles']; // prettier-ignore

export class Client {
  readonly peers = new Map<number, Fields>();
  readonly profiles = new Map<number, Fields>();
  node: Fields | undefined;
  readonly filters = new Map<string, unknown[]>();
  parts: Fields = {};
  /** Messages that made a client rebuild its whole netmap, of v1.102 and of v1.98. */
  rebuilds = 0;
  rebuildsBefore100 = 0;

  fold(message: Fields): void {
    const patches = [...((message['PeersChangedPatch'] as Fields[] | undefined) ?? [])];
    const changed: Fields[] = [];
    for (const raw of (message['PeersChanged'] as Fields[] | undefined) ?? []) {
      const now = upgrade(raw);
      const was = this.peers.get(now['ID'] as number);
      const patch = was && diff(was, now);
      if (patch) patches.push(patch);
      else if (patch === undefined) changed.push(now);
    }
    const accepted = patches.filter((patch) => this.#accepts(patch));
    this.#count(message, accepted, changed);
    if (message['Peers']) {
      const list = (message['Peers'] as Fields[]).map(upgrade);
      assert.notEqual(list.length, 0, 'an empty list of peers means nothing and costs a rebuild');
      this.peers.clear();
      for (const peer of list) this.peers.set(peer['ID'] as number, peer);
    } else {
      for (const id of (message['PeersRemoved'] as number[] | undefined) ?? []) this.peers.delete(id);
      for (const peer of changed) this.peers.set(peer['ID'] as number, peer);
      for (const patch of accepted) this.#patch(patch);
    }
    if (message['Node']) this.node = upgrade(message['Node'] as Fields);
    for (const profile of (message['UserProfiles'] as Fields[] | undefined) ?? []) {
      this.profiles.set(profile['ID'] as number, profile);
    }
    for (const [name, rules] of Object.entries((message['PacketFilters'] as Fields | undefined) ?? {})) {
      if (name === '*') this.filters.clear();
      else if (rules === null) this.filters.delete(name);
      else this.filters.set(name, rules as unknown[]);
    }
    for (const field of ['DERPMap', 'DNSConfig', 'SSHPolicy', 'Domain'] as const) {
      if (message[field] !== undefined) this.parts[field] = message[field];
    }
  }

  /** removeUnwantedDiscoUpdates */
  #accepts(patch: Fields): boolean {
    if (patch['DiscoKey'] === undefined || patch['Online'] === undefined || patch['LastSeen'] === undefined)
      return true;
    const was = this.peers.get(patch['NodeID'] as number);
    if (!was || patch['Online'] === true || was['LastSeen'] === undefined) return true;
    return time(patch['LastSeen']) > time(was['LastSeen']);
  }

  #patch(patch: Fields): void {
    const was = this.peers.get(patch['NodeID'] as number);
    if (!was) return;
    const now: Fields = { ...was };
    if (patch['DERPRegion']) now['HomeDERP'] = patch['DERPRegion'];
    if (patch['Cap']) now['Cap'] = patch['Cap'];
    for (const field of ['Endpoints', 'Key', 'DiscoKey', 'Online', 'LastSeen', 'KeyExpiry', 'KeySignature', 'CapMap']) {
      if (patch[field] !== undefined && patch[field] !== null) now[field] = patch[field];
    }
    this.peers.set(was['ID'] as number, now);
  }

  #count(message: Fields, patches: readonly Fields[], changed: readonly Fields[]): void {
    const dear = patches.some((patch) => Object.keys(patch).some((field) => !CHEAP_PATCH.has(field)));
    if (dear || REBUILDING.some((field) => message[field] !== undefined)) this.rebuilds++;
    const fields: Fields = { ...message, PeersChanged: changed.length > 0 ? changed : undefined };
    if (dear || REBUILDING_BEFORE_100.some((field) => fields[field] !== undefined)) this.rebuildsBefore100++;
  }

  /** Everything that the client knows, in a form in which equal states are equal. */
  state(): Fields {
    const peers = [...this.peers.values()].sort((a, b) => (a['ID'] as number) - (b['ID'] as number)).map(settled);
    const users = new Set([this.node?.['User'], ...peers.map((peer) => peer['User'])]);
    return {
      // What the node itself reported isn't told to it again.
      node: this.node && settled({ ...this.node, Endpoints: [], HomeDERP: undefined, DiscoKey: undefined, Cap: undefined, Hostinfo: { RoutableIPs: (this.node['Hostinfo'] as Fields)['RoutableIPs'] } }), // prettier-ignore
      peers,
      profiles: [...this.profiles.values()]
        .filter((profile) => users.has(profile['ID']))
        .sort((a, b) => (a['ID'] as number) - (b['ID'] as number)),
      filter: [...this.filters.values()]
        .flat()
        .map((rule) => JSON.stringify(rule))
        .sort(),
      ...this.parts,
    };
  }
}

/** Forms that mean the same to a client become one. */
const settled = (node: Fields): Fields => {
  const out: Fields = {};
  for (const field of Object.keys(node).sort()) {
    const value = node[field];
    if (value === undefined) continue;
    if (field === 'LastSeen' && node['Online'] === true) continue; // means nothing for a peer that is online
    if (field === 'KeyExpiry' && value === ZERO_TIME) continue;
    if (field === 'KeySignature' && value === '') continue;
    if (field === 'DiscoKey' && value === ZERO_DISCO) continue;
    if (field === 'Endpoints' && (value as unknown[]).length === 0) continue;
    if (field === 'CapMap' && Object.keys(value as Fields).length === 0) continue;
    out[field] = value;
  }
  return out;
};
