// Findings for a pull request or a job summary. Everything in it may come from strangers: no name, comment or line of a file
// can become markup, a link, a mention or the end of a code block.

import type { Diagnostic, Severity } from '../base/diagnostic.ts';
import { excerptOf, printable } from './excerpt.ts';
import { countFindings, describeCounts, type Report } from './report.ts';

const MARK: Readonly<Record<Severity, string>> = { error: '🔴 error', warning: '🟡 warning', info: '🔵 note' };
/** GitHub takes 65,536 characters in a comment; the rest of it needs room too. */
const LIMIT = 40;

/**
 * Plain text. Markup characters become entities. What would become a link, a mention or a reference is parted by an empty
 * comment as well, because GitHub looks for those after entities are resolved.
 */
export const markdownText = (text: string): string =>
  printable(text)
    .replaceAll(/[^\p{L}\p{N} .,]/gu, (c) => `&#${c.codePointAt(0)};`)
    .replaceAll(/&#(?:64|35|58);(?=\S)/g, (entity) => `${entity}<!-- -->`)
    .replaceAll(/www\./gi, (www) => `${www.slice(0, 3)}<!-- -->.`);

/** A fence that no run of backticks in the text can close. */
const fenceFor = (text: string, atLeast: number): string => {
  const longest = Math.max(0, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  return '`'.repeat(Math.max(longest + 1, atLeast));
};

/** Code in a line. Nothing inside of a code span is markup, and nothing is looked for in it. */
export const markdownCode = (text: string): string => {
  const line = printable(text) || ' ';
  const fence = fenceFor(line, 1);
  const pad = /^`|`$/.test(line) ? ' ' : '';
  return `${fence}${pad}${line}${pad}${fence}`;
};

/** Our sentences put code between backticks; the parts are escaped each in its own way. */
export const markdownSentence = (text: string): string =>
  text
    .split('`')
    .map((part, i) => (i % 2 === 0 ? markdownText(part) : markdownCode(part)))
    .join('');

/** A block that nothing inside can end. */
export const markdownBlock = (text: string): string => {
  const fence = fenceFor(text, 3);
  return `${fence}\n${text}\n${fence}`;
};

const renderFinding = ({ severity, code, message, span, help }: Diagnostic, sources: Report['sources']): string => {
  const place = span ? ` in ${markdownCode(`${span.file}:${span.start.line}`)}` : '';
  const lines = [`${MARK[severity]} ${markdownCode(code)}${place}`, '', ...message.split('\n').map(markdownSentence)];
  const excerpt = span && excerptOf(sources.get(span.file), span);
  if (excerpt) {
    const number = `${excerpt.line} | `;
    const underline = ' '.repeat(number.length + excerpt.indent) + '^'.repeat(excerpt.width);
    lines.push('', markdownBlock(`${number}${excerpt.text}\n${underline}`));
  }
  if (help !== undefined) lines.push('', markdownSentence(help));
  return lines.join('\n');
};

export const renderMarkdown = ({ diagnostics, sources }: Report): string => {
  const counts = describeCounts(countFindings(diagnostics));
  const shown = diagnostics.slice(0, LIMIT).map((diagnostic) => renderFinding(diagnostic, sources));
  const rest = diagnostics.length - shown.length;
  return [
    `### Tailplane lint: ${counts}`,
    ...shown,
    ...(rest > 0 ? [`… and ${rest} more; run \`tailplane lint\` to see them all.`] : []),
  ]
    .join('\n\n')
    .concat('\n');
};
