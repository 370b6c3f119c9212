// How the server comes apart: in the reverse order of its making.

import type { Logger } from './log.ts';

export interface Teardown {
  /** `step` closes what was opened just now. */
  readonly push: (name: string, step: () => unknown) => void;
  readonly run: () => Promise<void>;
}

/** Closes in reverse order of opening, each step whatever the others did. */
export const createTeardown = (log: Logger): Teardown => {
  const steps: [string, () => unknown][] = [];
  return {
    push: (name, step) => {
      steps.push([name, step]);
    },
    run: async () => {
      for (const [name, step] of steps.splice(0).reverse()) {
        try {
          await step();
        } catch (error) {
          log.error({ step: name, err: error }, 'could not be closed cleanly');
        }
      }
    },
  };
};
