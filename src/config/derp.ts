// derp.json5: the relay map. Field names are ours; the control room writes them as tailcfg.DERPMap does.

import { parseAddress, type Address } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';
import { reportDuplicates, type Reading } from './reading.ts';

export interface DerpSettings {
  /** Offer the relay that runs inside the server. */
  readonly embedded: boolean;
  readonly regions: readonly DerpRegion[];
}

export interface DerpRegion {
  /** 1 to 65535; 900 to 998 is the usual choice for one's own, 999 is the embedded relay's. */
  readonly id: number;
  readonly code: string;
  readonly name: string;
  readonly latitude?: number;
  readonly longitude?: number;
  /** Latency multiplier above 0: under 1 draws nodes to the region, over 1 keeps them away. */
  readonly score?: number;
  /** In the order in which clients try them. */
  readonly nodes: readonly DerpNode[];
  readonly at: Span;
}

export interface DerpNode {
  /** Unique in the map, for example `900a`. */
  readonly name: string;
  readonly hostName: string;
  /** Another name that the certificate carries, or `sha256-raw:<hex>` of a self-signed one. */
  readonly certName?: string;
  /** A fixed address, or `none` to keep clients from the family; absent: by DNS. */
  readonly ipv4?: Address | 'none';
  readonly ipv6?: Address | 'none';
  readonly derpPort: number;
  /** null: the node answers no STUN. */
  readonly stunPort: number | null;
  readonly stunOnly: boolean;
  readonly canPort80: boolean;
  readonly at: Span;
}

/** What a folder without derp.json5 has. */
export const DEFAULT_DERP: DerpSettings = { embedded: true, regions: [] };
export const EMBEDDED_REGION_ID = 999;

interface NodeFile {
  readonly name: string;
  readonly hostName: string;
  readonly certName?: string;
  readonly ipv4?: string;
  readonly ipv6?: string;
  readonly derpPort: number;
  readonly stunPort: number | null;
  readonly stunOnly: boolean;
  readonly canPort80: boolean;
}

interface DerpFile {
  readonly embedded: boolean;
  readonly regions: readonly (Omit<DerpRegion, 'nodes' | 'at'> & { readonly nodes: readonly NodeFile[] })[];
}

const addressOrNone = (text: string): Address | 'none' => (text === 'none' ? 'none' : (parseAddress(text) as Address));

const readNode = ({ ipv4, ipv6, ...file }: NodeFile, at: Span): DerpNode => ({
  ...file,
  ...(ipv4 === undefined ? {} : { ipv4: addressOrNone(ipv4) }),
  ...(ipv6 === undefined ? {} : { ipv6: addressOrNone(ipv6) }),
  at,
});

export const readDerp = (value: unknown, reading: Reading): DerpSettings => {
  const { embedded, regions } = value as DerpFile;
  const place = (field: 'id' | 'code') => (region: DerpFile['regions'][number], i: number) => ({
    key: String(region[field]),
    span: reading.at('regions', i, field),
  });
  reportDuplicates(reading, regions.map(place('id')), (id) => `Two regions have the id ${id}.`);
  reportDuplicates(reading, regions.map(place('code')), (code) => `Two regions have the code \`${code}\`.`);
  reportDuplicates(
    reading,
    regions.flatMap(({ nodes }, i) =>
      nodes.map(({ name }, j) => ({ key: name, span: reading.at('regions', i, 'nodes', j, 'name') })),
    ),
    (name) => `Two relays are called \`${name}\`.`,
  );
  regions.forEach(({ id, nodes }, i) => {
    if (embedded && id === EMBEDDED_REGION_ID) {
      reading.report({
        code: 'config/conflicting-fields',
        span: reading.at('regions', i, 'id'),
        message: `Region ${id} is that of the embedded relay.`,
        help: 'Take another id, or say `embedded: false`.',
      });
    }
    if (nodes.every(({ stunOnly }) => stunOnly)) {
      reading.report({
        code: 'config/conflicting-fields',
        severity: 'warning',
        span: reading.at('regions', i, 'nodes'),
        message: 'No server of this region relays: all are `stunOnly`.',
        help: 'Clients that choose the region as their home could not be reached through it.',
      });
    }
  });
  return {
    embedded,
    regions: regions.map((region, i) => ({
      ...region,
      nodes: region.nodes.map((node, j) => readNode(node, reading.at('regions', i, 'nodes', j))),
      at: reading.at('regions', i),
    })),
  };
};
