// How pages look, light and dark, wide and narrow, and the policy that lets a browser take this style and nothing else. The
// style is inline, so that a page is one answer, and named by its hash, so that no other style can slip in.

import { createHash } from 'node:crypto';

export const STYLE = `
:root { color-scheme: light dark;
  --page: light-dark(#f2f5f7, #0d1217); --glow: light-dark(#dcebe6, #14262a); --card: light-dark(#ffffff, #151c24);
  --well: light-dark(#f5f8fa, #0f151b); --ink: light-dark(#15202b, #e7edf3); --soft: light-dark(#526272, #9fb0c1);
  --line: light-dark(#dbe3ea, #293542); --edge: light-dark(#7b8b9a, #647687);
  --go: light-dark(#0b6650, #4fd6a8); --on-go: light-dark(#ffffff, #06231a); --go-well: light-dark(#e4f3ed, #12302a);
  --stop: light-dark(#9f2a24, #ff9c93); --stop-well: light-dark(#fbeae8, #38191a);
  --wait: light-dark(#7a4f00, #f2c46d); --wait-well: light-dark(#fdf2dc, #33270f); }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; min-height: 100vh; min-height: 100dvh; display: grid; grid-template-rows: auto 1fr auto; justify-items: center;
  gap: 1.5rem; padding: 1.5rem 1rem; color: var(--ink);
  background: radial-gradient(60rem 30rem at 50% -12rem, var(--glow), transparent) var(--page) no-repeat;
  font: 1.0625rem/1.6 system-ui, -apple-system, 'Segoe UI', sans-serif; }
header, footer { width: min(34rem, 100%); color: var(--soft); font-size: .9375rem; }
header { display: flex; align-items: center; gap: .6rem; font-weight: 600; letter-spacing: .01em; }
header svg { width: 1.4rem; height: 1.4rem; color: var(--go); flex: none; }
footer { text-align: center; }
main { width: min(34rem, 100%); align-self: center; background: var(--card); border: 1px solid var(--line); border-radius: 1.25rem;
  padding: clamp(1.25rem, 5vw, 2.25rem); box-shadow: 0 1px 2px rgb(0 20 30 / .05), 0 1.25rem 3rem -1.5rem rgb(0 20 30 / .22); }
h1 { margin: 0; font-size: clamp(1.35rem, 4.5vw, 1.65rem); line-height: 1.25; letter-spacing: -.012em; text-wrap: balance; }
h2 { margin: 0 0 .75rem; font-size: 1.0625rem; line-height: 1.35; }
p { margin: .6rem 0 0; text-wrap: pretty; }
.soft { color: var(--soft); }
.state { display: inline-flex; align-items: center; gap: .5rem; margin: 0 0 1rem; padding: .2rem .8rem; border-radius: 99rem;
  font-size: .875rem; font-weight: 600; }
.state::before { content: ''; width: .5rem; height: .5rem; border-radius: 50%; background: currentColor; }
.state.wait { color: var(--wait); background: var(--wait-well); }
.state.go { color: var(--go); background: var(--go-well); }
.state.stop { color: var(--stop); background: var(--stop-well); }
.big { display: grid; place-items: center; width: 3.25rem; height: 3.25rem; margin-bottom: 1.1rem; border-radius: 50%; }
.big svg { width: 1.6rem; height: 1.6rem; }
.big.go { color: var(--go); background: var(--go-well); } .big.stop { color: var(--stop); background: var(--stop-well); }
.big.over { color: var(--soft); background: var(--well); }
dl { display: grid; grid-template-columns: minmax(5.5rem, max-content) 1fr; gap: .5rem 1.5rem; margin: 1.5rem 0 0;
  padding: 1.1rem 1.25rem; background: var(--well); border: 1px solid var(--line); border-radius: .9rem; }
dt { color: var(--soft); } dd { margin: 0; font-weight: 500; overflow-wrap: anywhere; }
section, form { margin-top: 1.75rem; padding-top: 1.5rem; border-top: 1px solid var(--line); }
code { font: .9375rem/1.5 ui-monospace, 'SF Mono', 'Cascadia Mono', monospace; }
pre { margin: .75rem 0 0; padding: .8rem 1rem; background: var(--well); border: 1px solid var(--line); border-radius: .7rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
pre code { user-select: all; }
label { display: block; font-weight: 600; }
.hint { margin: .15rem 0 0; color: var(--soft); font-size: .9375rem; }
input, select { display: block; width: 100%; margin-top: .6rem; padding: .7rem .9rem; min-height: 3rem; font: inherit; color: inherit;
  background: var(--card); border: 1px solid var(--edge); border-radius: .7rem; }
input[aria-invalid] { border-color: var(--stop); }
.problem, .warning { margin: 0 0 1.1rem; padding: .75rem 1rem; border-radius: .7rem; }
.problem { color: var(--stop); background: var(--stop-well); font-weight: 500; }
.warning { color: var(--wait); background: var(--wait-well); font-size: .9375rem; }
.who { display: flex; align-items: center; justify-content: space-between; gap: 1rem; flex-wrap: wrap; }
.who p { margin: 0; }
.row { display: flex; gap: .75rem; margin-top: 1.25rem; flex-wrap: wrap; }
button, .button { display: inline-block; min-height: 3rem; padding: .65rem 1.4rem; font: inherit; font-weight: 600; line-height: 1.5;
  text-align: center; text-decoration: none; color: var(--ink); background: transparent; border: 1px solid var(--edge);
  border-radius: .7rem; cursor: pointer; }
button.yes { color: var(--on-go); background: var(--go); border-color: var(--go); }
button.plain { min-height: 0; padding: .15rem .2rem; border: 0; color: var(--go); text-decoration: underline; text-underline-offset: .2em; }
button:hover, .button:hover { filter: brightness(1.08); border-color: var(--ink); }
:focus-visible { outline: 3px solid var(--go); outline-offset: 3px; }
@media (max-width: 30rem) {
  body { padding: 1rem .75rem; gap: 1rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd + dt { margin-top: .7rem; } dt { font-size: .875rem; }
  .row > * { flex: 1 1 100%; } pre { padding: .75rem; } pre code { font-size: .8125rem; }
}
@media (forced-colors: active) { .state::before { background: CanvasText; } main { border-width: 2px; } }
`;

const hash = createHash('sha256').update(STYLE).digest('base64');

/** No script, no picture, no frame, no other style, and forms that go nowhere but here. */
export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${hash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`;
