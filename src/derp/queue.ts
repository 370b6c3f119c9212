// What waits for a client whose socket takes no more: at most 32 packets of each kind, as frames that lie in the chunks they
// were read in. A full queue gives up its oldest packet, because a late packet is worth less than a fresh one.

export const QUEUE_PACKETS = 32;

export interface PacketQueue {
  /** False when the oldest packet had to go. */
  readonly push: (bytes: Buffer, start: number, end: number) => boolean;
  readonly isFull: () => boolean;
  readonly isEmpty: () => boolean;
  /** Moves everything behind `out`, where neighbours in memory become one piece; gives the number of packets. */
  readonly drain: (out: Uint8Array[]) => number;
}

export const createPacketQueue = (): PacketQueue => {
  const chunks = Array.from<Buffer | undefined>({ length: QUEUE_PACKETS });
  const starts = new Uint32Array(QUEUE_PACKETS);
  const ends = new Uint32Array(QUEUE_PACKETS);
  let head = 0;
  let count = 0;
  return {
    push: (bytes, start, end) => {
      const fits = count < QUEUE_PACKETS;
      if (!fits) {
        head = (head + 1) % QUEUE_PACKETS;
        count--;
      }
      const slot = (head + count) % QUEUE_PACKETS;
      chunks[slot] = bytes;
      starts[slot] = start;
      ends[slot] = end;
      count++;
      return fits;
    },
    isFull: () => count === QUEUE_PACKETS,
    isEmpty: () => count === 0,
    drain: (out) => {
      const packets = count;
      while (count > 0) {
        const chunk = chunks[head] as Buffer;
        const start = starts[head] as number;
        let end = ends[head] as number;
        do {
          chunks[head] = undefined;
          head = (head + 1) % QUEUE_PACKETS;
          count--;
        } while (count > 0 && chunks[head] === chunk && starts[head] === end && (end = ends[head] as number));
        out.push(start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end));
      }
      return packets;
    },
  };
};
