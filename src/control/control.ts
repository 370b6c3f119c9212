// Control is what clients talk to: `/key`, `/ts2021`, and over Noise the registration, the map and the small requests.
// This file puts its parts together; each part has a file of its own.

import type { Control, ControlOptions, ControlPorts } from './ports.ts';

export const createControl = (_ports: ControlPorts, _options: ControlOptions): Control => {
  throw new Error('comes with the sessions');
};
