// Pages as text: a template tag that escapes every value, so that a host name can't become markup, and the one frame that
// all pages share. Pages work without script; their style is inline so that nothing else has to be fetched.

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

const STYLE = `
:root { color-scheme: light dark; --ink: light-dark(#1b2430, #e8ecf1); --soft: light-dark(#5c6b7d, #9aa7b6);
  --line: light-dark(#dde3ea, #303a46); --card: light-dark(#ffffff, #1b222b); --page: light-dark(#f3f5f8, #12171d);
  --go: light-dark(#0b6b4f, #3ecf9d); --stop: light-dark(#a3312a, #ff8f86); }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 2rem 1rem; background: var(--page);
  color: var(--ink); font: 1.0625rem/1.6 system-ui, sans-serif; }
main { width: min(36rem, 100%); background: var(--card); border: 1px solid var(--line); border-radius: 1rem; padding: 2.25rem; }
h1 { margin: 0 0 .5rem; font-size: 1.5rem; line-height: 1.25; text-wrap: balance; }
p { margin: .75rem 0; } .soft { color: var(--soft); } .go { color: var(--go); } .stop { color: var(--stop); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1.25rem; margin: 1.5rem 0; padding: 1.25rem 0;
  border-block: 1px solid var(--line); } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
code, pre { font: .9375rem/1.5 ui-monospace, monospace; } pre { margin: .75rem 0; padding: .85rem 1rem; overflow-x: auto;
  background: var(--page); border: 1px solid var(--line); border-radius: .6rem; }
form { margin-top: 1.5rem; } label { display: block; font-weight: 600; margin-bottom: .35rem; }
input { width: 100%; font: inherit; padding: .6rem .8rem; color: inherit; background: var(--page); border: 1px solid var(--soft);
  border-radius: .6rem; } .row { display: flex; gap: .75rem; margin-top: 1rem; flex-wrap: wrap; }
button { font: inherit; font-weight: 600; padding: .6rem 1.3rem; border-radius: .6rem; cursor: pointer; border: 1px solid var(--line);
  background: transparent; color: inherit; } button.yes { background: var(--go); border-color: var(--go); color: var(--card); }
:focus-visible { outline: 3px solid var(--go); outline-offset: 2px; }
`;

/** A whole page. `refreshSeconds` lets a page that waits look again by itself, without script. */
export const page = (title: string, content: Markup, refreshSeconds?: number): string =>
  html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        ${refreshSeconds === undefined ? undefined : html`<meta http-equiv="refresh" content="${refreshSeconds}" />`}
        <title>${title}</title>
        <style>
          ${new Markup(STYLE)}
        </style>
      </head>
      <body>
        <main>${content}</main>
      </body>
    </html> `.text;

/** Nothing but our own inline style and our own forms. */
export const PAGE_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
