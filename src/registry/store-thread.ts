// The worker thread of store.ts: one job, then the end.

import { once } from 'node:events';
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { realDisk } from './disk.ts';
import { RegistryFault } from './fault.ts';
import { storeOn, type FromThread, type SaveStep, type ThreadData, type ToThread } from './store.ts';

const port = parentPort as MessagePort;
const { folder, nowMs } = workerData as ThreadData;
const store = storeOn(realDisk, folder, () => nowMs);

const say = (message: FromThread): void => port.postMessage(message);

/** One step at a time: the next is asked for when the last is done. */
const receive = async function* (): AsyncIterable<SaveStep> {
  for (;;) {
    say({ kind: 'more' });
    const [message] = (await once(port, 'message')) as [ToThread];
    if (message.kind !== 'step') return;
    yield JSON.parse(message.json) as SaveStep;
  }
};

const work = async (job: ToThread): Promise<void> => {
  try {
    if (job.kind === 'read') {
      const head = await store.read((rows) => say({ kind: 'rows', json: JSON.stringify(rows) }));
      say({ kind: 'done', head });
    } else if (job.kind === 'write') {
      await store.write(job.head, receive());
      say({ kind: 'done', head: undefined });
    }
  } catch (error) {
    const fault = error instanceof RegistryFault ? error : undefined;
    const message = error instanceof Error ? error.message : String(error);
    say({ kind: 'fault', code: fault?.code, message, help: fault?.help ?? '' });
  }
};

port.once('message', (job: ToThread) => void work(job));
