// Rules about who holds what: keys that outlive their purpose, people who can't be replaced, guards that don't guard.

import { memberOf } from '../../config/located.ts';
import { refusedTags } from '../../policy/approve.ts';
import type { LintRule } from './rule.ts';

const expiredKey: LintRule = {
  code: 'lint/expired-key',
  severity: 'warning',
  *check({ folder, nowMs }) {
    for (const { expiresMs, id, at } of [...(folder.keys?.authKeys ?? []), ...(folder.keys?.apiCredentials ?? [])]) {
      if (expiresMs === null || expiresMs > nowMs) continue;
      yield {
        span: at,
        message: `The key \`${id}\` has expired.`,
        help: 'Remove it; nodes that joined by it stay.',
        fix: { kind: 'remove', at },
      };
    }
  },
};

const endlessKey: LintRule = {
  code: 'lint/endless-key',
  severity: 'warning',
  *check({ folder }) {
    for (const { id, reusable, expiresMs, at } of folder.keys?.authKeys ?? []) {
      if (!reusable || expiresMs !== null) continue;
      yield {
        span: at,
        message: `Whoever finds the key \`${id}\` can use it for ever, any number of times.`,
        help: "Give it an end: expires: '2027-01-31'.",
      };
    }
    for (const { id, expiresMs, at } of folder.keys?.apiCredentials ?? []) {
      if (expiresMs === null)
        yield {
          span: at,
          message: `The credential \`${id}\` has no end.`,
          help: "Give it one: expires: '2027-01-31'.",
        };
    }
  },
};

const ADMINISTRATORS = new Set(['owner', 'admin']);

const administratorKey: LintRule = {
  code: 'lint/administrator-key',
  severity: 'warning',
  *check({ folder, users }) {
    const roles = new Map(users.map(({ login, role }) => [login.toLowerCase(), role]));
    for (const { id, owner, reusable, at } of folder.keys?.authKeys ?? []) {
      const role = owner === undefined ? undefined : roles.get(owner.toLowerCase());
      if (!reusable || role === undefined || !ADMINISTRATORS.has(role)) continue;
      yield {
        span: at,
        message: `Every machine that joins by \`${id}\` belongs to an administrator and has all of their access.`,
        help: 'Let it give a tag instead, or make it a key for one use.',
      };
    }
  },
};

const unlimitedCredential: LintRule = {
  code: 'lint/unlimited-credential',
  severity: 'warning',
  *check({ folder }) {
    for (const { id, scopes, at } of folder.keys?.apiCredentials ?? []) {
      if (!scopes.includes('all')) continue;
      yield {
        span: at,
        message: `The credential \`${id}\` may do everything.`,
        help: 'List the scopes that the program needs.',
      };
    }
  },
};

const expiredSigner: LintRule = {
  code: 'lint/expired-signer',
  severity: 'warning',
  *check({ folder, nowMs }) {
    for (const { name, validUntilMs, at } of folder.tailnet?.signers ?? []) {
      if (validUntilMs === undefined || validUntilMs > nowMs) continue;
      yield {
        span: at,
        message: `The time of the signer \`${name}\` is over.`,
        help: 'Their commits are held. Remove the entry, or extend it.',
      };
    }
  },
};

const attributeByName: LintRule = {
  code: 'lint/attribute-by-name',
  severity: 'warning',
  *check({ folder }) {
    for (const { attributes, node, at } of folder.nodes ?? []) {
      if (attributes === undefined || node.by === 'id' || node.name === undefined) continue;
      const whose = node.by === 'owner' ? `of ${node.owner}` : `with ${node.tag}`;
      yield {
        span: at,
        message: `Any machine ${whose} that is called \`${node.name}\` gets these attributes, and passes the postures that ask for them.`,
        help: 'Select it by its `id`, which `tailplane nodes list` shows.',
      };
    }
  },
};

const trustByName: LintRule = {
  code: 'lint/trust-by-name',
  severity: 'warning',
  *check({ folder, policy, users }) {
    const people = new Map(users.map((user) => [user.login.toLowerCase(), user]));
    const isByHand = folder.tailnet?.nodes.approval === 'manual';
    for (const { approved, node, tags = [], at } of folder.nodes ?? []) {
      if (node.by !== 'owner') continue;
      const owner = people.get(node.owner.toLowerCase());
      const beyond = policy && owner ? refusedTags({ document: policy }, owner, tags) : [];
      if (beyond.length > 0)
        yield {
          span: at,
          message: `Any machine of ${node.owner} that is called \`${node.name}\` carries \`${beyond.join(', ')}\`, which ${node.owner} may not give.`,
          help: 'Select it by its `id`, which `tailplane nodes list` shows.',
        };
      if (isByHand && approved === true)
        yield {
          span: at,
          message: `Any machine of ${node.owner} that is called \`${node.name}\` is let in.`,
          help: 'Select it by its `id`, which `tailplane nodes list` shows.',
        };
    }
  },
};

const singleSigner: LintRule = {
  code: 'lint/single-signer',
  severity: 'info',
  *check({ folder }) {
    const [first, second] = folder.tailnet?.signers ?? [];
    if (!first || second) return;
    yield {
      span: first.at,
      message: 'There is one signer: if the key is lost, no commit can be served any more.',
      help: 'Add a second one.',
    };
  },
};

const singleAdministrator: LintRule = {
  code: 'lint/single-administrator',
  severity: 'info',
  *check({ users }) {
    const able = users.filter(({ role, disabled }) => ADMINISTRATORS.has(role) && !disabled);
    const [first, second] = able;
    if (!first || second || users.length < 3) return;
    yield {
      span: first.at,
      message: `Only \`${first.login}\` can administrate the tailnet.`,
      help: "Give someone else the role: role: 'admin'.",
    };
  },
};

/** Where anybody can get a mailbox. */
const PUBLIC = new Set([
  'gmail.com',
  'googlemail.com',
  'outlook.com',
  'hotmail.com',
  'live.com',
  'msn.com',
  'yahoo.com',
  'icloud.com',
  'me.com',
  'aol.com',
  'proton.me',
  'protonmail.com',
  'gmx.de',
  'gmx.net',
  'web.de',
  'mail.ru',
  'yandex.ru',
  'qq.com',
  '163.com',
  'fastmail.com',
  'zoho.com',
]);

const publicDomain: LintRule = {
  code: 'lint/public-domain',
  severity: 'warning',
  *check({ folder }) {
    for (const { domain, at } of folder.users?.domainRules ?? []) {
      if (!PUBLIC.has(domain)) continue;
      yield {
        span: at,
        message: `Anybody in the world can have a login of \`${domain}\`.`,
        help: 'List the people in `users` instead.',
      };
    }
    const root = folder.files.find(({ file }) => file === 'tailnet.json5')?.root;
    const list = memberOf(root, 'domains')?.value;
    for (const item of list?.kind === 'array' ? list.items : []) {
      if (item.kind !== 'string' || !PUBLIC.has(item.value.toLowerCase())) continue;
      yield {
        span: item.span,
        message: `\`user:*@${item.value}\` would mean anybody in the world.`,
        help: 'Remove the domain, and name people.',
      };
    }
  },
};

const guardOff: LintRule = {
  code: 'lint/guard-off',
  severity: 'warning',
  *check({ folder }) {
    const { tailnet } = folder;
    const root = folder.files.find(({ file }) => file === 'tailnet.json5')?.root;
    const guard = memberOf(root, 'guard');
    if (!tailnet || !guard) return;
    const off = [
      ...(tailnet.guard.pairsPercent >= 100 ? ['pairsPercent'] : []),
      ...(['administrators', 'routers', 'userNodes'] as const).filter((limit) => !tailnet.guard[limit]),
    ];
    if (off.length === 0) return;
    yield {
      span: guard.keySpan,
      message: `The guard is off for \`${off.join('`, `')}\`: one commit can take everything away.`,
      help: 'Leave it on, and allow single commits by a `Tailnet-Allow` trailer.',
    };
  },
};

const endlessLogin: LintRule = {
  code: 'lint/endless-login',
  severity: 'info',
  *check({ folder }) {
    for (const { node, keyExpiryMs, at } of folder.nodes ?? []) {
      if (node.by !== 'owner' || keyExpiryMs !== null) continue;
      yield {
        span: at,
        message: "A person's machine never has to log in again.",
        help: 'A lost machine stays in the tailnet until somebody notices. Give it a tag, or a long expiry.',
      };
    }
  },
};

const redundantDeclaration: LintRule = {
  code: 'lint/redundant-declaration',
  severity: 'info',
  *check({ folder }) {
    const usual = folder.tailnet?.nodes.keyExpiryMs;
    if (usual === undefined) return;
    for (const declaration of folder.nodes ?? []) {
      const { keyExpiryMs, name, tags, addresses, approved, disabled, at } = declaration;
      const says = [name, tags, addresses, approved, disabled].some((value) => value !== undefined);
      if (says || keyExpiryMs !== usual) continue;
      yield {
        span: at,
        message: 'This entry declares what holds anyway.',
        help: 'Remove it; it only hides the default.',
        fix: { kind: 'remove', at },
      };
    }
  },
};

const disabledAndApproved: LintRule = {
  code: 'lint/disabled-and-approved',
  severity: 'warning',
  *check({ folder }) {
    for (const { approved, disabled, at } of folder.nodes ?? []) {
      if (approved !== true || disabled !== true) continue;
      yield {
        span: at,
        message: 'This node is let in and cut off by the same entry.',
        help: 'It is cut off. Keep the one that is meant.',
      };
    }
  },
};

export const CUSTODY_RULES: readonly LintRule[] = [
  expiredKey,
  endlessKey,
  administratorKey,
  unlimitedCredential,
  expiredSigner,
  attributeByName,
  trustByName,
  singleSigner,
  singleAdministrator,
  publicDomain,
  guardOff,
  endlessLogin,
  redundantDeclaration,
  disabledAndApproved,
];
