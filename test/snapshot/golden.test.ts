// Everything that is wrong between the files of a folder, as people see it.

import path from 'node:path';
import { catalogue } from '../../src/base/catalogue.ts';
import { testCases } from '../config/golden.ts';

testCases(
  path.join(import.meta.dirname, 'golden'),
  // Two logins with the same 48 bits can't be written down here; check.test.ts makes them.
  Object.keys(catalogue).filter((code) => code.startsWith('snapshot/') && code !== 'snapshot/user-collision'),
);
