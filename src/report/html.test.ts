import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { both, escapeHtml, html } from './html.ts';

describe('the html template tag', () => {
  it('escapes inserted text and keeps markup', () => {
    const evil = `<script>alert("1")</script>&'`;
    expect(html`<b title="${evil}">${evil}</b>`.markup).toBe(
      '<b title="&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;">&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;</b>',
    );
    expect(html`<p>${[html`<i>${1}</i>`, null, false, undefined, 'a']}</p>`.markup).toBe('<p><i>1</i>a</p>');
  });

  it('never lets text become markup or a character that HTML cannot hold', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const escaped = escapeHtml(text);
        expect(escaped).not.toMatch(/[<>"']/);
        expect(escaped.replace(/&(amp|lt|gt|quot|#39);/g, '')).not.toContain('&');
        // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there.
        expect(escaped).not.toMatch(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]|\p{Surrogate}/u);
      }),
    );
  });

  it('keeps Korean, emoji and line breaks as they are', () => {
    expect(escapeHtml('고래 🐋\n\tend')).toBe('고래 🐋\n\tend');
  });

  it('marks the language of a text', () => {
    expect(both({ en: 'a<b', ko: '가' }).markup).toBe(
      '<span class="en" lang="en">a&lt;b</span><span class="ko" lang="ko">가</span>',
    );
  });
});
