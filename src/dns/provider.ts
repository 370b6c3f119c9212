// Where challenge records are published: what every way of publishing them offers.

import type { Outcome } from '../base/outcome.ts';

export interface DnsProvider {
  /** Makes the texts at that name exactly these; none removes it. Resolves when the authoritative servers answer so. */
  readonly setTexts: (name: string, values: readonly string[]) => Promise<Outcome<undefined>>;
}
