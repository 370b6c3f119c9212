// A client whose home relay is taken off the map keeps it as its home while it has heard from it in the last 8 s
// (net/netcheck, PreferredDERPFrameTime), and looks again only by its own clock, every 20 to 26 s: for so long nobody reaches
// it by relay. Any difference in the map makes it measure at once, so the map is sent once more when the 8 s are over.

import type { Tailnet } from '../netmap/tailnet.ts';

/** The client's 8 s, and the way of the first message. */
export const REMIND_AFTER_MS = 8_250;

export interface RelayReminder {
  /** To be called when the relay map may have changed. */
  readonly follow: () => void;
  readonly close: () => void;
}

export const createRelayReminder = (tailnet: Pick<Tailnet, 'relays' | 'measureRelaysAgain'>): RelayReminder => {
  let known = tailnet.relays();
  let timer: NodeJS.Timeout | undefined;
  return {
    follow: () => {
      const relays = tailnet.relays();
      if (relays === known) return;
      known = relays;
      clearTimeout(timer);
      timer = setTimeout(() => tailnet.measureRelaysAgain(), REMIND_AFTER_MS).unref();
    },
    close: () => clearTimeout(timer),
  };
};
