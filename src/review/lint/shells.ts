// Rules about SSH and about tags: the two places where a small word gives whole machines away.

import type { PolicyDocument } from '../../policy/document.ts';
import type { Selector } from '../../policy/selector.ts';
import type { SshAccessRule } from '../../policy/document.ts';
import { accessRules, trafficTo } from './access.ts';
import type { Coverage } from './coverage.ts';
import type { LintRule } from './rule.ts';

const DAY_MS = 86_400_000;

const allowsRoot = ({ users }: SshAccessRule): boolean =>
  users.some((user) => user.kind === 'login' && user.name === 'root');

const rootWithoutCheck: LintRule = {
  code: 'lint/ssh-root-without-check',
  severity: 'warning',
  *check({ policy }) {
    for (const rule of policy?.ssh ?? []) {
      const shared = rule.destinations.find(({ kind }) => kind !== 'self' && kind !== 'user');
      if (rule.action !== 'accept' || !allowsRoot(rule) || !shared) continue;
      // Programs can't answer a check, so tags as sources are let be.
      const person = rule.sources.find(({ kind }) => kind !== 'tag' && kind !== 'tagged');
      if (!person) continue;
      yield {
        span: rule.at,
        message: `\`${person.text}\` may be root on \`${shared.text}\` without being asked who they are.`,
        help: 'Use `"action": "check"`: whoever sits at an unlocked laptop must then log in again.',
      };
    }
  },
};

const longCheck: LintRule = {
  code: 'lint/ssh-long-check',
  severity: 'info',
  *check({ policy }) {
    for (const rule of policy?.ssh ?? []) {
      if (rule.action !== 'check' || rule.checkPeriodMs <= DAY_MS) continue;
      yield {
        span: rule.at,
        message: 'A check holds for more than a day here.',
        help: 'A checkPeriod of 12h asks once in a working day.',
      };
    }
  },
};

/** Some rule may let one of the sources reach port 22 of the destination. */
const reachable = (
  policy: PolicyDocument,
  { sources }: SshAccessRule,
  destination: Selector,
  coverage: Coverage,
): boolean => {
  if (!policy.acls && !policy.grants) return true;
  return accessRules(policy).some(
    (rule) =>
      rule.sources.some((wider) => sources.some((source) => coverage.meets(wider, source))) &&
      rule.destinations.some(
        (wider) =>
          coverage.meets(wider.selector, destination) &&
          trafficTo(rule, wider).some(
            ({ protocol, ports }) =>
              (protocol === null || protocol === 6) && ports.some(({ First, Last }) => First <= 22 && 22 <= Last),
          ),
      ),
  );
};

const sshWithoutNetwork: LintRule = {
  code: 'lint/ssh-without-network',
  severity: 'warning',
  *check({ policy, coverage }) {
    for (const rule of policy?.ssh ?? []) {
      if (!policy || rule.sources.length === 0) continue;
      for (const destination of rule.destinations) {
        if (reachable(policy, rule, destination, coverage)) continue;
        yield {
          span: destination.at,
          message: `No rule lets any of these sources reach port 22 of \`${destination.text}\`.`,
          help: 'An SSH rule says who may log in; a grant for `tcp:22` must let them get there.',
        };
      }
    }
  },
};

const everyone = (selector: Selector): boolean => selector.kind === 'member' || selector.kind === 'any';

const openTag: LintRule = {
  code: 'lint/open-tag',
  severity: 'warning',
  *check({ policy }) {
    if (!policy) return;
    const powerful = new Set(accessRules(policy).flatMap(({ sources }) => sources.map(({ text }) => text)));
    for (const { tag, owners } of policy.tagOwners.values()) {
      const open = owners.find(everyone);
      if (!open || !(powerful.has(tag) || powerful.has('autogroup:tagged'))) continue;
      yield {
        span: open.at,
        message: `Every member can give \`${tag}\` to a machine, and gets all that the tag may reach.`,
        help: 'Name a group that may give the tag.',
      };
    }
  },
};

const tagCycle: LintRule = {
  code: 'lint/tag-owner-cycle',
  severity: 'warning',
  *check({ policy }) {
    for (const { tag, owners } of policy?.tagOwners.values() ?? []) {
      const seen = new Set<string>();
      const open = owners.flatMap((owner) => (owner.kind === 'tag' ? [owner] : []));
      const [first] = open;
      for (let owner = open.pop(); owner; owner = open.pop()) {
        if (owner.tag === tag && first) {
          yield {
            span: first.at,
            message: `\`${tag}\` owns itself${seen.size === 0 ? '' : ' through other tags'}.`,
            help: 'A machine that has the tag can then give it to others. Remove it if that is not meant.',
          };
          break;
        }
        if (seen.has(owner.tag)) continue;
        seen.add(owner.tag);
        for (const next of policy?.tagOwners.get(owner.tag)?.owners ?? []) if (next.kind === 'tag') open.push(next);
      }
    }
  },
};

const funnel: LintRule = {
  code: 'lint/funnel-unavailable',
  severity: 'warning',
  *check({ policy }) {
    for (const { attributes, at } of policy?.nodeAttrs ?? []) {
      if (!attributes.includes('funnel')) continue;
      yield {
        span: at,
        message: 'Funnel needs servers on the internet that let strangers in; a private server has none.',
        help: 'Remove the attribute `funnel`. `tailscale serve` works within the tailnet.',
      };
    }
  },
};

export const SHELL_RULES: readonly LintRule[] = [
  rootWithoutCheck,
  longCheck,
  sshWithoutNetwork,
  openTag,
  tagCycle,
  funnel,
];
