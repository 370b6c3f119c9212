// The relay inside the server as a region of the DERP map. Clients speak to relays by TLS only; where the server has no
// domain it shows a certificate of its own, which the map pins by its hash, so that nobody has to trust a name.

import { parseAddressBits } from '../base/address.ts';
import { EMBEDDED_REGION_CODE, EMBEDDED_REGION_ID } from '../config/derp.ts';
import type { DerpRegion } from '../wire/derp.ts';

export interface RegionFacts {
  /** Host of the server's URL, without brackets. */
  readonly host: string;
  readonly port: number;
  /** Undefined: no STUN. */
  readonly stunPort: number | undefined;
  readonly name: string;
  /** SHA-256 of the certificate in DER, as hex; absent where clients verify it by name. */
  readonly pinned?: string;
  readonly answersPort80: boolean;
}

export const embeddedRegion = (facts: RegionFacts): DerpRegion => {
  const family = parseAddressBits(facts.host)?.family;
  return {
    RegionID: EMBEDDED_REGION_ID,
    RegionCode: EMBEDDED_REGION_CODE,
    RegionName: facts.name,
    Nodes: [
      {
        Name: `${EMBEDDED_REGION_ID}a`,
        RegionID: EMBEDDED_REGION_ID,
        HostName: facts.host,
        ...(facts.pinned === undefined ? {} : { CertName: `sha256-raw:${facts.pinned}` }),
        ...(family === undefined
          ? {}
          : { IPv4: family === 4 ? facts.host : 'none', IPv6: family === 6 ? facts.host : 'none' }),
        DERPPort: facts.port,
        STUNPort: facts.stunPort ?? -1,
        ...(facts.answersPort80 ? { CanPort80: true } : {}),
      },
    ],
  };
};
