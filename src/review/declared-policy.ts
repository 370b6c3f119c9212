// What a policy declares beside its rules: who may give which tag, what is approved unasked, and the tests.

import { canonicalJson } from '../base/canonical.ts';
import type { Span } from '../base/diagnostic.ts';
import type { Tag } from '../base/ids.ts';
import type { PolicyDocument, TagOwners } from '../policy/document.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { diffList, plain, type DeclaredChange } from './differences.ts';

/** Parts of texts by which their risk is judged. */
export const TEST_DROPPED = 'a test of the policy is gone: ';
export const OWNER_ADDED = ' may now be given by ';

const TARGETS_SHOWN = 4;

/** Tests one by one: a change that drops one deserves a look. */
const testChanges = (old: PolicyDocument, now: PolicyDocument): DeclaredChange[] => {
  const listed = ({ tests, sshTests }: PolicyDocument): readonly { form: string; text: string; at: Span }[] => {
    const list = (targets: readonly { readonly text: string }[]): string => {
      const shown = targets.slice(0, TARGETS_SHOWN).map(({ text }) => text);
      return shown.join(', ') + (targets.length > shown.length ? ` and ${targets.length - shown.length} more` : '');
    };
    const say = (words: string, targets: readonly { readonly text: string }[]): string[] =>
      targets.length > 0 ? [`${words} ${list(targets)}`] : [];
    return [
      ...tests.map((test) => ({
        form: canonicalJson(plain({ ...test, index: undefined })),
        text: `${test.source} ${[...say('reaches', test.accept), ...say('does not reach', test.deny)].join(', ')}`,
        at: test.at,
      })),
      ...sshTests.map((test) => ({
        form: canonicalJson(plain({ ...test, index: undefined })),
        text: `${test.source} on ${list(test.destinations)}: ${[
          ...say('shell as', test.accept),
          ...say('after a confirmation as', test.check),
          ...say('no shell as', test.deny),
        ].join(', ')}`,
        at: test.at,
      })),
    ];
  };
  const [was, is] = [listed(old), listed(now)];
  const only = (mine: typeof was, theirs: typeof was) =>
    mine.filter(({ form }) => !theirs.some((other) => other.form === form));
  return [
    ...only(was, is).map(({ text, at }): DeclaredChange => ({
      area: 'policy',
      kind: 'removed',
      text: `${TEST_DROPPED}${text}`,
      side: 'before',
      at,
    })),
    ...only(is, was).map(({ text, at }): DeclaredChange => ({
      area: 'policy',
      kind: 'added',
      text: `a test of the policy is new: ${text}`,
      side: 'after',
      at,
    })),
  ];
};

/** What a machine with the tag may reach: whoever gives the tag gives this. */
const reachOf = (document: PolicyDocument, tag: Tag): string => {
  const targets = [...(document.grants ?? []), ...(document.acls ?? [])].flatMap(({ sources, destinations }) =>
    sources.some((source) => source.kind === 'tag' && source.tag === tag)
      ? destinations.map(({ selector }) => selector.text)
      : [],
  );
  const unique = [...new Set(targets)].sort();
  const shown = unique.slice(0, TARGETS_SHOWN);
  const more = unique.length > shown.length ? ` and ${unique.length - shown.length} more` : '';
  return unique.length === 0 ? '' : `; machines with it reach ${shown.join(', ')}${more}`;
};

const ownerChanges = (was: TagOwners, { tag, owners }: TagOwners, now: PolicyDocument): string[] => {
  const [old, fresh] = [was.owners, owners].map((list) => list.map(({ text }) => text)) as [string[], string[]];
  const added = fresh.filter((text) => !old.includes(text));
  const removed = old.filter((text) => !fresh.includes(text));
  return [
    ...(added.length > 0 ? [`${tag}${OWNER_ADDED}${added.join(', ')}, too${reachOf(now, tag)}`] : []),
    ...(removed.length > 0 ? [`${tag} may no longer be given by ${removed.join(', ')}`] : []),
  ];
};

const approverChanges = (
  old: PolicyDocument['autoApprovers'],
  now: PolicyDocument['autoApprovers'],
): DeclaredChange[] => {
  const listed = ({ routes, exitNode, services }: PolicyDocument['autoApprovers']) => [
    ...routes.flatMap(({ prefix, approvers, at }) =>
      approvers.map(({ text }) => ({
        text: `routes in ${prefix} of ${text} are approved`,
        at: at as Span | undefined,
      })),
    ),
    ...exitNode.map(({ text, at }) => ({ text: `exit nodes of ${text} are approved`, at: at as Span | undefined })),
    ...services.flatMap(({ name, approvers, at }) =>
      approvers.map(({ text }) => ({ text: `${name} of ${text} is approved`, at: at as Span | undefined })),
    ),
  ];
  return diffList({
    area: 'policy',
    before: listed(old),
    after: listed(now),
    keyOf: ({ text }) => text,
    atOf: ({ at }) => at,
    added: ({ text }) => `${text} without being asked about`,
    removed: ({ text }) => `${text} without being asked about no more`,
    changed: () => [],
  });
};

export const policyChanges = (before: Snapshot, after: Snapshot): DeclaredChange[] => {
  const [old, now] = [before.policy.document, after.policy.document];
  if (old === null || now === null) {
    if (old === now) return [];
    const [kind, text] =
      now === null
        ? (['removed', 'the policy file is gone: every machine reaches every other'] as const)
        : (['added', 'a policy file is added: what it does not allow is denied'] as const);
    return [{ area: 'policy', kind, text }];
  }
  return [
    ...diffList({
      area: 'policy',
      before: [...old.tagOwners.values()],
      after: [...now.tagOwners.values()],
      keyOf: ({ tag }) => tag,
      atOf: ({ at }) => at,
      added: ({ tag, owners }) =>
        `${tag} may be given by ${owners.map(({ text }) => text).join(', ') || 'administrators'}`,
      removed: ({ tag }) => `${tag} is no tag any more`,
      changed: (was, is) => ownerChanges(was, is, now),
    }),
    ...approverChanges(old.autoApprovers, now.autoApprovers),
    ...testChanges(old, now),
  ];
};
