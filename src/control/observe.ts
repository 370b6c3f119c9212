// What clients say about themselves goes to the registry, and what follows from it: a new host name may change the MagicDNS
// label, and a wish for tags is granted where the owner may give them.

import type { Tag } from '../base/ids.ts';
import { accept, type Outcome } from '../base/outcome.ts';
import type { NodeRecord, Observation } from '../registry/record.ts';
import type { Registry } from '../registry/registry.ts';
import { noteNode, type Note } from './ports.ts';
import { tagsRefused, type Standing } from './standing.ts';

export interface Observer {
  /** Notes it at once; what follows from it is decided in the background. */
  readonly observe: (node: NodeRecord, observation: Partial<Observation>) => void;
  /** Gives the node the tags that it asks for. A person's node may become a tagged one; the way back is a new login. */
  readonly retag: (node: NodeRecord, wished: readonly Tag[]) => Promise<Outcome<void>>;
  /** After the tailnet has changed: nodes that took a name which is another's by now give it up. */
  readonly yieldNames: () => void;
}

export const createObserver = (registry: Registry, standing: Standing, note: Note): Observer => {
  const retag: Observer['retag'] = async (node, wished) => {
    const missing = wished.filter((tag) => !node.tags.includes(tag));
    if (missing.length === 0) return accept(undefined);
    if (node.login === null) return tagsRefused(missing);
    const person = standing.personOf(node.login);
    if (!person.ok) return person;
    const allowed = standing.mayTag(person.value, wished);
    if (!allowed.ok) return allowed;
    const outcome = await registry.apply({ kind: 'set-tags', id: node.id, tags: wished });
    return outcome.ok ? accept(undefined) : outcome;
  };

  const follow = async (before: NodeRecord, observation: Partial<Observation>): Promise<void> => {
    const { hostinfo } = observation;
    if (hostinfo === undefined) return;
    if (hostinfo['Hostname'] !== before.hostinfo['Hostname'])
      await registry.apply({ kind: 'follow-hostname', id: before.id, assignment: standing.assignment() });
    const wished = hostinfo['RequestTags'] as readonly Tag[] | undefined;
    if (wished === undefined || sameTags(wished, before.hostinfo['RequestTags'])) return;
    const tagged = await retag(before, wished);
    if (!tagged.ok) note('info', 'tags refused', { ...noteNode(before), code: tagged.code });
  };

  const yieldName = async (node: NodeRecord): Promise<void> => {
    const outcome = await registry.apply({ kind: 'yield-name', id: node.id, assignment: standing.assignment() });
    if (!outcome.ok) note('warn', 'name not given up', { ...noteNode(node), code: outcome.code });
    else if (outcome.value.node) note('info', 'name given up', { ...noteNode(node), now: outcome.value.node.name });
  };

  return {
    retag,
    yieldNames: () => {
      for (const name of standing.claimedNames()) {
        const id = registry.view.byName.get(name);
        const node = id === undefined ? undefined : registry.view.nodes.get(id);
        if (!node || standing.ownsName(node)) continue;
        yieldName(node).catch((fault: unknown) => note('error', 'name not given up', { ...noteNode(node), fault }));
      }
    },
    observe: (node, observation) => {
      registry.note(node.id, observation);
      follow(node, observation).catch((fault: unknown) =>
        note('error', 'observation failed', { ...noteNode(node), fault }),
      );
    },
  };
};

const sameTags = (wished: readonly Tag[], before: unknown): boolean =>
  JSON.stringify(wished) === JSON.stringify(before);
