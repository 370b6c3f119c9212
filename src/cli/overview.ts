// `tailplane test`, `coverage`, `matrix` and `blame`: whether a tailnet keeps its own promises, which rules nobody promised
// anything about, who reaches what, and since when.

import path from 'node:path';
import { Option, type Command } from 'commander';
import { exerciseRules } from '../review/exercise.ts';
import { explain } from '../review/explain.ts';
import { createMatrix, renderMatrixHtml } from '../review/matrix.ts';
import { formatAt } from '../review/plan.ts';
import { imagineNodes, reviewTailnet, type ReviewedTailnet } from '../review/tailnet.ts';
import type { SourceCommit } from '../source/tree.ts';
import { EXIT, Failure } from './failure.ts';
import { plain, table } from './output.ts';
import { parseTarget } from './review.ts';
import { outputOf } from './server.ts';
import { readHistory, readNodeList, readTailnet } from './tailnet.ts';

interface Options {
  readonly nodes?: string;
}

const load = (dir: string, { nodes }: Options): ReviewedTailnet => {
  const snapshot = readTailnet(dir);
  return reviewTailnet(snapshot, readNodeList(nodes) ?? imagineNodes(snapshot));
};

const registerTest = (program: Command): void => {
  program
    .command('test')
    .description("run the policy's own tests")
    .argument('[dir]', 'the tailnet folder', '.')
    .addHelpText('after', '\nExample:\n  tailplane test tailnet.example')
    .action((dir: string, _options: unknown, command: Command) => {
      // A tailnet whose tests fail has no snapshot: reading it reports each failure and ends here.
      const { policy } = readTailnet(dir);
      const tests = policy.document?.tests.length ?? 0;
      const sshTests = policy.document?.sshTests.length ?? 0;
      outputOf(command).show({ ok: true, tests, sshTests }, () =>
        tests + sshTests === 0 ? 'The policy has no tests.' : `${tests + sshTests} tests hold.`,
      );
    });
};

const registerCoverage = (program: Command): void => {
  program
    .command('coverage')
    .description('list the rules that no test exercises')
    .argument('[dir]', 'the tailnet folder', '.')
    .option('--nodes <file>', 'the machines that exist, from `tailplane nodes export`')
    .option('--strict', 'exit with 1 where a rule is not exercised')
    .addHelpText('after', '\nExample:\n  tailplane coverage tailnet.example')
    .action((dir: string, options: Options & { readonly strict?: boolean }, command: Command) => {
      const rules = exerciseRules(load(dir, options));
      const missing = rules.filter(({ tests }) => tests.length === 0);
      const out = outputOf(command);
      const value = rules.map(({ rule, section, tests }) => ({
        section,
        index: rule.index,
        file: rule.at.file,
        line: rule.at.start.line,
        tests,
      }));
      out.show(value, () =>
        [
          ...(rules.length === 0
            ? []
            : [
                table(
                  ['RULE', 'PLACE', 'TESTS'],
                  rules.map(({ rule, section, tests }) => [
                    `${section} ${rule.index + 1}`,
                    formatAt(rule.at),
                    tests.length === 0 ? out.style('yellow', 'none') : tests.map((index) => index + 1).join(', '),
                  ]),
                  out.style,
                ),
              ]),
          rules.length === 0
            ? 'There are no rules.'
            : `${rules.length - missing.length} of ${rules.length} rules are exercised.`,
        ].join('\n'),
      );
      if (options.strict && missing.length > 0) process.exitCode = EXIT.findings;
    });
};

/** Columns of names that traffic is lined up behind. */
const NAME_WIDTH = 44;

const registerMatrix = (program: Command): void => {
  program
    .command('matrix')
    .description('show who reaches what, as a page or a table')
    .argument('[dir]', 'the tailnet folder', '.')
    .option('--nodes <file>', 'the machines that exist, from `tailplane nodes export`')
    .addOption(new Option('--format <format>', 'how to show it').choices(['text', 'html', 'json']).default('text'))
    .addHelpText('after', '\nExample:\n  tailplane matrix tailnet.example --format html > matrix.html')
    .action((dir: string, options: Options & { readonly format: string }, command: Command) => {
      const tailnet = load(dir, options);
      const matrix = createMatrix(tailnet);
      if (options.format === 'html') {
        process.stdout.write(renderMatrixHtml(matrix, tailnet.snapshot.tailnet.name));
        return;
      }
      const out = outputOf(command);
      if (options.format === 'json') process.stdout.write(`${JSON.stringify(matrix, null, 2)}\n`);
      else {
        out.show(matrix, () =>
          matrix.rows
            .map((row, i) => {
              const reached = matrix.columns.flatMap((column, j) => {
                const traffic = matrix.cells[i]?.[j] ?? '';
                return traffic === '' ? [] : [[plain(column), traffic] as const];
              });
              const width = Math.min(Math.max(...reached.map(([column]) => column.length)), NAME_WIDTH);
              const lines = reached.map(([column, traffic]) =>
                column.length > NAME_WIDTH
                  ? `  ${column}\n  ${' '.repeat(width)}  ${traffic}`
                  : `  ${column.padEnd(width)}  ${traffic}`,
              );
              return [out.style('bold', plain(row)), ...lines].join('\n');
            })
            .join('\n\n'),
        );
      }
    });
};

const registerBlame = (program: Command): void => {
  program
    .command('blame')
    .description('tell which commit gave this access, and the line that gives it now')
    .argument('<src>', 'person, group, tag, machine, host or address')
    .argument('<dst>', 'the same, with a port: tag:db:5432')
    .option('--dir <dir>', 'the tailnet folder, in its repository', '.')
    .option('--nodes <file>', 'the machines that exist, from `tailplane nodes export`')
    .addHelpText('after', '\nExample:\n  tailplane blame bob@example.com tag:db:5432')
    .action(async (source: string, target: string, options: Options & { readonly dir: string }, command: Command) => {
      const { name, port } = parseTarget(target);
      const nodes = readNodeList(options.nodes);
      const isAllowed = (tailnet: ReviewedTailnet): string | undefined => {
        const answers = explain(tailnet, { source, destination: name, port, protocol: 6 });
        const [first] = answers.ok ? answers.value : [];
        if (!answers.ok || !first || !answers.value.every(({ verdict }) => verdict.allowed) || !first.verdict.allowed)
          return undefined;
        const { section, index, at } = first.verdict.rule;
        return `rule ${index + 1} of ${section}${at ? ` (${formatAt(at)})` : ''}`;
      };
      let since: { readonly commit: SourceCommit; readonly rule: string } | undefined;
      for await (const { commit, snapshot } of readHistory(options.dir)) {
        const rule = snapshot && isAllowed(reviewTailnet(snapshot, nodes ?? imagineNodes(snapshot)));
        // A commit that the server would have refused changed nothing: the state before it went on.
        if (snapshot && rule === undefined) break;
        if (rule !== undefined) since = { commit, rule };
      }
      if (!since) {
        throw new Failure(
          EXIT.findings,
          'cli/not-allowed',
          `${source} may not reach ${target} now.`,
          '`tailplane explain` says what is missing.',
        );
      }
      const { commit, rule } = since;
      outputOf(command).show(
        {
          source,
          destination: name,
          port,
          commit: commit.id,
          author: commit.author.name,
          at: new Date(commit.author.atMs).toISOString(),
          subject: commit.subject,
          rule,
        },
        () =>
          [
            `${plain(source)} → ${plain(target)} since ${commit.id.slice(0, 10)}`,
            `  ${plain(commit.subject)}`,
            `  ${plain(commit.author.name)}, ${new Date(commit.author.atMs).toISOString().slice(0, 10)}, by ${rule} of ${path.basename(path.resolve(options.dir))}`,
          ].join('\n'),
      );
    });
};

export const registerOverview = (program: Command): void => {
  registerTest(program);
  registerCoverage(program);
  registerMatrix(program);
  registerBlame(program);
};
