// One pass over the text before any parser sees it: finds strings, comments and brackets, and stops at the first thing that
// would make a parser slow, recurse without bound, or say something unhelpful. The parsers then get text of the same
// length without comments, with brackets that match and are not too deep.

/** `json5` for our own files; `hujson` (JSON with comments and trailing commas) for a hosted `policy.hujson`. */
export type Dialect = 'json5' | 'hujson';

export const DEPTH_LIMIT = 64;
export const VALUES_LIMIT = 250_000;

export interface Comment {
  readonly start: number;
  readonly end: number;
}

export interface Problem {
  readonly code: 'config/syntax' | 'config/too-deep' | 'config/too-many-values';
  readonly start: number;
  readonly end: number;
  readonly message: string;
  readonly help?: string;
  readonly related?: { readonly start: number; readonly end: number; readonly message: string };
}

/** What stands around an offset: the innermost open bracket, and whether its current member has its colon. */
export interface Context {
  readonly opener: '{' | '[' | '';
  readonly colonSeen: boolean;
}

export interface Scan {
  /** The text with every comment blanked out; offsets stay. */
  readonly bare: string;
  readonly comments: readonly Comment[];
  readonly problem?: Problem;
  readonly context: Context;
}

interface Open {
  readonly at: number;
  readonly character: '{' | '[';
  colonSeen: boolean;
}

const syntax = (start: number, end: number, message: string, help?: string): Problem => ({
  code: 'config/syntax',
  start,
  end,
  message,
  ...(help === undefined ? {} : { help }),
});

const ESCAPES = {
  json5: /\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|0(?!\d)|\r\n|[^ux\d])/y,
  hujson: /\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])/y,
};

/** The offset after a string that opens at `start`, or what is wrong with it. */
const endOfString = (text: string, start: number, dialect: Dialect): number | Problem => {
  const quote = text.charCodeAt(start);
  for (let i = start + 1; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === quote) return i + 1;
    if (c === 92) {
      const escape = ESCAPES[dialect];
      escape.lastIndex = i;
      if (!escape.test(text)) {
        return syntax(i, Math.min(i + 2, text.length), 'This is no escape.', 'A backslash itself is written \\\\.');
      }
      i = escape.lastIndex - 1;
    } else if (c === 10 || c === 13) {
      return syntax(start, i, 'This string has no closing quote.', 'Close it on the line where it begins.');
    } else if (c < 32 && dialect === 'hujson') {
      return syntax(i, i + 1, 'A control character stands in a string.', 'Write it as an escape, for example \\t.');
    }
  }
  return syntax(start, text.length, 'This string has no closing quote.');
};

/** Reads up to `until`; give an offset inside to learn its context. */
export const scanText = (text: string, dialect: Dialect, until = text.length): Scan => {
  const comments: Comment[] = [];
  const stack: Open[] = [];
  const parts: string[] = [];
  let copied = 0;
  let values = 0;
  let problem: Problem | undefined;

  let i = 0;
  while (i < until && problem === undefined) {
    const c = text.charCodeAt(i);
    if (c === 34 || c === 39) {
      if (c === 39 && dialect === 'hujson') {
        problem = syntax(
          i,
          i + 1,
          'Strings have double quotes in HuJSON.',
          'Write "…", or name the file policy.json5.',
        );
        break;
      }
      const end = endOfString(text, i, dialect);
      if (typeof end !== 'number') problem = end;
      else i = end;
    } else if (c === 47 && (text.charCodeAt(i + 1) === 47 || text.charCodeAt(i + 1) === 42)) {
      let end: number;
      if (text.charCodeAt(i + 1) === 47) {
        end = i;
        while (end < text.length && text.charCodeAt(end) !== 10 && text.charCodeAt(end) !== 13) end++;
      } else {
        const close = text.indexOf('*/', i + 2);
        if (close < 0) {
          problem = syntax(i, i + 2, 'This comment has no end.', 'Close it with */.');
          break;
        }
        end = close + 2;
      }
      comments.push({ start: i, end });
      parts.push(text.slice(copied, i), ' '.repeat(end - i));
      copied = end;
      i = end;
    } else if (c === 123 || c === 91) {
      stack.push({ at: i, character: c === 123 ? '{' : '[', colonSeen: false });
      values++;
      if (stack.length > DEPTH_LIMIT) {
        problem = {
          code: 'config/too-deep',
          start: i,
          end: i + 1,
          message: `Values are nested more than ${DEPTH_LIMIT} deep.`,
          help: 'No file of a tailnet needs this; check for brackets that are never closed.',
        };
      }
      i++;
    } else if (c === 125 || c === 93) {
      const open = stack.pop();
      const closer = c === 125 ? '}' : ']';
      if (open === undefined) problem = syntax(i, i + 1, `This \`${closer}\` closes nothing.`);
      else if ((open.character === '{') !== (c === 125)) {
        problem = {
          ...syntax(i, i + 1, `This \`${closer}\` cannot close the \`${open.character}\` that is open.`),
          related: { start: open.at, end: open.at + 1, message: 'opened here' },
        };
      }
      i++;
    } else {
      const top = stack.at(-1);
      if (c === 44) {
        values++;
        if (top) top.colonSeen = false;
      } else if (c === 58 && top) top.colonSeen = true;
      i++;
    }
    if (values > VALUES_LIMIT && problem === undefined) {
      problem = {
        code: 'config/too-many-values',
        start: i - 1,
        end: i,
        message: `The file holds more than ${VALUES_LIMIT} values.`,
      };
    }
  }
  const top = stack.at(-1);
  if (problem === undefined && until === text.length && top) {
    problem = {
      ...syntax(text.length, text.length, `The file ends before its \`${top.character}\` is closed.`),
      related: { start: top.at, end: top.at + 1, message: 'opened here' },
    };
  }
  parts.push(text.slice(copied));
  const context: Context = { opener: top?.character ?? '', colonSeen: top?.colonSeen ?? false };
  return { bare: parts.join(''), comments, context, ...(problem === undefined ? {} : { problem }) };
};
