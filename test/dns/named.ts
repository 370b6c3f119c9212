// A real name server (BIND) on loopback with a zone that a key may change, and perhaps a second one that gets the zone from the
// first. It ends with the test.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { exchangeOverTcp } from '../../src/dns/exchange.ts';
import { decodeResponse, decodeText, encodeRequest, TYPE } from '../../src/dns/message.ts';
import type { NameServer } from '../../src/dns/exchange.ts';
import { find, without } from '../interop/installed.ts';
import { eventually, freePort, Hopeless, Task } from '../interop/task.ts';

export const ZONE = 'example.com';
export const KEY = { name: 'tailplane', secret: Buffer.alloc(32, 'tailplane').toString('base64') } as const;
export const KEY_512 = { name: 'tailplane-512', secret: Buffer.alloc(64, 'long').toString('base64') } as const;

/** For `describe`: the reason to skip, or `false`. */
export const skipNamed = without('named', 'bind9', 'what needs a real name server: certificate records, split DNS');

export interface Named extends NameServer {
  /** The texts at a name, asked as a certificate authority asks. */
  readonly texts: (name: string) => Promise<readonly string[]>;
  readonly log: () => string;
  readonly stop: () => Promise<unknown>;
}

/** The texts that a name server has at a name. */
export const textsAt = async (server: NameServer, name: string): Promise<readonly string[]> => {
  const request = encodeRequest({ id: 7, opcode: 0, question: { name, type: TYPE.TXT } }) as Uint8Array;
  const answer = decodeResponse(await exchangeOverTcp(server, request));
  return (answer?.answers ?? []).filter(({ type }) => type === TYPE.TXT).map(({ data }) => decodeText(data)).sort(); // prettier-ignore
};

const RECORDS = `$TTL 60
@ SOA ns hostmaster 1 3600 60 86400 1
@ NS ns
ns A 127.0.0.1
tail A 127.0.0.1
`;

/** `secondaryOf` makes a copy of that one. `records` are more of the zone's, as a zone file has them. */
export const startNamed = async (
  options: {
    readonly secondaryPort?: number;
    readonly secondaryOf?: Named;
    readonly port?: number;
    readonly records?: string;
    readonly host?: string;
  } = {},
): Promise<Named> => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tailplane-named-'));
  const { host = '127.0.0.1', port = await freePort(), secondaryOf, secondaryPort, records = '' } = options;
  fs.writeFileSync(path.join(folder, 'zone'), RECORDS + records);
  // As docs/dns.md says.
  const allowed = [KEY, KEY_512].map(({ name }) => `grant ${name} subdomain tail.${ZONE}. TXT;`).join(' ');
  const zone = secondaryOf
    ? `type secondary; primaries port ${secondaryOf.port} { ${secondaryOf.host}; }; file "copy";`
    : `type primary; file "zone"; update-policy { ${allowed} }; notify explicit; ${secondaryPort === undefined ? '' : `also-notify port ${secondaryPort} { ${host}; };`}`;
  fs.writeFileSync(
    path.join(folder, 'named.conf'),
    `options { directory "${folder}"; listen-on port ${port} { ${host}; }; listen-on-v6 { none; }; pid-file none; session-keyfile none;
       recursion no; dnssec-validation no; notify-delay 0; allow-transfer { any; }; };
     controls { };
     key ${KEY.name} { algorithm hmac-sha256; secret "${KEY.secret}"; };
     key ${KEY_512.name} { algorithm hmac-sha512; secret "${KEY_512.secret}"; };
     key stranger { algorithm hmac-sha256; secret "${KEY.secret}"; };
     zone "${ZONE}" { ${zone} };\n`,
  );
  const command = [find('named') as string, '-g', '-4', '-n', '1', '-c', path.join(folder, 'named.conf')];
  const task = new Task({ command, logFile: path.join(folder, 'named.log') });
  const server = { host, port };
  const texts = async (name: string): Promise<readonly string[]> => textsAt(server, name);
  await eventually('named answers', 10_000, async () => {
    if (task.hasEnded) throw new Hopeless(task.log);
    await texts(ZONE);
    return true;
  });
  return {
    ...server,
    texts,
    log: () => task.log,
    stop: async () => {
      await task.stop(2_000);
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
};
