// The kinds of text that a field of our files may ask for (`format` in the schemas). Each says what is wrong with a text in
// words, or undefined where nothing is; the schema check and its messages share them.

import {
  maskPrefix,
  formatPrefix,
  parseAddress,
  parsePrefix,
  parsePrefixBits,
  familyOf,
  type Family,
} from '../base/address.ts';
import { parseDuration, parseMoment } from '../base/duration.ts';
import { parseLogin, parseTag } from '../base/ids.ts';

/** What is wrong with the text, as the end of the sentence that begins with it; undefined: nothing. */
type Explain = (text: string) => string | undefined;

export interface Format {
  readonly explain: Explain;
  /** An example that is right. */
  readonly example: string;
}

const DOMAIN = /^(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const SSH_KEY =
  /^(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com) [A-Za-z0-9+/]{40,}={0,2}(?: .*)?$/;

const domain: Explain = (text) => {
  if (DOMAIN.test(text)) return undefined;
  if (text.endsWith('.') || text.startsWith('.')) return 'has a dot at its end; a domain here has none';
  if (text.startsWith('*')) return "is a wildcard, which clients can't serve";
  return 'is no domain name';
};

const address: Explain = (text) => {
  if (parseAddress(text) !== undefined) return undefined;
  return text.includes('/') ? 'is a range, not one address' : 'is no IP address';
};

const prefix =
  (family?: Family): Explain =>
  (text) => {
    const parsed = parsePrefix(text);
    if (parsed !== undefined) {
      return family === undefined || familyOf(parsed) === family ? undefined : `is no IPv${family} range`;
    }
    const bits = parsePrefixBits(text);
    if (bits) return `has host bits; the range is ${formatPrefix(maskPrefix(bits))}`;
    return parseAddress(text) === undefined ? 'is no address range' : 'is one address; a range has a length, as in /24';
  };

const subnet: Explain = (text) =>
  prefix()(text) ?? (text.endsWith('/0') ? 'is every address; write `exitNode: true` for an exit node' : undefined);

const addressOrNone =
  (family: Family): Explain =>
  (text) => {
    if (text === 'none') return undefined;
    const parsed = parseAddress(text);
    return parsed !== undefined && familyOf(parsed) === family ? undefined : `is no IPv${family} address and not none`;
  };

const duration: Explain = (text) =>
  parseDuration(text) === undefined ? 'is no length of time: numbers with s, m, h, d or w' : undefined;

const nameserver: Explain = (text) => {
  if (text.startsWith('https://')) {
    return /^https:\/\/[A-Za-z0-9.-]+(?::\d+)?\/[!-~]*$/.test(text)
      ? undefined
      : 'is no DNS-over-HTTPS URL with a path';
  }
  if (parseAddress(text) !== undefined) return undefined;
  const [, host, port] = /^(?:\[([^\]]+)\]|[^:]+):(\d{1,5})$/.exec(text) ?? [];
  const plain = host ?? text.slice(0, text.lastIndexOf(':'));
  const known = parseAddress(plain) !== undefined && Number(port) >= 1 && Number(port) <= 65535;
  return known ? undefined : 'is no address, address with a port, or https:// URL';
};

const publicKey: Explain = (text) => {
  if (/PRIVATE KEY/.test(text)) return 'is a private key, which must never be here';
  if (SSH_KEY.test(text.trim())) return undefined;
  return text.trim().startsWith('-----BEGIN PGP PUBLIC KEY BLOCK-----')
    ? undefined
    : 'is no OpenSSH or OpenPGP public key';
};

const sealed: Explain = (text) => {
  if (!text.startsWith('sealed:'))
    return 'is not sealed, and whoever reads the repository could read it; `tailplane seal` seals it';
  // At least a key, a nonce and a tag (keys/sealed.ts); whose it is, only the key can tell.
  return /^sealed:[A-Za-z0-9_-]{96,}$/.test(text) ? undefined : 'was cut off, or changed when it was copied';
};

const matches =
  (pattern: RegExp, otherwise: string): Explain =>
  (text) =>
    pattern.test(text) ? undefined : otherwise;

export const formats = {
  login: {
    explain: (text) => (parseLogin(text) ? undefined : 'is no login of the form name@domain'),
    example: 'alice@example.com',
  },
  tag: {
    explain: (text) => (parseTag(text) ? undefined : 'is no tag: `tag:`, a letter, then letters, digits and dashes'),
    example: 'tag:server',
  },
  domain: { explain: domain, example: 'example.com' },
  label: {
    explain: matches(LABEL, 'is no host name: small letters, digits and dashes inside, at most 63'),
    example: 'gateway-1',
  },
  address: { explain: address, example: '100.64.0.10' },
  'address4-or-none': { explain: addressOrNone(4), example: '192.0.2.10' },
  'address6-or-none': { explain: addressOrNone(6), example: '2001:db8::10' },
  prefix4: { explain: prefix(4), example: '100.64.0.0/16' },
  prefix6: { explain: prefix(6), example: 'fd7a:115c:a1e0:1::/64' },
  subnet: { explain: subnet, example: '192.168.10.0/24' },
  duration: { explain: duration, example: '30m' },
  'duration-or-never': { explain: (text) => (text === 'never' ? undefined : duration(text)), example: '90d' },
  'date-or-moment': {
    explain: (text) => (parseMoment(text, 'end') === undefined ? 'is no day and no moment with a zone' : undefined),
    example: '2027-01-31',
  },
  'custom-attribute': {
    explain: matches(
      /^custom:[A-Za-z][A-Za-z0-9_]{0,49}$/,
      'is no attribute of your own: `custom:`, a letter, then letters, digits and _, at most 50',
    ),
    example: 'custom:tier',
  },
  'stable-id': { explain: matches(/^n[0-9a-z]{1,12}TP$/, 'is no stable id'), example: 'n4fTP' },
  'country-code': {
    explain: matches(/^[A-Z]{2}$/, 'is no country code: two capital letters of ISO 3166-1'),
    example: 'FI',
  },
  'city-code': {
    explain: matches(/^[A-Z0-9]{2,8}$/, 'is no city code: two to eight capital letters and digits'),
    example: 'HEL',
  },
  'key-id': {
    explain: matches(/^[A-Za-z0-9]{1,32}$/, 'is no key id: letters and digits, at most 32'),
    example: 'k7Qm2',
  },
  'secret-hash': {
    explain: matches(/^sha256:[0-9a-f]{64}$/, 'is no hash: `sha256:` and 64 small hex digits'),
    example: 'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  },
  'https-url': {
    explain: matches(/^https:\/\/[A-Za-z0-9.-]+(?::\d+)?(?:\/[!-~]*)?$/, 'is no https:// URL'),
    example: 'https://controlplane.tailscale.com/derpmap/default',
  },
  sealed: {
    explain: sealed,
    example: 'sealed:WJ2XcVOoQWkmCKvAqU5Oq7NkvBvdFzrXrYwZ2C0h6S9PiLqTa7yTn1p3fW8eXv4ZkR5mJ0sGhB6uDcQxNlE2wAItYoMbHfVj',
  },
  'public-key': { explain: publicKey, example: 'ssh-ed25519 AAAA… alice' },
  nameserver: { explain: nameserver, example: '1.1.1.1' },
  host: { explain: (text) => (parseAddress(text) ? undefined : domain(text)), example: 'derp.example.com' },
  'cert-name': {
    explain: (text) => {
      if (!text.startsWith('sha256-raw:')) return domain(text);
      return /:[0-9a-f]{64}$/.test(text) ? undefined : 'is no SHA-256 of a certificate: 64 small hex digits';
    },
    example: 'derp.example.com',
  },
} as const satisfies Record<string, Format>;

export type FormatName = keyof typeof formats;
