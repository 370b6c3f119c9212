// What a parser means by "unexpected token" in words that help: a comma is missing, a colon is missing, text needs quotes.

import { scanText, type Dialect, type Problem } from './scan.ts';

const WORD = /[\p{L}\p{N}_$.+-]{1,40}/uy;

const tokenEnd = (text: string, start: number): number => {
  const quote = text[start];
  if (quote === '"' || quote === "'") {
    const close = text.indexOf(quote, start + 1);
    return close < 0 ? start + 1 : close + 1;
  }
  WORD.lastIndex = start;
  const word = WORD.exec(text);
  return start + (word ? word[0].length : 1);
};

const lastSolid = (text: string, before: number): number => {
  let i = before - 1;
  while (i >= 0 && /\s/.test(text[i] as string)) i--;
  return i;
};

/** Explains why no parser takes `bare` (text without comments) at `offset`. */
export const explainSyntax = (bare: string, offset: number, dialect: Dialect): Problem => {
  let start = Math.min(Math.max(offset, 0), bare.length);
  while (start < bare.length && /\s/.test(bare[start] as string)) start++;
  const problem = (end: number, message: string, help?: string): Problem => ({
    code: 'config/syntax',
    start,
    end,
    message,
    ...(help === undefined ? {} : { help }),
  });
  if (bare.trim() === '') return problem(start, 'The file holds no value.', 'The smallest document is `{}`.');
  if (start >= bare.length) return problem(start, 'The file ends too early.');

  const end = tokenEnd(bare, start);
  const token = bare.slice(start, end);
  const before = lastSolid(bare, start);
  const previous = before < 0 ? '' : (bare[before] as string);
  const { opener, colonSeen } = scanText(bare, dialect, before + 1).context;
  const startsValue = /^[\p{L}\p{N}_$"'{[.+-]/u.test(token);
  const afterValue = /[\p{L}\p{N}_$"'}\].]/u.test(previous);

  if (startsValue && afterValue) {
    if (opener === '') return problem(end, 'The document ends before this.', 'A file holds one value: `{ … }`.');
    if (opener === '{' && !colonSeen) return problem(end, 'A colon is missing between this and its key.');
    return problem(end, 'A comma is missing before this.');
  }
  if (previous === ':' && /^[,}\]]/.test(token)) return problem(end, 'A value is missing after the colon.');
  if (token === ',') return problem(end, 'There is nothing before this comma.', 'Remove it, or write what is missing.');
  if (opener === '{' && !colonSeen && dialect === 'hujson' && /^[\p{L}_$]/u.test(token)) {
    return problem(end, `The key \`${token}\` needs quotes in HuJSON.`, 'Quote it, or name the file policy.json5.');
  }
  if (opener === '{' && !colonSeen && /^[:}]/.test(token)) return problem(end, 'A key is missing before this.');
  if (/^[\p{L}_$]/u.test(token)) {
    return problem(
      end,
      `\`${token}\` is not a value.`,
      `Text has quotes: "${token}". Else: true, false, null or a number.`,
    );
  }
  return problem(end, `\`${token}\` can't stand here.`);
};
