// `tailplane nodes ping`: asks a machine whether it is there, and how it reaches another one.

import type { Command } from 'commander';
import type { PingAnswer, PingStep } from '../http/answers.ts';
import { EXIT } from './failure.ts';
import { plain, relativeTime, table } from './output.ts';
import type { Output } from './output.ts';
import { serverOf } from './server.ts';

const ABOUT: Record<PingStep['what'], string> = {
  stream: 'over its map stream',
  call: 'a call into it',
  disco: 'a path',
  TSMP: 'through WireGuard',
  ICMP: 'a ping',
};

const duration = (ms: number | null): string =>
  ms === null ? '-' : ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;

const headline = (answer: PingAnswer, out: Output): string => {
  const name = plain(answer.node);
  const [stream] = answer.steps;
  if (stream?.ok)
    return `${name} ${out.style('green', 'answers')} from ${plain(answer.from ?? '?')}, with Tailscale ${plain(answer.version) || '?'}.`;
  const seen =
    answer.lastSeen === null ? '' : ` It was last seen ${relativeTime(Date.parse(answer.lastSeen), Date.now())}.`;
  return `${name} ${out.style('red', 'does not answer')}.${answer.from === null ? seen : ''}`;
};

export const renderPing = (answer: PingAnswer, out: Output): string => {
  const rows = answer.steps.map((step) => [
    step.what in { disco: 1, TSMP: 1, ICMP: 1 } ? `to ${plain(answer.to ?? '')}` : 'server',
    `${step.what}: ${ABOUT[step.what]}`,
    step.ok ? duration(step.roundTripMs) : out.style('red', 'failed'),
    step.ok ? [step.path, step.via].filter(Boolean).map((text) => plain(text as string)).join(', ') : plain(step.problem ?? ''), // prettier-ignore
  ]);
  return `${headline(answer, out)}\n${table(['WHO', 'WHAT', 'TOOK', ''], rows, out.style)}`;
};

export const registerNodePing = (nodes: Command, which: string): void => {
  nodes
    .command('ping')
    .description('ask a machine whether it is there, and how it reaches another one')
    .argument('<node>', which)
    .option('--to <node>', 'another machine that it pings in turn')
    .addHelpText(
      'after',
      '\nExits with 1 when a step fails.\n\nExample:\n  tailplane nodes ping laptop --to fileserver',
    )
    .action(async (node: string, options: { to?: string }, command: Command) => {
      const { admin, out } = serverOf(command);
      const body = options.to === undefined ? {} : { to: options.to };
      const answer = await admin.post<PingAnswer>(`/nodes/${encodeURIComponent(node)}/ping`, body);
      out.show(answer, () => renderPing(answer, out));
      if (!answer.ok) process.exitCode = EXIT.findings;
    });
};
