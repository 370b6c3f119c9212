// One run of the Action: what it is told by GitHub, what it finds, and what it says where. It reads the checkout and, where
// the base of a pull request isn't in it, the files of the base over the API. It runs nothing of what it reads.

import path from 'node:path';
import { compareDiagnostics, hasErrors, type Diagnostic } from '../base/diagnostic.ts';
import { parseRevision } from '../base/ids.ts';
import type { Outcome } from '../base/outcome.ts';
import { accept } from '../base/outcome.ts';
import { renderAnnotations } from '../review/annotations.ts';
import { printable } from '../review/excerpt.ts';
import { isAllowed, readAllowances } from '../review/guard.ts';
import { lint } from '../review/lint/lint.ts';
import { renderMarkdown } from '../review/markdown.ts';
import { parseNodeList } from '../review/node-list.ts';
import { planFindings } from '../review/plan-findings.ts';
import { renderPlanMarkdown, type PlanMarkdownOptions } from '../review/plan-markdown.ts';
import { summaryOf } from '../review/plan-words.ts';
import { planChange, type Plan } from '../review/plan.ts';
import type { Report } from '../review/report.ts';
import type { Risk } from '../review/risk.ts';
import { renderSarif } from '../review/sarif.ts';
import { imagineNodes, reviewTailnet } from '../review/tailnet.ts';
import { compileSnapshot } from '../snapshot/compile.ts';
import { readFolder } from '../source/folder.ts';
import { readLocalRevision } from '../source/repository.ts';
import { folderRevision, TAILNET_FILES } from '../source/tree.ts';
import { COMMENT_LIMIT, type GitHub } from './github.ts';

export interface ReviewInputs {
  /** The checkout. */
  readonly workspace: string;
  /** The tailnet folder in it; `` for its root. */
  readonly folder: string;
  /** The commit to compare with; absent on the first push of a branch. */
  readonly base: string | undefined;
  /** The commit that is reviewed, and the address of the repository's pages: lines of the comment lead there. */
  readonly head: string | undefined;
  readonly webUrl: string | undefined;
  readonly pullRequest: number | undefined;
  /** The text of a list of nodes. */
  readonly nodes: string | undefined;
  readonly comment: boolean;
  readonly strict: boolean;
  readonly failOnRisk: Risk | undefined;
  readonly requireTrailer: boolean;
  /** The message of the commit that is reviewed, for its trailers. */
  readonly commitMessage: string;
  readonly version: string;
  readonly nowMs: number;
}

export interface ReviewResult {
  readonly ok: boolean;
  /** Why it isn't. */
  readonly failures: readonly string[];
  /** Workflow commands for the log. */
  readonly annotations: string;
  readonly summary: string;
  readonly sarif: string;
  readonly plan: Plan | undefined;
  readonly notices: readonly string[];
}

export const MARKER = '<!-- tailplane-review -->';

const RISKS: readonly Risk[] = ['none', 'low', 'medium', 'high'];

/** The tailnet's files at the base: from the checkout where it is deep enough, else over the API. */
const readBase = async (
  inputs: ReviewInputs,
  github: GitHub | undefined,
): Promise<Outcome<ReadonlyMap<string, Uint8Array> | undefined>> => {
  const base = inputs.base as string;
  const local = await readLocalRevision(inputs.workspace, base, inputs.folder).catch(() => undefined);
  if (local?.ok) return accept(local.value.files);
  if (local && local.code === 'source/folder-missing') return accept(undefined);
  if (!github) return local ?? accept(undefined);
  const files = new Map<string, Uint8Array>();
  for (const name of TAILNET_FILES) {
    const file = await github.readFile(path.posix.join(inputs.folder, name), base);
    if (!file.ok) return file;
    if (file.value) files.set(name, file.value);
  }
  return accept(files.size === 0 ? undefined : files);
};

/** Cuts what would be too long, at the end of a line. */
const fit = (text: string, limit: number): string =>
  text.length <= limit
    ? text
    : `${text.slice(0, text.lastIndexOf('\n', limit - 100))}\n\n… the rest is in the job summary.\n`;

const compileFiles = (files: ReadonlyMap<string, Uint8Array>): ReturnType<typeof compileSnapshot> =>
  compileSnapshot({ revision: parseRevision(folderRevision(files)) ?? folderRevision(files), files });

const COMMIT = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/;

/** Where the files of both sides can be looked at. */
const placesOf = ({ webUrl, base = '', head = '', folder }: ReviewInputs): PlanMarkdownOptions => {
  if (webUrl === undefined || !COMMIT.test(base) || !COMMIT.test(head)) return {};
  const path = folder === '' ? '' : `${folder.split('/').map(encodeURIComponent).join('/')}/`;
  const at = (commit: string): string => `${webUrl}/blob/${commit}/${path}`;
  return { places: { before: at(base), after: at(head) } };
};

/** The same finding on both sides: lines may have moved. */
const keyOf = ({ code, message, span }: Diagnostic): string => JSON.stringify([code, message, span?.file]);

/** Never throws on what the files hold; a fault is a bug. */
export const reviewCheckout = async (inputs: ReviewInputs, github: GitHub | undefined): Promise<ReviewResult> => {
  const failures: string[] = [];
  const notices: string[] = [];
  const tree = await readFolder(path.join(inputs.workspace, inputs.folder));
  if (!tree.ok) {
    return {
      ok: false,
      failures: [tree.reason],
      annotations: '',
      summary: `### Tailplane\n\n${tree.reason}\n`,
      sarif: '',
      plan: undefined,
      notices,
    };
  }
  const compiled = compileSnapshot({ revision: tree.value.revision, files: tree.value.files });
  const { diagnostics: found } = lint(compiled, inputs.nowMs);
  const diagnostics = [...found].sort(compareDiagnostics);
  const report: Report = { diagnostics, sources: new Map(compiled.folder.files.map(({ file, text }) => [file, text])) };
  const prefix = inputs.folder === '' ? '' : `${inputs.folder}/`;
  if (hasErrors(diagnostics)) failures.push('The tailnet has errors; the server would refuse this commit.');
  else if (inputs.strict && diagnostics.some(({ severity }) => severity === 'warning'))
    failures.push('The tailnet has warnings, and the input «strict» is set.');

  let plan: Plan | undefined;
  const known = new Set<string>();
  if (compiled.snapshot && inputs.base !== undefined) {
    const base = await readBase(inputs, github);
    const old = base.ok && base.value ? compileFiles(base.value) : undefined;
    const before = old?.snapshot;
    if (old) for (const finding of lint(old, inputs.nowMs).diagnostics) known.add(keyOf(finding));
    if (!base.ok) notices.push(`The base could not be read, so no difference is told: ${base.reason}`);
    else if (!base.value) notices.push('The base has no tailnet in this folder, so everything is new.');
    else if (!before) notices.push('The tailnet at the base has errors, so no difference is told.');
    const given = inputs.nodes === undefined ? undefined : parseNodeList(inputs.nodes);
    if (given && !given.ok) failures.push(given.reason);
    if (before) {
      const nodes = given?.ok ? given.value : imagineNodes(before, compiled.snapshot);
      plan = planChange(reviewTailnet(before, nodes), reviewTailnet(compiled.snapshot, nodes), {
        imagined: given?.ok !== true,
      });
      if (inputs.failOnRisk && RISKS.indexOf(plan.risk) >= RISKS.indexOf(inputs.failOnRisk)) {
        failures.push(`The risk is ${plan.risk}, and the input «fail-on-risk» is ${inputs.failOnRisk}.`);
      }
      const held = plan.guard.filter((finding) => !isAllowed(finding, readAllowances([inputs.commitMessage])));
      if (inputs.requireTrailer && held.length > 0)
        failures.push('The server would hold this change; see above for the line that lets it pass.');
    }
  }

  // What the base had already is no news, unless it is what fails.
  const fresh = diagnostics.filter(
    (finding) => inputs.strict || finding.severity === 'error' || !known.has(keyOf(finding)),
  );
  if (fresh.length < diagnostics.length) {
    const old = diagnostics.length - fresh.length;
    notices.push(
      `${old} ${old === 1 ? 'finding was' : 'findings were'} there before; tailplane lint shows all of them.`,
    );
  }
  // On the lines of the pull request stand what is wrong and what the change gives and takes.
  const told: Report = { ...report, diagnostics: [...fresh, ...(plan ? planFindings(plan) : [])] };
  const parts = [
    ...(plan ? [renderPlanMarkdown(plan, placesOf(inputs))] : []),
    ...(fresh.length > 0 ? [renderMarkdown({ ...report, diagnostics: fresh })] : []),
    ...(!plan && diagnostics.length === 0 ? ['### Tailplane: nothing to report\n'] : []),
    ...notices.map((notice) => `> ${notice}\n`),
  ];
  const summary = parts.join('\n');
  if (inputs.comment && inputs.pullRequest !== undefined && github) {
    const written = await github.writeComment(
      inputs.pullRequest,
      MARKER,
      fit(summary, COMMENT_LIMIT - MARKER.length - 1),
    );
    if (!written.ok) notices.push(`No comment was written (${written.reason}); the job summary has everything.`);
  }
  return {
    ok: failures.length === 0,
    failures,
    annotations: renderAnnotations(told, prefix),
    summary,
    sarif: JSON.stringify(renderSarif(told, { prefix, version: inputs.version }), null, 2),
    plan,
    notices,
  };
};

/** One line for outputs and logs: a second one in the log could be a command to the runner. */
export const headline = ({ plan, failures }: Pick<ReviewResult, 'plan' | 'failures'>): string =>
  printable(failures[0] ?? (plan ? summaryOf(plan) : 'Nothing to report.'));
