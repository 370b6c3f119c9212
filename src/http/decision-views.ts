// What the pages say on which a person decides: the question while it waits, the same for somebody who has shown who they are,
// the answer, and the one page for links that lead nowhere. Every value is text, whoever wrote it.

import { html, page } from './html.ts';
import type { Markup } from './html.ts';

/** Something that waits for a person. */
export interface Question {
  readonly title: string;
  /** Said before the facts: whom it concerns, when to stop. */
  readonly caution: string;
  /** Names and values, in order. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  /** The command with which an administrator says yes. */
  readonly command: string;
  readonly yes: string;
  readonly no: string;
  readonly state: 'pending' | 'approved' | 'denied';
  /** Shown when it is decided. */
  readonly approved: string;
  readonly denied: string;
}

/** What somebody who has shown who they are can decide. */
export interface Offer {
  /** Whose decision it is: a name, and what they are. */
  readonly as: string;
  /** What a yes comes to. */
  readonly consequence: string;
  /** The person whom a yes is for, where there is a choice. */
  readonly choice?: {
    readonly label: string;
    readonly options: readonly { readonly value: string; readonly text: string }[];
    readonly chosen: string;
  };
}

const icon = (path: string): Markup =>
  html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="${path}"/></svg>`;
const CHECK = icon('M5 12.5l4.500 4.500L19 7.500');
const CROSS = icon('M7 7l10 10M17 7L7 17');
const CLOCK = icon('M12 7v5l3 2M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18');

export const overPage = page(
  'This link is over',
  html`<div class="big over">${CLOCK}</div>
<h1>This link is over</h1>
<p>It was good for a short time, or it isn’t complete.</p>
<p class="soft">Start again where it came from: you are given a fresh one.</p>`,
);

export const foreignPage = page(
  'Not from here',
  html`<div class="big stop">${CROSS}</div>
<h1>This form came from another site</h1>
<p>Nothing was decided.</p>
<p class="soft">Open the link itself, from where you were given it. If you did: the server is reached under another name than its own, and its administrator can set that right with <code>--url</code>.</p>`,
);

const facts = (list: Question['facts']): Markup =>
  html`<dl>${list.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;

const problemOf = (problem: string | undefined): Markup | undefined =>
  problem === undefined ? undefined : html`<p class="problem" id="problem" role="alert">${problem}</p>`;

/** `plain`: the page comes over HTTP from elsewhere, so others may read what is sent. */
export interface Form {
  readonly plain: boolean;
}

const UNENCRYPTED = html`<p class="warning">This page came without encryption. Show a credential only in a network that you trust.</p>`;

const signIn = ({ plain }: Form, problem: string | undefined): Markup => html`<form method="post">
<h2>Decide on this page</h2>
${problemOf(problem)}
${plain ? UNENCRYPTED : undefined}
<label for="credential">Your credential</label>
<p class="hint" id="hint">It begins with <code>tpkey-api-</code> and is used for this one question.</p>
<input id="credential" name="credential" type="password" required maxlength="256" autocomplete="current-password" autocapitalize="none" spellcheck="false" aria-describedby="${problem === undefined ? 'hint' : 'problem hint'}"${problem === undefined ? undefined : html` aria-invalid="true"`}>
<div class="row"><button class="yes">Continue</button></div>
</form>`;

/** For everybody who has the link. `form` is null where no credential is declared that could be shown. */
export const waitingPage = (question: Question, form: Form | null, problem?: string): string =>
  page(
    problem === undefined ? question.title : `Not accepted – ${question.title}`,
    html`<p class="state wait">Waits for a decision</p>
<h1>${question.title}</h1>
<p class="soft">${question.caution}</p>
${facts(question.facts)}
${form ? signIn(form, problem) : undefined}
<section aria-labelledby="terminal">
<h2 id="terminal">${form ? 'Or in a terminal of the server' : 'An administrator says yes in a terminal of the server'}</h2>
<pre><code>${question.command}</code></pre>
<p class="soft">This page doesn’t change by itself.</p>
<div class="row"><a class="button" href="">Look again</a></div>
</section>`,
  );

const choiceOf = ({
  label,
  options,
  chosen,
}: NonNullable<Offer['choice']>): Markup => html`<label for="person">${label}</label>
<select id="person" name="person" required>${options.map(
  ({ value, text }) => html`<option value="${value}"${value === chosen ? html` selected` : undefined}>${text}</option>`,
)}</select>`;

export const offerPage = (question: Question, offer: Offer, formToken: string, problem?: string): string =>
  page(
    question.title,
    html`<p class="state wait">Your decision</p>
<h1>${question.title}</h1>
<p class="soft">${question.caution}</p>
${facts(question.facts)}
<form method="post">
${problemOf(problem)}
<input type="hidden" name="token" value="${formToken}">
${offer.choice ? choiceOf(offer.choice) : undefined}
<p${offer.choice ? html` class="hint"` : undefined}>${offer.consequence}</p>
<div class="row"><button class="yes" name="decision" value="approve">${question.yes}</button><button name="decision" value="deny">${question.no}</button></div>
</form>
<form method="post" class="who">
<input type="hidden" name="token" value="${formToken}">
<p class="soft">You are <strong>${offer.as}</strong></p>
<button class="plain" name="decision" value="leave">Not you?</button>
</form>`,
  );

export const decidedPage = ({ state, approved, denied }: Question): string =>
  state === 'approved'
    ? page('Done', html`<div class="big go">${CHECK}</div><h1>Done</h1><p>${approved}</p><p class="soft">You can close this page.</p>`) // prettier-ignore
    : page('Refused', html`<div class="big stop">${CROSS}</div><h1>Refused</h1><p>${denied}</p><p class="soft">You can close this page.</p>`); // prettier-ignore
