// People on the wire: tailcfg.User and tailcfg.Login in the answer to a registration, tailcfg.UserProfile in maps.

import type { UserId } from '../base/ids.ts';

export interface User {
  readonly ID: UserId;
  readonly DisplayName: string;
  readonly ProfilePicURL?: string;
}

export interface Login {
  readonly ID: UserId;
  readonly Provider: string;
  /** Never empty: without it the client forgets the login when it restarts. */
  readonly LoginName: string;
  readonly DisplayName: string;
  readonly ProfilePicURL?: string;
}

export interface UserProfile {
  readonly ID: UserId;
  /** As SSH principals name the person; `tagged-devices` for the pseudo user of tagged nodes. */
  readonly LoginName: string;
  readonly DisplayName: string;
  readonly ProfilePicURL?: string;
}
