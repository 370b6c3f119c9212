// The signers that a tailnet.json5 lists, read from its bytes alone, so that a commit of the middle of a range, which may
// be wrong elsewhere, still says whom it trusts.

import { parseDocument } from '../config/document.ts';
import { plainOf } from '../config/located.ts';
import type { Json } from '../base/canonical.ts';
import { parseMoment } from '../base/duration.ts';
import type { Signer } from './vet.ts';

const momentOf = (value: Json | undefined, edge: 'start' | 'end'): number | undefined =>
  typeof value === 'string' ? parseMoment(value, edge) : undefined;

const signerOf = (value: Json): readonly Signer[] => {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return [];
  const { name, key, validFrom, validUntil } = value as Readonly<Record<string, Json>>;
  if (typeof key !== 'string') return [];
  const [fromMs, untilMs] = [momentOf(validFrom, 'start'), momentOf(validUntil, 'end')];
  return [
    {
      name: typeof name === 'string' ? name : '',
      key,
      ...(fromMs === undefined ? {} : { validFromMs: fromMs }),
      ...(untilMs === undefined ? {} : { validUntilMs: untilMs }),
    },
  ];
};

/** The listed signers; the text of the file where it cannot be parsed; nobody where there is no file. */
export const readListedSigners = (tailnet: Uint8Array | undefined): readonly Signer[] | string => {
  if (!tailnet) return [];
  const { root } = parseDocument('tailnet.json5', tailnet, { dialect: 'json5' });
  if (root?.kind !== 'object') return Buffer.from(tailnet).toString('utf8');
  const { signers } = plainOf(root) as Readonly<Record<string, Json>>;
  return Array.isArray(signers) ? signers.flatMap(signerOf) : [];
};
