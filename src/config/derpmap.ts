// derpmap.json5: somebody else's relay map, in the field names of tailcfg.DERPMap (tailcfg/derpmap.go), as Tailscale publishes
// its own. It is copied as it is; derp.json5 says what becomes of it. Fields that we don't know are passed over.

import { parseAddress, type Address } from '../base/address.ts';
import type { Diagnostic, Span } from '../base/diagnostic.ts';
import type { DerpNode, DerpRegion } from './derp.ts';
import { parseDocument } from './document.ts';
import { reportDuplicates, startReading, type Reading } from './reading.ts';
import { checkSchema } from './schema.ts';

interface NodeFile {
  readonly Name: string;
  readonly HostName: string;
  readonly CertName?: string;
  readonly IPv4?: string;
  readonly IPv6?: string;
  readonly DERPPort: number;
  readonly STUNPort: number;
  readonly STUNOnly: boolean;
  readonly CanPort80: boolean;
}

interface RegionFile {
  readonly RegionID: number;
  readonly RegionCode: string;
  readonly RegionName: string;
  readonly Latitude?: number;
  readonly Longitude?: number;
  readonly NoMeasureNoHome: boolean;
  readonly Nodes: readonly NodeFile[];
}

interface MapFile {
  readonly Regions: Readonly<Record<string, RegionFile>>;
}

const DERP_PORT = 443;
const STUN_PORT = 3478;

const addressOrNone = (text: string): Address | 'none' => (text === 'none' ? 'none' : (parseAddress(text) as Address));

const readNode = (file: NodeFile, at: Span): DerpNode => ({
  name: file.Name,
  hostName: file.HostName,
  ...(file.CertName === undefined || file.CertName === '' ? {} : { certName: file.CertName }),
  ...(file.IPv4 === undefined ? {} : { ipv4: addressOrNone(file.IPv4) }),
  ...(file.IPv6 === undefined ? {} : { ipv6: addressOrNone(file.IPv6) }),
  // In tailcfg zero is the default port, and a negative one turns STUN off.
  derpPort: file.DERPPort || DERP_PORT,
  stunPort: file.STUNPort < 0 ? null : file.STUNPort || STUN_PORT,
  stunOnly: file.STUNOnly,
  canPort80: file.CanPort80,
  at,
});

/** The regions in the order of the file. */
export const readDerpMap = (value: unknown, reading: Reading): readonly DerpRegion[] => {
  const entries = Object.entries((value as MapFile).Regions);
  for (const [key, { RegionID }] of entries) {
    if (key === String(RegionID)) continue;
    reading.report({
      code: 'config/conflicting-fields',
      span: reading.at('Regions', key, 'RegionID'),
      message: `The region under the key ${key} has the id ${RegionID}.`,
      help: 'The key and `RegionID` are the same number.',
    });
  }
  reportDuplicates(
    reading,
    entries.flatMap(([key, { Nodes }]) =>
      Nodes.map(({ Name }, i) => ({ key: Name, span: reading.at('Regions', key, 'Nodes', i, 'Name') })),
    ),
    (name) => `Two relays are called \`${name}\`.`,
  );
  return entries.map(([key, region]) => ({
    id: region.RegionID,
    code: region.RegionCode,
    name: region.RegionName,
    ...(region.Latitude === undefined ? {} : { latitude: region.Latitude }),
    ...(region.Longitude === undefined ? {} : { longitude: region.Longitude }),
    ...(region.NoMeasureNoHome ? { noHome: true } : {}),
    nodes: region.Nodes.map((node, i) => readNode(node, reading.at('Regions', key, 'Nodes', i))),
    at: reading.keyAt('Regions', key),
  }));
};

/** A map that was fetched: all of its regions, or why it is not taken. */
export const parseDerpMap = (
  bytes: Uint8Array,
): { readonly regions: readonly DerpRegion[] } | { readonly regions?: undefined; readonly reason: string } => {
  const { root, diagnostics } = parseDocument('derpmap.json5', bytes, { dialect: 'json5' });
  const checked = root && checkSchema('derpmap', root);
  const found: Diagnostic[] = [...diagnostics, ...(checked?.diagnostics ?? [])];
  if (root && checked?.value !== undefined && found.length === 0) {
    const regions = readDerpMap(checked.value, startReading(root, found));
    if (found.length === 0) return { regions };
  }
  return { reason: `it is no relay map: ${found[0]?.message ?? ''}` };
};
