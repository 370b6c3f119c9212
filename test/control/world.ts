// A small world for tests of control: a server in this process with a registry in memory and a netmap that says what a test
// tells it to, and clients that speak the real protocol to it over loopback.

import { hash, randomBytes } from 'node:crypto';
import http from 'node:http';
import http2 from 'node:http2';
import net, { type AddressInfo } from 'node:net';
import { zstdDecompressSync } from 'node:zlib';

import { createWebSocketStream, WebSocket } from 'ws';

import { concatBytes, formatBase64, utf8 } from '../../src/base/bytes.ts';
import type { NodeId, Revision } from '../../src/base/ids.ts';
import { Channel } from '../../src/control/channel.ts';
import { createControl } from '../../src/control/control.ts';
import type { Control, ControlLimits, ControlPorts, MapSource } from '../../src/control/ports.ts';
import { nativeCrypto } from '../../src/keys/native.ts';
import { makeKeyPair, type KeyPair } from '../../src/keys/pair.ts';
import { formatDiscoKey, formatMachineKey, formatNodeKey, type NodeKey } from '../../src/keys/text.ts';
import type { MapStream } from '../../src/netmap/sessions.ts';
import { createTailnet, type Tailnet } from '../../src/netmap/tailnet.ts';
import { decodeEarlyPayload } from '../../src/noise/early.ts';
import { initiate } from '../../src/noise/handshake.ts';
import type { SshDecision } from '../../src/policy/population.ts';
import { openMemoryRegistry } from '../../src/registry/memory.ts';
import type { NodeRecord } from '../../src/registry/record.ts';
import type { Registry } from '../../src/registry/registry.ts';
import { compileSnapshot } from '../../src/snapshot/compile.ts';
import type { Snapshot } from '../../src/snapshot/snapshot.ts';
import { userIdOf } from '../../src/snapshot/user.ts';
import { encodeMessage, encodeRawFrame } from '../../src/wire/framing.ts';

export const newKeyPair = (): KeyPair => makeKeyPair(nativeCrypto, randomBytes(32));
export const newNodeKey = (): NodeKey => formatNodeKey(newKeyPair().publicKey);

export type MapValue = Record<string, unknown>;

/** A netmap whose first message names the node, and whose later ones are what the test tells. */
export interface ToldNetmap extends MapSource {
  /** Becomes the next message of every stream of the node. */
  readonly tell: (node: NodeId, message: MapValue) => void;
  readonly presence: readonly (readonly [node: NodeId, online: boolean])[];
  readonly silence: readonly (readonly [node: NodeId, silent: boolean])[];
  /** Routers with a stand-in, as the test says. */
  readonly sharing: Set<NodeId>;
  readonly openStreams: () => number;
  sshDecision: SshDecision;
  /** Hears which user each SSH decision is about. */
  sshAsked: (user: string) => void;
}

const toldNetmap = (registry: Registry): ToldNetmap => {
  const streams = new Map<NodeId, Set<{ pending: MapValue[]; wake: () => void }>>();
  const presence: [NodeId, boolean][] = [];
  const online = new Set<NodeId>();
  const silence: [NodeId, boolean][] = [];
  const sharing = new Set<NodeId>();
  const encode = (value: MapValue): Uint8Array[] => [encodeMessage(encodeRawFrame(utf8(JSON.stringify(value))))];
  const selfOf = (id: NodeId): MapValue => ({ Node: { ID: id, Key: registry.view.nodes.get(id)?.nodeKey } });
  const netmap = {
    presence,
    silence,
    sharing,
    sshDecision: { action: 'deny', checkPeriodMs: 0 } as SshDecision,
    sshAsked: (_user: string): void => {},
    population: {
      node: (id: NodeId) => ({ id }),
      capsFor: () => ({}),
      sshDecision: (_source: NodeId, _destination: NodeId, user: string) => {
        netmap.sshAsked(user);
        return netmap.sshDecision;
      },
    } as unknown as MapSource['population'],
    node: (id: NodeId) => {
      const node = registry.view.nodes.get(id);
      return { fqdn: `${node?.name}.tail.example`, authorized: node?.authorized, owner: node?.login ?? null } as never;
    },
    isOnline: (id: NodeId) => online.has(id),
    setOnline: (id: NodeId, isOnline: boolean) => {
      presence.push([id, isOnline]);
      if (isOnline) online.add(id);
      else online.delete(id);
    },
    setSilent: (id: NodeId, isSilent: boolean) => silence.push([id, isSilent]),
    sharingRouters: () => sharing,
    accountOf: (record: NodeRecord) => {
      const LoginName = record.login ?? 'tagged-devices';
      const ID = userIdOf(LoginName as never);
      return { User: { ID, DisplayName: LoginName }, Login: { ID, Provider: '', LoginName, DisplayName: LoginName } };
    },
    open: (id: NodeId, _options: unknown, wake: () => void): MapStream | undefined => {
      if (!registry.view.nodes.has(id)) return undefined;
      const own = { pending: [selfOf(id)], wake };
      const all = streams.get(id) ?? new Set();
      streams.set(id, all.add(own));
      return {
        nodeId: id,
        next: () => {
          const due = own.pending.splice(0);
          return due.length === 0 ? undefined : encode(Object.assign({}, ...due) as MapValue);
        },
        close: () => void all.delete(own),
      };
    },
    fetchOnce: (id: NodeId) => encode(selfOf(id)),
    tell: (id: NodeId, message: MapValue) => {
      for (const stream of streams.get(id) ?? []) {
        stream.pending.push(message);
        if (stream.pending.length === 1) stream.wake();
      }
    },
    openStreams: () => [...streams.values()].reduce((sum, all) => sum + all.size, 0),
  };
  return netmap;
};

const secretOf = (id: string): string => id.padEnd(32, '7');

/** The text of a key that `DEFAULT_FILES` declares. */
export const authKeyOf = (id: string): string => `tpkey-auth-${id}-${secretOf(id)}`;

const declaredKey = (id: string, grant: object): object => ({
  id,
  hash: `sha256:${hash('sha256', secretOf(id))}`,
  ...grant,
});

const declaredKeys = [
  declaredKey('alice', { owner: 'alice@example.com', reusable: true }),
  declaredKey('once', { owner: 'alice@example.com' }),
  declaredKey('single', { owner: 'alice@example.com' }),
  declaredKey('bobs', { owner: 'bob@example.com' }),
  declaredKey('brief', { owner: 'alice@example.com', reusable: true, ephemeral: true }),
  declaredKey('server', { tags: ['tag:server'], reusable: true }),
  declaredKey('old', { owner: 'alice@example.com', expires: '2020-01-01T00:00:00Z' }),
  declaredKey('bob', { owner: 'bob@example.com', reusable: true }),
  declaredKey('carol', { owner: 'carol@example.com', reusable: true }),
];

const DEFAULT_FILES: Record<string, unknown> = {
  'tailnet.json5': { name: 'example.com', baseDomain: 'tail.example', nodes: { keyExpiry: '90d' } },
  'users.json5': {
    users: [
      { login: 'alice@example.com', role: 'owner' },
      { login: 'bob@example.com' },
      { login: 'carol@example.com', disabled: true },
    ],
  },
  'policy.json5': {
    tagOwners: { 'tag:server': ['alice@example.com'], 'tag:lab': ['bob@example.com'] },
    acls: [{ action: 'accept', src: ['*'], dst: ['*:*'] }],
  },
  'keys.json5': { authKeys: declaredKeys },
};

export const snapshotOf = (files: Record<string, unknown> = {}): Snapshot => {
  const all = Object.entries({ ...DEFAULT_FILES, ...files }).filter(([, value]) => value !== null);
  const { snapshot, diagnostics } = compileSnapshot({
    revision: `dir-${'0'.repeat(16)}` as Revision,
    files: new Map(all.map(([name, value]) => [name, utf8(JSON.stringify(value))])),
  });
  if (!snapshot) throw new Error(diagnostics.map(({ message }) => message).join('\n'));
  return snapshot;
};

/** What went to the log. */
export interface Noted {
  readonly level: string;
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface World<Netmap extends MapSource = ToldNetmap> {
  readonly control: Control;
  readonly registry: Registry;
  readonly netmap: Netmap;
  readonly port: number;
  readonly serverKey: Uint8Array;
  readonly notes: readonly Noted[];
  readonly setSnapshot: (snapshot: Snapshot) => void;
  readonly connect: (machine?: KeyPair, version?: number) => Promise<Client>;
  readonly close: () => Promise<void>;
}

export interface WorldOptions {
  readonly limits?: Partial<ControlLimits>;
  readonly files?: Record<string, unknown>;
  readonly now?: () => number;
  readonly ports?: Partial<ControlPorts>;
  /** Where a connection seems to come from. */
  readonly remoteOf?: () => string;
}

export const openWorld = (options: WorldOptions = {}): Promise<World> => {
  const registry = openMemoryRegistry(options.now);
  return openWorldOf(registry, toldNetmap(registry), options, () => {});
};

/** The same with the real netmap. */
export const openRealWorld = (options: WorldOptions = {}): Promise<World<Tailnet>> => {
  const registry = openMemoryRegistry(options.now);
  const tailnet = createTailnet(snapshotOf(options.files), [], { nowMs: Date.now, embeddedRegion: null });
  registry.subscribe((changes) => tailnet.apply(changes));
  return openWorldOf(registry, tailnet, options, (snapshot) => tailnet.setSnapshot(snapshot));
};

const openWorldOf = async <Netmap extends MapSource>(
  registry: Registry,
  netmap: Netmap,
  options: WorldOptions,
  swapped: (snapshot: Snapshot) => void,
): Promise<World<Netmap>> => {
  const now = options.now ?? Date.now;
  const noiseKey = newKeyPair();
  let snapshot = snapshotOf(options.files);
  const notes: Noted[] = [];
  const control = createControl(
    {
      crypto: nativeCrypto,
      random: randomBytes,
      now,
      noiseKey,
      snapshot: () => snapshot,
      registry,
      netmap,
      meter: { count: () => {}, observe: () => {} },
      note: (level, event, fields) => {
        notes.push({ level, event, fields: fields ?? {} });
        if (level === 'error') console.error(event, fields);
      },
      ...options.ports,
    },
    {
      url: 'https://tail.example.com',
      limits: options.limits ?? {},
      ...(options.remoteOf && { remoteOf: options.remoteOf }),
    },
  );
  const server = http.createServer();
  server.on('upgrade', control.upgrade);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const clients = new Set<Client>();
  return {
    control,
    registry,
    netmap,
    port,
    serverKey: noiseKey.publicKey,
    notes,
    setSnapshot: (next) => {
      snapshot = next;
      swapped(next);
      control.recheck();
    },
    connect: async (machine = newKeyPair(), version = 142) => {
      const client = await connect(port, noiseKey.publicKey, machine, version);
      clients.add(client);
      void client.closed.then(() => clients.delete(client));
      return client;
    },
    close: async () => {
      for (const client of clients) client.close();
      await control.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

/** What came back: the status, the body as text, and as JSON where it is some. */
export interface Answer {
  readonly status: number;
  readonly headers: http2.IncomingHttpHeaders;
  readonly text: string;
  readonly json: MapValue;
}

/** An open map stream. */
export interface MapReader {
  readonly status: number;
  /** The next message that is not a keep-alive; undefined at the end of the stream. */
  readonly next: () => Promise<MapValue | undefined>;
  /** The next message as bytes without its length, keep-alives included. */
  readonly nextFrame: () => Promise<Uint8Array | undefined>;
  readonly cancel: () => void;
}

export interface Client {
  readonly machine: KeyPair;
  readonly channel: Channel;
  readonly request: (method: string, path: string, body?: unknown) => Promise<Answer>;
  readonly register: (request: Record<string, unknown>) => Promise<Answer>;
  readonly stream: (request: Record<string, unknown>) => Promise<MapReader>;
  readonly update: (request: Record<string, unknown>) => Promise<Answer>;
  readonly closed: Promise<void>;
  readonly close: () => void;
}

/** Sends the head of an upgrade and gives the socket, with what it answered so far. */
export const openUpgrade = (
  port: number,
  head: string,
  end: (seen: Uint8Array) => boolean,
): Promise<{ readonly socket: net.Socket; readonly seen: Uint8Array }> =>
  new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(head));
    let seen: Uint8Array = new Uint8Array();
    const done = (): void => {
      socket.off('data', read);
      resolve({ socket, seen });
    };
    const read = (bytes: Buffer): void => {
      seen = concatBytes(seen, bytes);
      if (!end(seen)) return;
      socket.pause();
      done();
    };
    socket.setNoDelay(true);
    socket.on('data', read);
    socket.once('end', done);
    socket.once('error', reject);
  });

export const headEnd = (bytes: Uint8Array): number => Buffer.from(bytes).indexOf('\r\n\r\n') + 4;

/** The request that a client begins with. */
export const upgradeHead = (handshake: Uint8Array, more = ''): string =>
  'POST /ts2021 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: tailscale-control-protocol\r\nContent-Length: 0\r\n' +
  `X-Tailscale-Handshake: ${formatBase64(handshake)}\r\n${more}\r\n`;

export const connect = async (
  port: number,
  serverKey: Uint8Array,
  machine: KeyPair,
  version: number,
): Promise<Client> => {
  const initiation = initiate(nativeCrypto, machine, newKeyPair(), serverKey, version);
  const { socket, seen } = await openUpgrade(port, upgradeHead(initiation.message), (seen) => {
    const at = headEnd(seen);
    return at >= 4 && seen.length >= at + 51;
  });
  const at = headEnd(seen);
  const transport = initiation.finish(seen.subarray(at, at + 51));
  if (!transport) throw new Error(`no handshake: ${Buffer.from(seen).toString('latin1')}`);
  const keys = { send: transport.clientKey, receive: transport.serverKey };
  const channel = new Channel(socket, nativeCrypto, keys, { head: seen.subarray(at + 51) });
  await skipEarlyPayload(channel);
  return clientOver(channel, machine, version);
};

/** A client in a browser: the same inside a WebSocket. `seen` is told the size of each message. */
export const connectBrowser = async (
  port: number,
  serverKey: Uint8Array,
  seen: (sizeBytes: number) => void,
): Promise<Client> => {
  const machine = newKeyPair();
  const initiation = initiate(nativeCrypto, machine, newKeyPair(), serverKey, 142);
  const query = encodeURIComponent(formatBase64(initiation.message));
  const url = `ws://127.0.0.1:${port}/ts2021?X-Tailscale-Handshake=${query}`;
  const webSocket = new WebSocket(url, ['tailscale-control-protocol']);
  webSocket.on('message', (data: Buffer) => seen(data.length));
  const stream = createWebSocketStream(webSocket);
  const first = await new Promise<Buffer>((resolve, reject) => {
    stream.once('data', (bytes: Buffer) => {
      stream.pause();
      resolve(bytes);
    });
    stream.once('error', reject);
  });
  const transport = initiation.finish(first.subarray(0, 51));
  if (!transport || webSocket.protocol !== 'tailscale-control-protocol') throw new Error('no handshake');
  const keys = { send: transport.clientKey, receive: transport.serverKey };
  const channel = new Channel(stream, nativeCrypto, keys, { head: first.subarray(51) });
  await skipEarlyPayload(channel);
  return clientOver(channel, machine, 142);
};

const clientOver = (channel: Channel, machine: KeyPair, version: number): Client => {
  const session = http2.connect('http://unused', { createConnection: () => channel });
  session.on('error', () => {});
  const closed = new Promise<void>((resolve) => {
    session.once('close', () => resolve());
  });

  const open = (method: string, path: string, body: unknown): http2.ClientHttp2Stream => {
    const stream = session.request({ ':method': method, ':path': path, ':authority': 'unused', ':scheme': 'https' });
    stream.on('error', () => {});
    stream.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
    return stream;
  };

  const request = (method: string, path: string, body?: unknown): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const stream = open(method, path, body);
      let headers: http2.IncomingHttpHeaders = {};
      const parts: Buffer[] = [];
      stream.on('response', (received) => {
        headers = received;
      });
      stream.on('data', (part: Buffer) => parts.push(part));
      stream.once('close', () => {
        const text = Buffer.concat(parts).toString('utf8');
        if (headers[':status'] === undefined) reject(new Error('the stream ended without an answer'));
        else resolve({ status: Number(headers[':status']), headers, text, json: parseJson(text) });
      });
    });

  const common = { Version: version, Hostinfo: { Hostname: 'laptop', OS: 'linux' } };
  const mapRequest = { ...common, Compress: 'zstd', KeepAlive: true, DiscoKey: formatDiscoKey(newKeyPair().publicKey) };
  return {
    machine,
    channel,
    request,
    register: (wish) => request('POST', '/machine/register', { ...common, ...wish }),
    update: (wish) => request('POST', '/machine/map', { ...mapRequest, OmitPeers: true, ...wish }),
    stream: (wish) => readMap(open('POST', '/machine/map', { ...mapRequest, Stream: true, ...wish })),
    closed,
    close: () => channel.destroy(),
  };
};

const parseJson = (text: string): MapValue => {
  try {
    return JSON.parse(text) as MapValue;
  } catch {
    return {};
  }
};

const skipEarlyPayload = (channel: Channel): Promise<void> =>
  new Promise((resolve, reject) => {
    let seen: Uint8Array = new Uint8Array();
    const read = (bytes: Buffer): void => {
      seen = concatBytes(seen, bytes);
      const payload = decodeEarlyPayload(seen);
      if (payload === 'more') return;
      channel.off('data', read);
      channel.pause();
      if (payload === 'none') {
        reject(new Error('the server sent no early payload'));
        return;
      }
      channel.unshift(Buffer.from(seen.subarray(payload.sizeBytes)));
      resolve();
    };
    channel.on('data', read);
    channel.once('close', () => reject(new Error('the server closed the connection')));
  });

/** Where a zstd frame of a known content size ends (RFC 8878 section 3.1.1): Node's decoder takes one frame at a time. */
const frameEnd = (bytes: Buffer): number => {
  const descriptor = bytes[4]!;
  const sizeFlag = descriptor >> 6;
  const isSingle = (descriptor & 0x20) !== 0;
  let at = 5 + (isSingle ? 0 : 1) + (sizeFlag === 0 ? (isSingle ? 1 : 0) : 2 ** sizeFlag);
  for (let last = false; !last;) {
    const head = bytes.readUIntLE(at, 3);
    last = (head & 1) === 1;
    at += 3 + (((head >> 1) & 3) === 1 ? 1 : head >> 3);
  }
  return at + ((descriptor & 4) === 0 ? 0 : 4);
};

const decompress = (message: Uint8Array): string => {
  let rest = Buffer.from(message);
  let text = '';
  while (rest.length > 0) {
    const end = frameEnd(rest);
    text += zstdDecompressSync(rest.subarray(0, end)).toString('utf8');
    rest = rest.subarray(end);
  }
  return text;
};

const readMap = (stream: http2.ClientHttp2Stream): Promise<MapReader> =>
  new Promise((resolve) => {
    let held: Uint8Array = new Uint8Array();
    let ended = false;
    let wake = (): void => {};
    stream.on('data', (part: Buffer) => {
      held = concatBytes(held, part);
      wake();
    });
    stream.once('close', () => {
      ended = true;
      wake();
    });
    const nextFrame = async (): Promise<Uint8Array | undefined> => {
      for (;;) {
        const sizeBytes = held.length < 4 ? Infinity : 4 + Buffer.from(held).readUInt32LE(0);
        if (held.length >= sizeBytes) {
          const frame = held.subarray(4, sizeBytes);
          held = held.subarray(sizeBytes);
          return frame;
        }
        if (ended) return undefined;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    };
    const next = async (): Promise<MapValue | undefined> => {
      for (;;) {
        const frame = await nextFrame();
        if (!frame) return undefined;
        const value = JSON.parse(decompress(frame)) as MapValue;
        if (value['KeepAlive'] !== true || Object.keys(value).length > 1) return value;
      }
    };
    stream.once('response', (headers) => {
      resolve({ status: Number(headers[':status']), next, nextFrame, cancel: () => stream.close() });
    });
    stream.once('close', () => resolve({ status: 0, next, nextFrame, cancel: () => {} }));
  });

export const machineKeyOf = (client: Client): string => formatMachineKey(client.machine.publicKey);

/** Waits until `is` holds. */
export const until = async (is: () => boolean, limitMs = 5000): Promise<void> => {
  const endMs = performance.now() + limitMs;
  while (!is() && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 5));
  if (!is()) throw new Error('it did not come to pass');
};
