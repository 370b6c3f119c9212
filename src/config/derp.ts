// derp.json5: the relay map. Field names are ours; the control room writes them as tailcfg.DERPMap does.

import { parseAddress, type Address } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';
import { reportDuplicates, type Reading } from './reading.ts';
import { readSelector, type NodeSelector, type SelectorFile } from './selector.ts';

export interface DerpSettings {
  /** Offer the relay that runs inside the server. */
  readonly embedded: boolean;
  readonly regions: readonly DerpRegion[];
  /** Where the server fetches a public map from (https); its regions are the weakest. */
  readonly fetch?: string;
  /** Regions of other sources that nobody is offered. */
  readonly omit: readonly RegionName[];
  /** Latency multipliers, over those of the regions themselves. */
  readonly scores: readonly (RegionName & { readonly score: number })[];
  /** Every entry that selects a node counts. */
  readonly hide: readonly HiddenRegions[];
}

/** A region by its code or its id; a code stands for every region that has it. */
export interface RegionName {
  readonly region: string;
  readonly at: Span;
}

export interface HiddenRegions {
  readonly node: NodeSelector;
  readonly regions: readonly RegionName[];
  readonly at: Span;
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
  /** Clients neither measure the region nor make it their home. */
  readonly noHome?: boolean;
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
export const DEFAULT_DERP: DerpSettings = { embedded: true, regions: [], omit: [], scores: [], hide: [] };
/** Ids from 900 to 999 are for relays that people run themselves (tailcfg.DERPRegion). */
export const EMBEDDED_REGION_ID = 999;
export const EMBEDDED_REGION_CODE = 'tailplane';

export const isNamed = ({ id, code }: Pick<DerpRegion, 'id' | 'code'>, name: string): boolean =>
  String(id) === name || code === name;

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
  readonly fetch?: string;
  readonly omit: readonly (string | number)[];
  readonly scores: Readonly<Record<string, number>>;
  readonly hide: readonly { readonly node: SelectorFile; readonly regions: readonly (string | number)[] }[];
}

const addressOrNone = (text: string): Address | 'none' => (text === 'none' ? 'none' : (parseAddress(text) as Address));

const readNode = ({ ipv4, ipv6, ...file }: NodeFile, at: Span): DerpNode => ({
  ...file,
  ...(ipv4 === undefined ? {} : { ipv4: addressOrNone(ipv4) }),
  ...(ipv6 === undefined ? {} : { ipv6: addressOrNone(ipv6) }),
  at,
});

export const readDerp = (value: unknown, reading: Reading): DerpSettings => {
  const { embedded, regions, fetch, omit, scores, hide } = value as DerpFile;
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
  omit.forEach((name, i) => {
    if (!regions.some((region) => isNamed(region, String(name)))) return;
    reading.report({
      code: 'config/conflicting-fields',
      span: reading.at('omit', i),
      message: `This file itself declares the region \`${name}\`.`,
      help: 'Remove it from `regions`, or take it out of `omit`.',
    });
  });
  return {
    embedded,
    ...(fetch === undefined ? {} : { fetch }),
    omit: omit.map((name, i) => ({ region: String(name), at: reading.at('omit', i) })),
    scores: Object.entries(scores).map(([region, score]) => ({ region, score, at: reading.keyAt('scores', region) })),
    hide: hide.flatMap((entry, i): HiddenRegions[] => {
      const node = readSelector(entry.node, ['hide', i, 'node'], reading);
      const named = entry.regions.map((name, j) => ({
        region: String(name),
        at: reading.at('hide', i, 'regions', j),
      }));
      return node ? [{ node, regions: named, at: reading.at('hide', i) }] : [];
    }),
    regions: regions.map((region, i) => ({
      ...region,
      nodes: region.nodes.map((node, j) => readNode(node, reading.at('regions', i, 'nodes', j))),
      at: reading.at('regions', i),
    })),
  };
};
