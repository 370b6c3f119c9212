// Which of several routers for a subnet came first, kept across restarts of the server, so that traffic stays where it is. The
// file holds only routers that share a subnet, and is written soon after the order changes.

import fs from 'node:fs';
import path from 'node:path';
import { parsePrefix, type Prefix } from '../base/address.ts';
import { parseNodeId, type NodeId } from '../base/ids.ts';
import type { RouterOrder } from '../netmap/life.ts';
import { writePrivateFile } from './keyring.ts';

const FILE = 'routers.json';
/** Many routers come at once when the server starts. */
const WRITE_AFTER_MS = 250;

/** A file that is missing or damaged is no order: then the routers come in the order in which they connect. */
export const readRouterOrder = (dataFolder: string): RouterOrder => {
  const order = new Map<NodeId, Map<Prefix, number>>();
  try {
    const file = JSON.parse(fs.readFileSync(path.join(dataFolder, FILE), 'utf8')) as Record<string, object>;
    for (const [id, routes] of Object.entries(file)) {
      const known = new Map<Prefix, number>();
      for (const [text, turn] of Object.entries(routes) as [string, unknown][]) {
        const prefix = parsePrefix(text);
        if (prefix !== undefined && Number.isSafeInteger(turn) && (turn as number) > 0)
          known.set(prefix, turn as number);
      }
      order.set(parseNodeId(Number(id)), known);
    }
    return order;
  } catch {
    return new Map();
  }
};

export interface RouterOrderFile {
  /** The order has changed. */
  readonly touch: () => void;
  /** Writes what is pending. */
  readonly close: () => void;
}

export const openRouterOrder = (
  dataFolder: string,
  order: () => RouterOrder,
  onFault: (fault: unknown) => void,
): RouterOrderFile => {
  let timer: NodeJS.Timeout | undefined;
  let written = '';
  const write = (): void => {
    clearTimeout(timer);
    timer = undefined;
    const text = JSON.stringify(
      Object.fromEntries(Array.from(order(), ([id, routes]) => [id, Object.fromEntries(routes)])),
    );
    if (text === written) return;
    try {
      writePrivateFile(path.join(dataFolder, FILE), Buffer.from(`${text}\n`));
      written = text;
    } catch (fault) {
      // The order is a convenience: without it traffic may move once after the next start.
      onFault(fault);
    }
  };
  return {
    touch: () => {
      timer ??= setTimeout(write, WRITE_AFTER_MS).unref();
    },
    close: () => {
      if (timer !== undefined) write();
    },
  };
};
