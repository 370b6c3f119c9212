// `tailplane doctor`: what is wrong or risky in the data folder and at its server, each with what to do about it.

import type { Command } from 'commander';
import type { Severity } from '../base/diagnostic.ts';
import type { StatusAnswer } from '../http/answers.ts';
import { realDisk } from '../registry/disk.ts';
import { diagnose, type Finding } from '../registry/doctor.ts';
import { runSelfTest, type SelfTestAnswer, type SelfTestTarget } from '../server/self-test.ts';
import { EXIT, Failure } from './failure.ts';
import { plain, type Output } from './output.ts';
import { dataFolderOf, outputOf, serverOf } from './server.ts';
import { packageVersion } from './version.ts';

const COLOUR: Readonly<Record<Severity, Parameters<Output['style']>[0]>> = {
  error: 'red',
  warning: 'yellow',
  info: 'dim',
};

/** What the running server says: the state of git, and whether it is of this version. Undefined if none runs. */
const askServer = async (command: Command): Promise<StatusAnswer | undefined> => {
  try {
    return await serverOf(command).admin.get<StatusAnswer>('/status');
  } catch (error) {
    if (error instanceof Failure && error.exitCode === EXIT.unreachable) return undefined;
    throw error;
  }
};

/** What a running server's status gives away. */
export const findingsOf = (status: Pick<StatusAnswer, 'problems' | 'version'>): Finding[] => [
  ...status.problems.map((problem): Finding => ({
    code: 'server/problem',
    severity: 'warning',
    message: `The server says: ${problem}.`,
    help: '`tailplane status` shows more. The last good revision goes on serving.',
  })),
  ...(status.version === packageVersion()
    ? []
    : [
        {
          code: 'server/other-version' as const,
          severity: 'warning' as const,
          message: `The server runs version ${status.version}, this command is ${packageVersion()}.`,
          help: 'Restart the server after an update.',
        },
      ]),
];

/** What a client would stumble over. */
export const failuresOf = (answers: readonly SelfTestAnswer[]): Finding[] =>
  answers
    .filter(({ state }) => state !== 'works')
    .map(({ state, text, help }) => ({
      code: 'server/self-test',
      severity: state === 'fails' ? 'warning' : 'info',
      message: text,
      help: help ?? 'That alone is no harm.',
    }));

const doctor = async (_options: unknown, command: Command): Promise<void> => {
  const out = outputOf(command);
  const folder = dataFolderOf(command);
  const status = await askServer(command);
  const { findings: own, facts } = await diagnose(realDisk, folder, Date.now());
  const tried = status ? await runSelfTest(status.selfTest as SelfTestTarget, Date.now) : [];
  const findings = [...own, ...(status ? findingsOf(status) : []), ...failuresOf(tried)];
  const about = [
    `Tailplane ${packageVersion()} on Node ${process.versions.node}`,
    ...(status ? [`serves ${status.tailnet}, revision ${status.revision}, ${status.state}`] : []),
    ...facts,
    ...tried.filter(({ state }) => state === 'works').map(({ text }) => text),
    ...(status ? [] : ['No server runs here, so nothing was tried as a client would.']),
  ];
  out.show({ folder, facts: about, findings }, () =>
    [
      ...about.map((fact) => `${out.style('green', '·')} ${plain(fact)}`),
      ...findings.flatMap(({ code, severity, message, help }) => [
        `${out.style(COLOUR[severity], severity)}[${code}]: ${plain(message)}`,
        `  ${help}`,
      ]),
      findings.length === 0 ? 'Nothing is wrong.' : '',
    ]
      .join('\n')
      .trimEnd(),
  );
  if (findings.some(({ severity }) => severity !== 'info')) process.exitCode = EXIT.findings;
};

export const registerDoctor = (program: Command): void => {
  program
    .command('doctor')
    .description('look for what is wrong in the data folder, also beside a running server')
    .addHelpText('after', '\nExample:\n  tailplane doctor --data /var/lib/tailplane')
    .action(doctor);
};
