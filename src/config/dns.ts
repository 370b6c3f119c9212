// dns.json5: what clients resolve, and where.

import { familyOf, parseAddress, type Address } from '../base/address.ts';
import type { Span } from '../base/diagnostic.ts';
import { formats } from './formats.ts';
import type { Path } from './located.ts';
import { reportDuplicates, type Reading } from './reading.ts';

export interface DnsSettings {
  readonly magicDns: boolean;
  /** The global nameservers replace those of the device; else they help only where the device has none. */
  readonly overrideLocalDns: boolean;
  readonly nameservers: readonly Nameserver[];
  /** By suffix, lower case, without dots at the ends. No nameservers: the suffix is answered from the tailnet alone. */
  readonly splitDns: readonly {
    readonly suffix: string;
    readonly nameservers: readonly Nameserver[];
    readonly at: Span;
  }[];
  /** Lower case, without dots at the ends; the base domain comes before them by itself. */
  readonly searchDomains: readonly string[];
  readonly extraRecords: readonly ExtraRecord[];
}

export interface Nameserver {
  /** `1.1.1.1`, `1.1.1.1:5353`, `[2606:4700::1111]:53` or `https://…`. */
  readonly address: string;
  readonly useWithExitNode: boolean;
  readonly at: Span;
}

export interface ExtraRecord {
  /** Fully qualified, lower case, without the trailing dot. */
  readonly name: string;
  readonly type: 'A' | 'AAAA' | 'CNAME';
  readonly value: Address | string;
  readonly at: Span;
}

type NameserverFile = string | { readonly address: string; readonly useWithExitNode?: boolean };

interface DnsFile {
  readonly magicDNS: boolean;
  readonly overrideLocalDNS: boolean;
  readonly nameservers: readonly NameserverFile[];
  readonly splitDNS: Readonly<Record<string, readonly NameserverFile[]>>;
  readonly searchDomains: readonly string[];
  readonly extraRecords: readonly {
    readonly name: string;
    readonly type?: ExtraRecord['type'];
    readonly value: string;
  }[];
}

/** What a folder without dns.json5 has. */
export const DEFAULT_DNS: DnsSettings = {
  magicDns: true,
  overrideLocalDns: false,
  nameservers: [],
  splitDns: [],
  searchDomains: [],
  extraRecords: [],
};

const readNameservers = (list: readonly NameserverFile[], path: Path, reading: Reading): readonly Nameserver[] =>
  list.map((entry, i) => {
    const { address, useWithExitNode = false } = typeof entry === 'string' ? { address: entry } : entry;
    return { address: parseAddress(address) ?? address, useWithExitNode, at: reading.at(...path, i) };
  });

const readRecord = (
  { name, type, value }: DnsFile['extraRecords'][number],
  i: number,
  reading: Reading,
): ExtraRecord => {
  const address = parseAddress(value);
  const natural = address === undefined ? 'CNAME' : familyOf(address) === 4 ? 'A' : 'AAAA';
  const at = reading.at('extraRecords', i);
  const wrong = (message: string, help: string): void =>
    reading.report({ code: 'config/conflicting-fields', span: reading.at('extraRecords', i, 'value'), message, help });
  if ((type === 'A' || type === 'AAAA') && type !== natural) {
    wrong(`\`${value}\` is no address for a record of type ${type}.`, `Its type is ${natural}.`);
  } else if (natural === 'CNAME') {
    const problem = formats.domain.explain(value);
    if (problem !== undefined) wrong(`\`${value}\` ${problem}.`, 'Give an address, or the name of a node.');
    else if (type === undefined) wrong(`\`${value}\` is no address.`, "Give an address, or say `type: 'CNAME'`.");
  } else if (type === 'CNAME') wrong('A CNAME names a node, not an address.', `Its type is ${natural}.`);
  return { name: name.toLowerCase(), type: type ?? natural, value: address ?? value.toLowerCase(), at };
};

export const readDns = (value: unknown, reading: Reading): DnsSettings => {
  const file = value as DnsFile;
  const suffixes = Object.keys(file.splitDNS);
  reportDuplicates(
    reading,
    suffixes.map((suffix) => ({ key: suffix.toLowerCase(), span: reading.keyAt('splitDNS', suffix) })),
    (suffix) => `The suffix \`${suffix}\` is given twice.`,
  );
  return {
    magicDns: file.magicDNS,
    overrideLocalDns: file.overrideLocalDNS,
    nameservers: readNameservers(file.nameservers, ['nameservers'], reading),
    splitDns: suffixes.map((suffix) => ({
      suffix: suffix.toLowerCase(),
      nameservers: readNameservers(file.splitDNS[suffix] ?? [], ['splitDNS', suffix], reading),
      at: reading.keyAt('splitDNS', suffix),
    })),
    searchDomains: file.searchDomains.map((domain) => domain.toLowerCase()),
    extraRecords: file.extraRecords.map((record, i) => readRecord(record, i, reading)),
  };
};
