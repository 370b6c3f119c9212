// Pages as text: a template tag that escapes every value, so that a host name can't become markup, and the one frame that
// all pages share. Pages work without script; their style is inline so that nothing else has to be fetched.

import { STYLE } from './style.ts';

/** Markup that is safe as it is, because `html` made it. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => ESCAPES[character] as string);

type Value = Markup | string | number | readonly Markup[] | undefined;

const render = (value: Value): string => {
  if (value === undefined) return '';
  if (value instanceof Markup) return value.text;
  if (Array.isArray(value)) return (value as readonly Markup[]).map(({ text }) => text).join('');
  return escapeHtml(String(value as string | number));
};

/** `html\`<b>${name}</b>\``: literal parts are markup, values are escaped. */
export const html = (parts: TemplateStringsArray, ...values: readonly Value[]): Markup =>
  new Markup(parts.reduce((text, part, i) => `${text}${render(values[i - 1])}${part}`));

/** Two wings and a tail: drawn here, so that nothing has to be fetched. */
const MARK = html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linejoin="round" aria-hidden="true"><path d="M12 2.5 14 10l8 4v2l-8-1.5-.6 4L16 20.500v1L12 20.500 8 21.500v-1l2.600-2-.6-4L2 16v-2l8-4z"/></svg>`;

/** A whole page, as one answer: nothing else is fetched. `content` stands in the main landmark. */
export const page = (title: string, content: Markup): string =>
  html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title}</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<header>${MARK}Tailplane</header>
<main>${content}</main>
<footer>The control server of a private network</footer>
</body>
</html>
`.text;
