// What a step of the registry's contract is made of.

import assert from 'node:assert/strict';
import type { Code } from '../../src/base/catalogue.ts';
import type { Outcome } from '../../src/base/outcome.ts';
import type { RegistryEvent } from '../../src/registry/event.ts';
import type { NodeRecord } from '../../src/registry/record.ts';
import type { Applied, Registry } from '../../src/registry/registry.ts';

export type Step = (registry: Registry) => Promise<void>;

export const applied = async (registry: Registry, event: RegistryEvent): Promise<Applied> => {
  const outcome = await registry.apply(event);
  assert.ok(outcome.ok, `${event.kind} was refused: ${outcome.ok ? '' : outcome.code}`);
  return outcome.value;
};

export const joined = async (registry: Registry, event: RegistryEvent): Promise<NodeRecord> => {
  const { node } = await applied(registry, event);
  assert.ok(node);
  return node;
};

export const refused = (outcome: Outcome<unknown>, code: Code): void => {
  assert.equal(outcome.ok ? 'accepted' : outcome.code, code);
};
