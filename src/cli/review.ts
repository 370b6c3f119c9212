// `tailplane plan`, `explain`, `who-can`, `what-can`: what a tailnet allows and what a change of it means, from files alone.

import path from 'node:path';
import { Argument, InvalidArgumentError, Option, type Command } from 'commander';
import type { Verdict } from '../policy/evaluate.ts';
import { explain, type Explanation, type Question } from '../review/explain.ts';
import { renderAnnotations } from '../review/annotations.ts';
import { planFindings } from '../review/plan-findings.ts';
import { renderPlanMarkdown } from '../review/plan-markdown.ts';
import { drawPlan } from '../review/plan-picture.ts';
import { renderPlanTerminal } from '../review/plan-terminal.ts';
import { formatAt, planChange, type Plan } from '../review/plan.ts';
import type { Risk } from '../review/risk.ts';
import type { Report } from '../review/report.ts';
import { renderSarif } from '../review/sarif.ts';
import { imagineNodes, reviewTailnet, type ReviewedTailnet } from '../review/tailnet.ts';
import type { RegisteredNode } from '../snapshot/resolve.ts';
import { EXIT, Failure } from './failure.ts';
import { plain, table, wantsColour } from './output.ts';
import { connectAdmin, SOCKET_NAME, type AdminClient } from './admin.ts';
import { outputOf, serverOf } from './server.ts';
import { readNodeList, readTailnet, readTailnetAt } from './tailnet.ts';
import { packageVersion } from './version.ts';

const FORMATS = ['text', 'json', 'markdown', 'svg', 'sarif', 'github'] as const;
const RISKS: readonly Risk[] = ['none', 'low', 'medium', 'high'];

interface PlanOptions {
  readonly base: string;
  readonly nodes?: string;
  readonly live?: boolean;
  readonly server?: string;
  readonly format: (typeof FORMATS)[number];
  readonly failOn?: Risk;
  readonly prefix: string;
}

/** The socket of a server: of `--data`, or of the folder or socket that `--server` names. */
const adminOf = (server: string | undefined, command: Command): AdminClient => {
  if (server === undefined) return serverOf(command).admin;
  if (/^https?:/i.test(server)) {
    throw new Failure(
      EXIT.usage,
      'cli/usage',
      'A server gives its list of machines over its socket only, not over the network.',
      'Run `tailplane nodes export` beside the server, and give the file to --nodes.',
    );
  }
  const at = path.resolve(server.replace(/^unix:/, ''));
  return connectAdmin(path.basename(at) === SOCKET_NAME ? path.dirname(at) : at);
};

const nodesOf = async (
  options: { readonly nodes?: string; readonly live?: boolean; readonly server?: string },
  command: Command,
): Promise<readonly RegisteredNode[] | undefined> => {
  if (!options.live && options.server === undefined) return readNodeList(options.nodes);
  const { parseNodeList } = await import('../review/node-list.ts');
  const list = await adminOf(options.server, command).get<unknown>('/nodes/export');
  const nodes = parseNodeList(JSON.stringify(list));
  if (!nodes.ok) throw new Failure(EXIT.findings, nodes.code, nodes.reason);
  return nodes.value;
};

const renderPlan = (plan: Plan, format: PlanOptions['format'], sources: Report['sources'], prefix: string): string => {
  switch (format) {
    case 'json':
      return JSON.stringify(plan, null, 2);
    case 'markdown':
      return renderPlanMarkdown(plan);
    case 'svg':
      return drawPlan(plan);
    case 'sarif':
      return JSON.stringify(
        renderSarif({ diagnostics: planFindings(plan), sources }, { prefix, version: packageVersion() }),
        null,
        2,
      );
    case 'github':
      return renderAnnotations({ diagnostics: planFindings(plan), sources }, prefix).trimEnd();
    default:
      return renderPlanTerminal(plan, { colour: wantsColour(process.stdout) });
  }
};

const registerPlan = (program: Command): void => {
  program
    .command('plan')
    .description('tell what a change means: who gains and who loses access')
    .argument('[dir]', 'the changed tailnet folder', '.')
    .option('--base <revision>', 'the revision to compare with', 'HEAD')
    .option('--nodes <file>', 'the machines that exist, from `tailplane nodes export`; makes the answer exact')
    .option('--live', 'the machines of the server of --data')
    .option('--server <where>', 'the machines of a server: its data folder, or unix: and the path of its socket')
    .addOption(new Option('--format <format>', 'how to say it').choices(FORMATS).default('text'))
    .option('--prefix <path>', 'where the folder lies in the repository, for sarif and github', '')
    .addOption(new Option('--fail-on <risk>', 'exit with 1 from this risk on').choices(['low', 'medium', 'high']))
    .addHelpText(
      'after',
      '\nExit codes: 0 fine, 1 errors or a risk from --fail-on on, 2 usage.\n\nExamples:\n  tailplane plan tailnet\n  tailplane plan tailnet --base origin/main --nodes nodes.json --format markdown',
    )
    .action(async (dir: string, options: PlanOptions, command: Command) => {
      const { json = false } = command.optsWithGlobals<{ json?: boolean }>();
      const after = readTailnet(dir);
      const before = await readTailnetAt(dir, options.base);
      if (!before) {
        throw new Failure(
          EXIT.usage,
          'cli/usage',
          `There is no tailnet in this folder at ${options.base}.`,
          'Name another --base.',
        );
      }
      const given = await nodesOf(options, command);
      const nodes = given ?? imagineNodes(before, after);
      const plan = planChange(reviewTailnet(before, nodes), reviewTailnet(after, nodes), {
        imagined: given === undefined,
      });
      const prefix = options.prefix.replace(/\/*$/, options.prefix === '' ? '' : '/');
      const sources = new Map(after.policyFile ? [[after.policyFile.file, after.policyFile.text]] : []);
      process.stdout.write(`${renderPlan(plan, json ? 'json' : options.format, sources, prefix)}\n`);
      const limit = options.failOn;
      if (limit !== undefined && RISKS.indexOf(plan.risk) >= RISKS.indexOf(limit)) process.exitCode = EXIT.findings;
    });
};

const PROTOCOLS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, icmp: 1, sctp: 132 };

interface AskOptions {
  readonly dir: string;
  readonly nodes?: string;
  readonly live?: boolean;
  readonly server?: string;
  readonly proto: string;
}

const withTailnet = (command: Command): Command =>
  command
    .option('--dir <dir>', 'the tailnet folder', '.')
    .option('--nodes <file>', 'the machines that exist, from `tailplane nodes export`')
    .option('--live', 'the machines of the server of --data')
    .option('--server <where>', 'the machines of a server: its data folder, or unix: and the path of its socket')
    .addOption(
      new Option('--proto <protocol>', 'protocol of the connection').choices(Object.keys(PROTOCOLS)).default('tcp'),
    );

const loadTailnet = async (
  options: AskOptions,
  command: Command,
): Promise<{ tailnet: ReviewedTailnet; imagined: boolean }> => {
  const snapshot = readTailnet(options.dir);
  const given = await nodesOf(options, command);
  return { tailnet: reviewTailnet(snapshot, given ?? imagineNodes(snapshot)), imagined: given === undefined };
};

/** `tag:web:443`, `100.64.0.1:22`, `[fd7a::1]:22`, `printer`; the port is 0 where none is given. */
export const parseTarget = (text: string): { readonly name: string; readonly port: number } => {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text);
  const match = bracketed ?? (/^[0-9a-f:]*::[0-9a-f:]*$/i.test(text) ? null : /^(.*[^:]):(\d{1,5})$/.exec(text));
  const port = Number(match?.[2] ?? 0);
  if (port > 65_535) throw new InvalidArgumentError('A port is a number up to 65535.');
  return { name: match?.[1] ?? text, port };
};

const ask = (tailnet: ReviewedTailnet, question: Question): readonly Explanation[] => {
  const answers = explain(tailnet, question);
  if (!answers.ok)
    throw new Failure(EXIT.usage, answers.code, answers.reason, 'Name a person, group, tag, machine, host or address.');
  return answers.value;
};

const reasonOf = (verdict: Verdict): string => {
  if (verdict.allowed) {
    const { section, index, at } = verdict.rule;
    return section === 'default'
      ? 'there are no rules, so everything is allowed'
      : `rule ${index + 1} of ${section}${at ? `, ${formatAt(at)}` : ''}`;
  }
  const [nearest] = verdict.nearest;
  return nearest
    ? `nearest: ${nearest.explanation}${nearest.at ? ` (${formatAt(nearest.at)})` : ''}`
    : 'no rule comes near';
};

const answerJson = ({ source, destination, verdict }: Explanation): object =>
  verdict.allowed
    ? { source, destination, allowed: true, rule: ruleJson(verdict.rule) }
    : {
        source,
        destination,
        allowed: false,
        nearest: verdict.nearest.map((miss) => ({
          ...ruleJson(miss),
          lacks: miss.lacks,
          explanation: miss.explanation,
        })),
      };

const ruleJson = ({
  section,
  index,
  at,
}: {
  readonly section: string;
  readonly index: number;
  readonly at?: Parameters<typeof formatAt>[0];
}): object => ({
  section,
  index,
  ...(at ? { file: at.file, line: at.start.line, column: at.start.column } : {}),
});

const registerExplain = (program: Command): void => {
  withTailnet(
    program
      .command('explain')
      .description('say whether one party may reach another, and which line decides')
      .argument('<src>', 'person, group, tag, machine, host or address')
      .argument('<dst>', 'the same, with a port: tag:db:5432'),
  )
    .addHelpText(
      'after',
      '\nExit codes: 0 allowed, 1 denied.\n\nExample:\n  tailplane explain alice@example.com tag:db:5432 --dir tailnet.example',
    )
    .action(async (source: string, target: string, options: AskOptions, command: Command) => {
      const { name, port } = parseTarget(target);
      const { tailnet, imagined } = await loadTailnet(options, command);
      const answers = ask(tailnet, { source, destination: name, port, protocol: PROTOCOLS[options.proto] ?? 6 });
      const allowed = answers.length > 0 && answers.every(({ verdict }) => verdict.allowed);
      const some = answers.some(({ verdict }) => verdict.allowed);
      const out = outputOf(command);
      const value = {
        schema: 'explain-report.schema.json',
        source,
        destination: name,
        port,
        protocol: options.proto,
        allowed,
        partly: some && !allowed,
        exact: !imagined,
        answers: answers.map(answerJson),
      };
      out.show(value, () => {
        const head = allowed
          ? out.style('green', 'allowed')
          : some
            ? out.style('yellow', 'allowed for some')
            : out.style('red', 'denied');
        const lines = [
          ...Map.groupBy(
            answers,
            ({ verdict }) => `${verdict.allowed ? 'allowed by' : 'denied,'} ${reasonOf(verdict)}`,
          ),
        ];
        return [
          `${head}: ${plain(source)} → ${plain(name)}${port === 0 ? '' : `:${port}`} (${options.proto})`,
          ...lines.flatMap(([reason, group]) => [
            `  ${plain(reason)}`,
            ...(lines.length > 1
              ? group.slice(0, 5).map((one) => out.style('dim', `    ${plain(one.source)} → ${plain(one.destination)}`))
              : []),
          ]),
        ].join('\n');
      });
      process.exitCode = allowed ? EXIT.fine : EXIT.findings;
    });
};

const registerLists = (program: Command): void => {
  const everybody = ({ nodes }: ReviewedTailnet): string[] => [...nodes.values()].map(({ record }) => record.stableId);
  for (const [name, about, argument, example] of [
    ['who-can', 'list who may reach something', '<dst>', 'tailplane who-can tag:db:5432'],
    ['what-can', 'list what somebody may reach', '<src>', 'tailplane what-can alice@example.com --port 22'],
  ] as const) {
    const command = program
      .command(name)
      .description(about)
      .addArgument(new Argument(argument, 'person, group, tag, machine, host or address'));
    if (name === 'what-can') command.option('--port <port>', 'the port to ask for', Number, 0);
    withTailnet(command)
      .addHelpText('after', `\nExample:\n  ${example}`)
      .action(async (text: string, options: AskOptions & { readonly port?: number }, command: Command) => {
        const asked = name === 'who-can' ? parseTarget(text) : { name: text, port: options.port ?? 0 };
        const { tailnet, imagined } = await loadTailnet(options, command);
        const protocol = PROTOCOLS[options.proto] ?? 6;
        const found = everybody(tailnet).flatMap((other) =>
          ask(tailnet, {
            source: name === 'who-can' ? other : asked.name,
            destination: name === 'who-can' ? asked.name : other,
            port: asked.port,
            protocol,
          }).filter(({ verdict }) => verdict.allowed),
        );
        const out = outputOf(command);
        const value = {
          schema: 'explain-report.schema.json',
          query: name,
          party: asked.name,
          port: asked.port,
          protocol: options.proto,
          exact: !imagined,
          answers: found.map(answerJson),
        };
        out.show(value, () =>
          found.length === 0
            ? 'Nobody and nothing.'
            : table(
                ['FROM', 'TO', 'BY'],
                found.map((one) => [plain(one.source), plain(one.destination), reasonOf(one.verdict)]),
                out.style,
              ),
        );
      });
  }
};

export const registerReview = (program: Command): void => {
  registerPlan(program);
  registerExplain(program);
  registerLists(program);
};
