// The Unix socket for administrators, in the data folder. The registry's lock says that no other server lives here, so a
// socket file that is there already was left by one that died.

import { once } from 'node:events';
import fs from 'node:fs';
import type http from 'node:http';
import path from 'node:path';
import { StartFailure } from './failure.ts';

/** sockaddr_un holds 108 bytes on Linux and 104 on macOS, the ending zero included. */
const MAX_PATH_BYTES = 103;

export const openAdminSocket = async (server: http.Server, dataFolder: string): Promise<string> => {
  const file = path.join(dataFolder, 'admin.sock');
  if (Buffer.byteLength(file) > MAX_PATH_BYTES) {
    throw new StartFailure(
      'state',
      'server/data-not-writable',
      `The path ${file} is too long for a Unix socket (${MAX_PATH_BYTES} bytes).`,
      'Choose a data folder with a shorter path.',
    );
  }
  fs.rmSync(file, { force: true });
  server.listen(file);
  await once(server, 'listening');
  fs.chmodSync(file, 0o600);
  return file;
};
