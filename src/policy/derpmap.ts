// `derpMap`: relays in the policy file, in the field names of tailcfg.DERPMap. They become the regions of derp.json5; where
// both files declare a region, derp.json5 has the last word.

import { parseAddress, type Address } from '../base/address.ts';
import type { DerpNode, DerpRegion } from '../config/derp.ts';
import type { LocatedMember, LocatedNode } from '../config/located.ts';
import { readFields, readFlag, readList, readTable, readText, wrongType, type Fields } from './fields.ts';
import { quote, type Problems } from './problems.ts';

export interface PolicyDerpMap {
  /** Regions of derpmap.json5 aren't offered. */
  readonly omitDefaultRegions: boolean;
  /** Ids of regions of derpmap.json5 that aren't offered: those that are null. */
  readonly omit: readonly number[];
  readonly regions: readonly DerpRegion[];
}

const DERP_PORT = 443;
const STUN_PORT = 3478;

export const readDerpMap = (problems: Problems, member: LocatedMember | undefined): PolicyDerpMap | undefined => {
  const fields = member && readFields(problems, member.value, 'derpMap', ['OmitDefaultRegions', 'Regions']);
  if (!fields) return undefined;
  const members = readTable(problems, fields.get('Regions'), 'derpMap.Regions');
  return {
    omitDefaultRegions: readFlag(problems, fields.get('OmitDefaultRegions'), 'OmitDefaultRegions'),
    omit: members.flatMap(({ key, value }) => (value.kind === 'null' ? [Number(key)] : [])),
    regions: members.flatMap((region) => readRegion(problems, region) ?? []),
  };
};

const bad = (problems: Problems, at: LocatedNode['span'], message: string, help?: string): undefined => {
  problems.error('policy/bad-derp-map', at, message, help);
  return undefined;
};

/** A whole number between the bounds, or the default where the field is absent. */
const readNumber = (
  problems: Problems,
  fields: Fields,
  name: string,
  bounds: { readonly min: number; readonly max: number },
): number | undefined => {
  const member = fields.get(name);
  if (!member) return undefined;
  const { value } = member;
  if (value.kind !== 'number') {
    wrongType(problems, value, name, 'a number');
    return undefined;
  }
  const { min, max } = bounds;
  if (Number.isInteger(value.value) && value.value >= min && value.value <= max) return value.value;
  return bad(problems, value.span, `${name} must be a whole number from ${min} to ${max}.`);
};

const readRegion = (problems: Problems, member: LocatedMember): DerpRegion | undefined => {
  if (member.value.kind === 'null') return undefined;
  const where = `derpMap.Regions[${quote(member.key)}]`;
  const fields = readFields(problems, member.value, where, [
    'RegionID',
    'RegionCode',
    'RegionName',
    'Latitude',
    'Longitude',
    'Avoid',
    'NoMeasureNoHome',
    'Nodes',
  ]);
  if (!fields) return undefined;
  const id = readNumber(problems, fields, 'RegionID', { min: 1, max: 65_535 });
  if (id === undefined || String(id) !== member.key) {
    return bad(problems, member.keySpan, `${where}: RegionID must be the number that is the key.`);
  }
  const code = readText(problems, fields.get('RegionCode'), 'RegionCode')?.text ?? String(id);
  const name = readText(problems, fields.get('RegionName'), 'RegionName')?.text ?? code;
  const nodes = readList(problems, fields.get('Nodes'), `${where}.Nodes`).flatMap(
    (node) => readNode(problems, node, where) ?? [],
  );
  if (nodes.length === 0) return bad(problems, fields.at, `${where}: a region needs at least one node.`);
  return {
    id,
    code,
    name,
    ...coordinate(problems, fields, 'Latitude', 'latitude'),
    ...coordinate(problems, fields, 'Longitude', 'longitude'),
    ...(readFlag(problems, fields.get('NoMeasureNoHome'), 'NoMeasureNoHome') ? { noHome: true } : {}),
    nodes,
    at: member.keySpan,
  };
};

const coordinate = (
  problems: Problems,
  fields: Fields,
  name: string,
  as: 'latitude' | 'longitude',
): Partial<Pick<DerpRegion, 'latitude' | 'longitude'>> => {
  const node = fields.get(name)?.value;
  if (!node) return {};
  if (node.kind === 'number') return { [as]: node.value };
  wrongType(problems, node, name, 'a number');
  return {};
};

const readNode = (problems: Problems, node: LocatedNode, where: string): DerpNode | undefined => {
  const fields = readFields(problems, node, `A node of ${where}`, [
    'Name',
    'RegionID',
    'HostName',
    'CertName',
    'IPv4',
    'IPv6',
    'DERPPort',
    'STUNPort',
    'STUNOnly',
    'STUNTestIP',
    'InsecureForTests',
    'CanPort80',
  ]);
  if (!fields) return undefined;
  const text = (name: string): string | undefined => readText(problems, fields.get(name), name)?.text;
  const name = text('Name');
  const hostName = text('HostName');
  if (name === undefined || name === '' || hostName === undefined || hostName === '') {
    return bad(problems, fields.at, `${where}: a node needs a Name and a HostName.`);
  }
  const insecure = fields.get('InsecureForTests');
  if (insecure && readFlag(problems, insecure, 'InsecureForTests')) {
    return bad(
      problems,
      insecure.keySpan,
      `${where}: InsecureForTests is not taken.`,
      'Clients must be able to trust a relay.',
    );
  }
  const certName = text('CertName');
  // In tailcfg zero is the default port, and -1 turns STUN off.
  const stunPort = readNumber(problems, fields, 'STUNPort', { min: -1, max: 65_535 }) ?? 0;
  const derpPort = readNumber(problems, fields, 'DERPPort', { min: 0, max: 65_535 }) ?? 0;
  return {
    name,
    hostName,
    ...(certName === undefined ? {} : { certName }),
    ...fixedAddress(problems, fields, 'IPv4', 'ipv4'),
    ...fixedAddress(problems, fields, 'IPv6', 'ipv6'),
    derpPort: derpPort === 0 ? DERP_PORT : derpPort,
    stunPort: stunPort === 0 ? STUN_PORT : stunPort < 0 ? null : stunPort,
    stunOnly: readFlag(problems, fields.get('STUNOnly'), 'STUNOnly'),
    canPort80: readFlag(problems, fields.get('CanPort80'), 'CanPort80'),
    at: fields.at,
  };
};

const fixedAddress = (
  problems: Problems,
  fields: Fields,
  name: string,
  as: 'ipv4' | 'ipv6',
): { readonly ipv4?: Address | 'none'; readonly ipv6?: Address | 'none' } => {
  const located = readText(problems, fields.get(name), name);
  if (!located || located.text === '') return {};
  if (located.text === 'none') return { [as]: 'none' };
  const address = parseAddress(located.text);
  if (address !== undefined && address.includes(':') === (as === 'ipv6')) return { [as]: address };
  bad(problems, located.at, `${name}: ${quote(located.text)} is no ${name} address and not "none".`);
  return {};
};
