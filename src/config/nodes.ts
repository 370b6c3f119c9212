// nodes.json5: what the tailnet says about single nodes, over what they say about themselves.

import { familyOf, parseAddress, type Address } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';
import type { Tag } from '../base/ids.ts';
import { reportDuplicates, type Reading } from './reading.ts';
import { readSelector, selectorKey, type NodeSelector, type SelectorFile } from './selector.ts';
import { expiryMs } from './tailnet.ts';

export interface NodeDeclaration {
  readonly node: NodeSelector;
  /** The MagicDNS label to use instead of the one made from the host name. */
  readonly name?: string;
  /** Exactly these tags, whatever the node asks for; a node with tags has no owner. */
  readonly tags?: readonly Tag[];
  /** At most one of each family. The other family is handed out as usual. */
  readonly addresses?: readonly Address[];
  /** Life of the node key from its login; null means that it does not expire. */
  readonly keyExpiryMs?: number | null;
  /** Where it stands, as exit nodes are listed and suggested. */
  readonly location?: NodeLocation;
  readonly approved?: boolean;
  /** Posture attributes, `custom:…`. */
  readonly attributes?: Readonly<Record<string, string | number | boolean>>;
  /** Cut off, but not forgotten. */
  readonly disabled?: boolean;
  readonly at: Span;
}

/** Clients group exit nodes by the codes, and prefer those of the highest priority. */
export interface NodeLocation {
  readonly country?: string;
  readonly countryCode?: string;
  readonly city?: string;
  readonly cityCode?: string;
  readonly latitude?: number;
  readonly longitude?: number;
  readonly priority?: number;
}

interface NodeFile {
  readonly node: SelectorFile;
  readonly name?: string;
  readonly tags?: readonly string[];
  readonly addresses?: readonly string[];
  readonly keyExpiry?: string;
  readonly location?: NodeLocation;
  readonly approved?: boolean;
  readonly attributes?: Readonly<Record<string, string | number | boolean>>;
  readonly disabled?: boolean;
}

/**
 * Clients group exit nodes by the codes alone and then show the name of the first, so a name needs its code, and a city the
 * code that tells it from others.
 */
const checkLocation = (file: NodeLocation, i: number, reading: Reading): NodeLocation => {
  for (const [field, code] of [
    ['country', 'countryCode'],
    ['city', 'cityCode'],
    ['cityCode', 'countryCode'],
  ] as const) {
    if (file[field] === undefined || file[code] !== undefined) continue;
    reading.report({
      code: 'config/missing-field',
      span: reading.keyAt('nodes', i, 'location', field),
      message: `\`${field}\` needs \`${code}\` beside it.`,
      help: 'Clients put exit nodes together by these codes, and would mix up those without.',
    });
  }
  return file;
};

const readNode = (file: NodeFile, i: number, reading: Reading): NodeDeclaration[] => {
  const selector = readSelector(file.node, ['nodes', i, 'node'], reading);
  const addresses = file.addresses?.map((text) => parseAddress(text) as Address);
  reportDuplicates(
    reading,
    (addresses ?? []).map((address, j) => ({
      key: String(familyOf(address)),
      span: reading.at('nodes', i, 'addresses', j),
    })),
    (family) => `A node has one IPv${family} address.`,
    'config/conflicting-fields',
  );
  if (selector?.by === 'tag' && selector.name === undefined) {
    for (const field of ['name', 'addresses'] as const) {
      if (file[field] === undefined) continue;
      reading.report({
        code: 'config/conflicting-fields',
        span: reading.keyAt('nodes', i, field),
        message: `\`${field}\` is for one node, and a tag may select many.`,
        help: 'Add the `name` of the node to the selector, or use an `id`.',
      });
    }
  }
  if (Object.keys(file).length === 1) {
    reading.report({
      code: 'config/empty-entry',
      severity: 'warning',
      span: reading.at('nodes', i),
      message: 'This entry declares nothing.',
      help: 'Say what holds for the node, or remove the entry.',
    });
  }
  if (!selector) return [];
  return [
    {
      node: selector,
      ...(file.name === undefined ? {} : { name: file.name }),
      ...(file.tags === undefined ? {} : { tags: file.tags as readonly Tag[] }),
      ...(addresses === undefined ? {} : { addresses }),
      ...(file.keyExpiry === undefined ? {} : { keyExpiryMs: expiryMs(file.keyExpiry) }),
      ...(file.location === undefined ? {} : { location: checkLocation(file.location, i, reading) }),
      ...(file.approved === undefined ? {} : { approved: file.approved }),
      ...(file.attributes === undefined ? {} : { attributes: file.attributes }),
      ...(file.disabled === undefined ? {} : { disabled: file.disabled }),
      at: reading.at('nodes', i),
    },
  ];
};

export const readNodes = (value: unknown, reading: Reading): readonly NodeDeclaration[] => {
  const nodes = (value as { readonly nodes: readonly NodeFile[] }).nodes.flatMap((file, i) =>
    readNode(file, i, reading),
  );
  reportDuplicates(
    reading,
    nodes.map(({ node }) => ({ key: selectorKey(node), span: node.at })),
    () => 'Two entries select the same node.',
  );
  reportDuplicates(
    reading,
    nodes.flatMap(({ name, at }) => (name === undefined ? [] : [{ key: name, span: at }])),
    (name) => `Two nodes are to be called \`${name}\`.`,
  );
  reportDuplicates(
    reading,
    nodes.flatMap(({ addresses = [], at }) => addresses.map((address) => ({ key: address, span: at }))),
    (address) => `Two nodes are to have the address ${address}.`,
  );
  return nodes;
};
