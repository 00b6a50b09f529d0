import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cpuSeconds } from '../../../test/helpers/work.node.ts';
import { FORMATS } from '../schema/formats.ts';
import { latin1Json } from '../schema/literal.ts';
import { intersection } from './intersection.ts';
import { patternDfa } from './nfa.ts';
import { parsePattern } from './pattern.ts';

const single = new Uint8Array(256).fill(1);
const dfaOf = (pattern: string) => patternDfa(parsePattern(pattern), single);
const inside = (text: string) => latin1Json(text).slice(1, -1);

/** Strings over few characters, so that patterns are met often; and over all of Unicode. */
const texts = fc.oneof(
  fc.string({
    unit: fc.constantFrom('a', 'b', 'c', '1', '2', '-', '가', '😀', '"', '\\', '\n', ' '),
    maxLength: 7,
  }),
  fc.string({ unit: 'grapheme', maxLength: 4 }),
);

const PATTERNS = [
  ...[
    '^abc$',
    'abc',
    '^a|b$',
    '^(?:a|bc)+$',
    '^[a-c]{2,3}$',
    'a{2}',
    '^a*b+c?$',
    '^(a(b|c))*?$',
    '^.$',
    '.',
    '',
  ],
  ...[
    '^[^a]$',
    '^[^\\d\\s]+$',
    '^\\w+-\\d{1,2}$',
    '\\S\\s\\S',
    '^\\p{L}+$',
    '^\\P{L}+$',
    '^[가-힣]+$',
    '^[\\p{N}_-]*$',
  ],
  ...[
    '^\\u{1f600}$',
    '^\\ud83d\\ude00+$',
    '["\\\\]',
    '^\\x61\\u0062\\.?$',
    '^[\\]\\-^]+$',
    '^(?<x>a){2,}$',
    '^\\cJ|\\0$',
  ],
  ...['(a|b|)(c|1)', '^(?:a+)+$', '^[\\s\\S]{3}$', '^$', '[^]', '^[]$'],
  // Anchors inside, and look-aheads.
  ...['a^b', '(?:a$)', '(?:^a|b$)c?', '^(?:a|^b)*(?:$|c)', '(^)*a', '(a|$)(^|b)'],
  ...[
    '(?=a)[ab]',
    'a(?!b)',
    '^(?!.*a)',
    '^(?=.{2,3}$)[ab1]+$',
    '^(?=[ab])(?=.*1)(?!.*-)[^c]*$',
    '(?=a$|b)[ab]',
  ],
  ...[
    '^(?:a(?=b|가)|b(?!b)|가)*$',
    '^a(?:(?=(?!b).)b|c)?',
    '(?!a|(?=b)b1)[ab]',
    '^(?=\\S)(?!.*\\s$)',
    '(?=)',
    '(?!)',
  ],
  ...['^(?![^])', '(?=["\\\\])[^a](?!\\n)', '^(?:(?!aa|bb).)+$', '^(?:(?!😀).)*$'],
];

describe('a pattern of a JSON schema', () => {
  it.each(PATTERNS)('accepts the strings that the regular expression matches: %s', (pattern) => {
    const dfa = dfaOf(pattern);
    const expression = new RegExp(pattern, 'u');
    fc.assert(
      fc.property(texts, (text) => {
        expect(dfa.takes(inside(text)), text).toBe(expression.test(text));
      }),
      { numRuns: 150 },
    );
  });

  it.each(['(?<=a)b', '(?<!a)b', '(a)\\1', '\\bword', '(?<n>a)\\k<n>'])(
    'is refused when it is %s, which is not supported',
    (pattern) => {
      expect(() => parsePattern(pattern)).toThrow(/not supported/);
    },
  );

  it('is refused when it is not a regular expression', () => {
    expect(() => parsePattern('(')).toThrow(/not a regular expression/);
  });

  it.each(['^(a+)+$', '^(a|aa)*b$', '(x+x+)+y', '^(([a-z])+.)+[A-Z]([a-z])+$'])(
    'is matched quickly when it is %s, on which other matchers hang',
    (pattern) => {
      const seconds = cpuSeconds(() => dfaOf(pattern).takes('a'.repeat(100_000)));
      expect(seconds).toBeLessThan(1.5);
    },
  );

  it.each(['(a|b)*a(a|b){13}', '^.{0,100000}$', '(?:\\p{L}{1,300}){1,300}', '^(a{1000}){1000}$'])(
    'is refused promptly when it is %s, which needs too many states',
    (pattern) => {
      const seconds = cpuSeconds(() => expect(() => dfaOf(pattern)).toThrow(/states|many|smaller/));
      expect(seconds).toBeLessThan(5);
    },
  );

  it('combines with others and with lengths in characters to accept what all accept', () => {
    const dfa = intersection([dfaOf('^[a가😀]+$'), dfaOf('a')], 2, 3, single);
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '가', '😀'), maxLength: 5 }), (text) => {
        const length = Array.from(text).length;
        expect(dfa.takes(inside(text)), text).toBe(text.includes('a') && length >= 2 && length <= 3);
      }),
    );
    expect(intersection([dfaOf('^a+$'), dfaOf('^b+$')], 0, Number.POSITIVE_INFINITY, single).empty).toBe(
      true,
    );
  });

  it('of a format accepts strings of that format', () => {
    const good: Record<string, string> = {
      date: '2024-02-28',
      time: '23:59:59.5+09:00',
      'date-time': '1999-12-31T00:00:00Z',
      uuid: '123e4567-e89b-12d3-a456-426614174000',
      email: 'kim.minsu+x@example.co.kr',
      hostname: 'a-b.example',
      duration: 'P3DT4H',
      ipv4: '192.168.0.255',
      ipv6: '2001:db8:0:0:0:0:0:1',
      uri: 'https://example.org:8080/a/b.html?q=1&r=2#top',
    };
    expect(Object.keys(good).sort()).toEqual(Object.keys(FORMATS).sort());
    for (const [format, text] of Object.entries(good)) expect(dfaOf(FORMATS[format]!).takes(text)).toBe(true);
    for (const text of ['2023-02-29', '1900-02-29', '2023-02-30', '2024-13-01', '2024-04-31']) {
      expect(dfaOf(FORMATS.date!).takes(text)).toBe(false);
    }
  });
});
