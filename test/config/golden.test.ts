// Everything that one file alone can be wrong about, as people see it.

import path from 'node:path';
import { catalogue } from '../../src/base/catalogue.ts';
import { testCases } from './golden.ts';

testCases(
  path.join(import.meta.dirname, 'golden'),
  // An edit is no part of a report; its test is edit.test.ts.
  Object.keys(catalogue).filter((code) => code.startsWith('config/') && code !== 'config/cannot-edit'),
);
