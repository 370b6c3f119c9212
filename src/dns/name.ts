// Domain names as DNS writes them (RFC 1035 section 3.1): labels, each after its length, and an empty one at the end. In
// text they have no dot at the end. Names are compared without regard to case, so they are made lower case here.

export interface Located<T> {
  readonly value: T;
  /** Where the next part of the message begins. */
  readonly end: number;
}

const LABEL_BYTES = 63;
const NAME_BYTES = 255;
/** The two top bits of a length say that the name goes on elsewhere (section 4.1.4). */
const POINTER = 0xc0;

/** Undefined for what is no name of a host or a record under one: small ASCII labels alone. */
export const encodeName = (name: string): Uint8Array | undefined => {
  const bytes: number[] = [];
  for (const label of name === '' ? [] : name.toLowerCase().split('.')) {
    if (!/^[a-z0-9_-]+$/.test(label) || label.length > LABEL_BYTES) return undefined;
    bytes.push(label.length, ...Buffer.from(label, 'latin1'));
  }
  bytes.push(0);
  return bytes.length > NAME_BYTES ? undefined : Uint8Array.from(bytes);
};

/** Undefined where the message ends too early, or leads in a circle. */
export const decodeName = (message: Uint8Array, start: number): Located<string> | undefined => {
  const labels: string[] = [];
  let at = start;
  let end: number | undefined;
  let sizeBytes = 0;
  for (;;) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length === 0) return { value: labels.join('.').toLowerCase(), end: end ?? at + 1 };
    if ((length & POINTER) === POINTER) {
      const target = ((length & ~POINTER) << 8) | (message[at + 1] ?? 0);
      // Only backwards, so that it comes to an end.
      if (target >= at) return undefined;
      end ??= at + 2;
      at = target;
      continue;
    }
    sizeBytes += length + 1;
    if (length > LABEL_BYTES || sizeBytes >= NAME_BYTES || at + 1 + length > message.length) return undefined;
    labels.push(Buffer.from(message.subarray(at + 1, at + 1 + length)).toString('latin1'));
    at += 1 + length;
  }
};
