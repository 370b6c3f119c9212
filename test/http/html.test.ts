// Values in pages are text, whatever they look like.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { html, page } from '../../src/http/html.ts';

test('values are escaped, markup made by the tag is not', () => {
  const name = `"><script>alert('x')</script>&`;
  assert.equal(
    html`<b title="${name}">${html`<i>${1}</i>`}</b>`.text,
    '<b title="&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;"><i>1</i></b>',
  );
  assert.equal(html`${[html`<a>`, html`<b>`]}${undefined}`.text, '<a><b>');
});

test('a page has no script, and a title that is text', () => {
  const text = page('<Tail>', html`<p>hello</p>`);
  assert.match(text, /<title>&lt;Tail&gt;<\/title>/);
  assert.doesNotMatch(text, /<script/);
});
