// The socket in the data folder that the command line talks to.

import fs from 'node:fs';
import http from 'node:http';

import { createAdminApp } from '../http/admin.ts';
import { openAdminSocket } from './admin-socket.ts';
import { listenerOf } from './request-listener.ts';

export interface Administration {
  readonly close: () => void;
}

export const openAdministration = async ({
  dataFolder,
  ...app
}: Parameters<typeof createAdminApp>[0] & { readonly dataFolder: string }): Promise<Administration> => {
  const server = http.createServer(listenerOf(createAdminApp(app)));
  const socket = await openAdminSocket(server, dataFolder);
  return {
    close: () => {
      server.close();
      server.closeAllConnections();
      fs.rmSync(socket, { force: true });
    },
  };
};
