// The relays of a tailnet, from everywhere that they are declared. The nearer to derp.json5, the stronger: its own regions
// stand over those of the policy's derpMap, and these over those of derpmap.json5
// and of the map that the server fetches, if there is one.

import { isNamed, type DerpRegion, type DerpSettings } from '../config/derp.ts';
import type { PolicyDerpMap } from '../policy/derpmap.ts';

export interface DeclaredRelays {
  readonly derp: DerpSettings;
  /** Of derpmap.json5. */
  readonly derpmap: readonly DerpRegion[];
  readonly policy: PolicyDerpMap | undefined;
  /** Of the map that the server fetches. */
  readonly fetched?: readonly DerpRegion[];
}

/** By id, each with the score that counts. The embedded relay is not among them. */
export const relayRegions = ({ derp, derpmap, policy, fetched = [] }: DeclaredRelays): readonly DerpRegion[] => {
  const byId = new Map<number, DerpRegion>();
  if (policy?.omitDefaultRegions !== true) for (const region of [...fetched, ...derpmap]) byId.set(region.id, region);
  for (const id of policy?.omit ?? []) byId.delete(id);
  for (const region of policy?.regions ?? []) byId.set(region.id, region);
  for (const region of byId.values()) {
    if (derp.omit.some(({ region: name }) => isNamed(region, name))) byId.delete(region.id);
  }
  for (const region of derp.regions) byId.set(region.id, region);
  return [...byId.values()].map((region) => {
    const score = scoreOf(derp, region);
    return score === undefined ? region : { ...region, score };
  });
};

/** What `scores` of derp.json5 says about a region; where id and code are both there, the id counts. */
export const scoreOf = (derp: DerpSettings, region: Pick<DerpRegion, 'id' | 'code'>): number | undefined => {
  const named = derp.scores.filter(({ region: name }) => isNamed(region, name));
  return (named.find(({ region: name }) => name === String(region.id)) ?? named[0])?.score;
};
