// TCP as an application sees it: a server that answers each line with its own name and the line, and a connection to such
// a server through a client's SOCKS5 proxy (RFC 1928).

import net from 'node:net';
import { once } from 'node:events';

/** Listens on loopback, where a client in userspace mode hands over what arrives for its tailnet address. */
export const startEcho = async (name: string): Promise<{ port: number; close: () => void }> => {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => socket.write(`${name}: ${chunk.toString()}`));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port: (server.address() as net.AddressInfo).port, close };
};

/** One open connection; `say` sends a line and waits for the answer. */
export class Talk {
  readonly #socket: net.Socket;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
  }

  static async through(proxyPort: number, address: string, port: number, limitMs: number): Promise<Talk> {
    const socket = net.connect(proxyPort, '127.0.0.1');
    const talk = new Talk(socket);
    try {
      socket.setNoDelay(true);
      await once(socket, 'connect');
      await talk.#ask(Buffer.from([5, 1, 0]), limitMs); // version 5, one method: no authentication
      const bytes = address.split('.').map(Number);
      // version 5, connect, reserved, IPv4 address (RFC 1928 section 4)
      const answer = await talk.#ask(Buffer.from([5, 1, 0, 1, ...bytes, port >> 8, port & 255]), limitMs);
      if (answer[1] !== 0) throw new Error(`The proxy could not connect to ${address}:${port} (reply ${answer[1]})`);
      return talk;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  async say(line: string, limitMs: number): Promise<string> {
    return (await this.#ask(Buffer.from(line), limitMs)).toString();
  }

  close(): void {
    this.#socket.destroy();
  }

  async #ask(bytes: Buffer, limitMs: number): Promise<Buffer> {
    const answer = once(this.#socket, 'data', { signal: AbortSignal.timeout(limitMs) });
    this.#socket.write(bytes);
    return ((await answer) as [Buffer])[0];
  }
}
