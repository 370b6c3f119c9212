// Who is connected, by node key, and who has to hear of it: several connections may hold one key, the last that said
// something is the one that receives; who received packets of a key is told when it goes; relays of the region are told of
// both coming and going (Tailscale's derp/derpserver).

import { encodePeerGone, encodePeerPresent, GONE } from './frame.ts';

/** One connection whose key is proven, as far as the others need to know it. */
export interface Client {
  readonly peer: Peer;
  readonly flags: number;
  /** 16 bytes, IPv4 mapped. */
  readonly address: Uint8Array;
  readonly port: number;
  /** Peers that this connection received packets of. */
  readonly heard: Set<Peer>;
  /** Puts a frame that is no packet in front of the packets. */
  readonly tell: (frame: Uint8Array) => void;
  /** Puts the frame in `bytes` from `start` to `end`, a packet, into its queue. */
  readonly deliver: (bytes: Buffer, start: number, end: number, isDisco: boolean) => void;
  readonly close: () => void;
}

/** Brings packets to another relay of the region. */
export interface Forwarder {
  readonly forward: (source: Uint8Array, destination: Uint8Array, packet: Uint8Array) => void;
}

/** A node key that is connected here, to another relay of the region, or both. */
export interface Peer {
  readonly name: string;
  readonly key: Uint8Array;
  /** Where its packets go; undefined if it has no connection here. */
  active: Client | undefined;
  /** All its connections, the one that said something last at the end. */
  readonly connections: Client[];
  readonly forwarders: Set<Forwarder>;
  /** Connections that received packets of it. */
  readonly hearers: Set<Client>;
}

export interface Roster {
  readonly find: (name: string) => Peer | undefined;
  /** The peer to make a `Client` of; it stays unknown to others until `add`. */
  readonly peerOf: (name: string, key: Uint8Array) => Peer;
  readonly add: (client: Client) => void;
  readonly remove: (client: Client) => void;
  /** Makes the connection that said something the one that receives. */
  readonly activate: (client: Client) => void;
  /** Notes that `client` receives a packet of `source`, so that it is told when the source goes. */
  readonly noteHeard: (client: Client, source: Peer) => void;
  /** From now on the connection is told who is here, who comes and who goes. */
  readonly watch: (client: Client) => void;
  readonly addForwarder: (name: string, key: Uint8Array, forwarder: Forwarder) => void;
  readonly removeForwarder: (name: string, forwarder: Forwarder) => void;
  readonly peers: () => IterableIterator<Peer>;
  /** Different keys with a connection here, and connections. */
  readonly counts: () => { readonly clients: number; readonly connections: number };
}

const isUnused = (peer: Peer): boolean => peer.connections.length === 0 && peer.forwarders.size === 0;

export const createRoster = (): Roster => {
  const peers = new Map<string, Peer>();
  const watchers = new Set<Client>();
  let clients = 0;
  let connections = 0;

  const peerOf = (name: string, key: Uint8Array): Peer =>
    peers.get(name) ?? {
      name,
      key,
      active: undefined,
      connections: [],
      forwarders: new Set(),
      hearers: new Set(),
    };

  const presence = ({ peer, address, port, flags }: Client): Uint8Array =>
    encodePeerPresent(peer.key, address, port, flags);

  const tellWatchers = (frame: Uint8Array): void => {
    for (const watcher of watchers) watcher.tell(frame);
  };

  const forgetIfUnused = (peer: Peer): void => {
    if (!isUnused(peer)) return;
    peers.delete(peer.name);
    const frame = encodePeerGone(peer.key, GONE.disconnected);
    for (const hearer of peer.hearers) {
      hearer.heard.delete(peer);
      hearer.tell(frame);
    }
    peer.hearers.clear();
  };

  return {
    find: (name) => peers.get(name),
    peerOf,
    add: (client) => {
      const { peer } = client;
      peers.set(peer.name, peer);
      if (peer.connections.length === 0) clients++;
      peer.connections.push(client);
      peer.active = client;
      connections++;
      tellWatchers(presence(client));
    },
    remove: (client) => {
      const { peer } = client;
      const place = peer.connections.indexOf(client);
      if (place < 0) return;
      peer.connections.splice(place, 1);
      peer.active = peer.connections.at(-1);
      connections--;
      watchers.delete(client);
      for (const heard of client.heard) heard.hearers.delete(client);
      client.heard.clear();
      if (peer.connections.length > 0) return;
      clients--;
      tellWatchers(encodePeerGone(peer.key, GONE.disconnected));
      forgetIfUnused(peer);
    },
    activate: (client) => {
      const { peer } = client;
      const place = peer.connections.indexOf(client);
      if (place < 0) return;
      peer.connections.splice(place, 1);
      peer.connections.push(client);
      peer.active = client;
    },
    noteHeard: (client, source) => {
      if (client.heard.has(source)) return;
      client.heard.add(source);
      source.hearers.add(client);
    },
    watch: (client) => {
      if (watchers.has(client)) return;
      watchers.add(client);
      const present = [...peers.values()].flatMap(({ active }) => (active ? [presence(active)] : []));
      client.tell(Buffer.concat(present));
    },
    addForwarder: (name, key, forwarder) => {
      const peer = peerOf(name, key);
      peers.set(name, peer);
      peer.forwarders.add(forwarder);
    },
    removeForwarder: (name, forwarder) => {
      const peer = peers.get(name);
      if (peer?.forwarders.delete(forwarder)) forgetIfUnused(peer);
    },
    peers: () => peers.values(),
    counts: () => ({ clients, connections }),
  };
};
