// Shells that wait for a confirmation (check mode of Tailscale SSH): listed, allowed and refused by an administrator.

import { accept, refuse } from '../base/outcome.ts';
import type { Outcome } from '../base/outcome.ts';
import type { Control, SshCheck } from '../control/ports.ts';
import type { AdminOperation } from '../http/admin.ts';
import type { SshCheckAnswer } from '../http/answers.ts';
import type { Parts } from './parts.ts';

const CODE_LENGTH = 8;

export const codeOf = ({ id }: SshCheck): string =>
  `${id.slice(0, CODE_LENGTH / 2)}-${id.slice(CODE_LENGTH / 2, CODE_LENGTH)}`.toUpperCase();

export const nameOf = (parts: Parts, node: SshCheck['source']): string =>
  parts.tailnet.node(node)?.fqdn ?? String(node);

export const sshOperations = (parts: Parts, control: Control): readonly AdminOperation[] => {
  const answerOf = (check: SshCheck): SshCheckAnswer => ({
    code: codeOf(check),
    from: nameOf(parts, check.source),
    user: parts.tailnet.node(check.source)?.owner ?? null,
    to: nameOf(parts, check.destination),
    as: check.sshUser,
    created: new Date(check.createdMs).toISOString(),
    expires: new Date(check.expiresMs).toISOString(),
  });
  const decide = (code: string, decision: 'accept' | 'reject'): Outcome<SshCheckAnswer> => {
    const wanted = code.replaceAll('-', '').toLowerCase();
    const found = control.sshChecks().filter(({ id }) => wanted.length >= CODE_LENGTH && id.startsWith(wanted));
    const [check] = found;
    if (!check || found.length > 1) {
      return refuse('http/not-found', `No shell waits with the code «${code}»; it may have been too long ago.`);
    }
    const outcome = control.decideSshCheck(check.id, decision, 'administrator');
    return outcome.ok ? accept(answerOf(outcome.value)) : outcome;
  };
  return [
    {
      method: 'get',
      path: '/ssh-checks',
      run: () =>
        accept(
          control
            .sshChecks()
            .filter(({ state }) => state === 'pending')
            .map(answerOf),
        ),
    },
    { method: 'post', path: '/ssh-checks/:code/approve', run: ({ params }) => decide(params['code'] ?? '', 'accept') },
    { method: 'post', path: '/ssh-checks/:code/deny', run: ({ params }) => decide(params['code'] ?? '', 'reject') },
  ];
};
