// DNS over HTTPS that clients can ask. They know the addresses of these providers by heart and dial no other URL, because they
// would have to resolve its name first (net/dns/publicdns). The address of such a provider, 1.1.1.1 for example, is asked
// over HTTPS too.

const KNOWN: ReadonlySet<string> = new Set([
  ...['', 'security.', 'family.'].map((kind) => `https://${kind}cloudflare-dns.com/dns-query`),
  'https://dns.google/dns-query',
  ...['dns', 'dns10', 'dns11'].map((host) => `https://${host}.quad9.net/dns-query`),
  ...['', 'adblock.', 'base.', 'extended.', 'family.', 'all.'].map(
    (kind) => `https://${kind}dns.mullvad.net/dns-query`,
  ),
  'https://wikimedia-dns.org/dns-query',
  ...['p0', 'p1', 'p2', 'p3', 'family'].map((profile) => `https://freedns.controld.com/${profile}`),
  ...['private', 'protected', 'family'].map((kind) => `https://${kind}.canadianshield.cira.ca/dns-query`),
]);
const CONTROL_D = /^https:\/\/dns\.controld\.com\/[0-9a-z]+/;
const NEXTDNS = /^https:\/\/dns\.nextdns\.io\/([^/?]+)/;

/** In hex, at most twelve bytes: clients make an IPv6 address of it. */
export const isNextDnsProfile = (text: string): boolean => /^(?:[0-9a-f]{2}){1,12}$/i.test(text);

export const isKnownDoh = (url: string): boolean =>
  KNOWN.has(url) || CONTROL_D.test(url) || isNextDnsProfile(NEXTDNS.exec(url)?.[1] ?? '');
