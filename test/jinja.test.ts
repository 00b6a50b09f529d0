import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { NotSupported } from '../src/jinja/errors.ts';
import { checkProgram, type JinjaReference, renderProgram } from './helpers/jinja.ts';

/** Random programs and what Jinja2 makes of them: test/reference/make_jinja.py. */
const reference = JSON.parse(
  readFileSync(new URL('reference/jinja.json', import.meta.url), 'utf8'),
) as JinjaReference;

describe('random Jinja programs', () => {
  it('render as in Jinja2, or fail as there, or are refused by name', () => {
    const results = reference.programs.map((program) => ({
      ...program,
      ...checkProgram(program, reference.variables),
    }));
    expect(results.length).toBeGreaterThan(400);
    expect(results.filter(({ verdict }) => verdict === 'different')).toEqual([]);
    expect(results.filter(({ verdict }) => verdict === 'refused').length).toBeLessThan(results.length / 20);
  });
});

describe('a chat template in Jinja', () => {
  const render = (source: string) =>
    renderProgram(source, {
      i: 1,
      users: [
        { n: 'b', a: 1 },
        { n: 'a', a: 2 },
      ],
    });

  // Each right side is Jinja2's, as transformers sets it up.
  it.each<[string, string, string]>([
    ['CRLF in the source', '{% if true %}\r\nx\r\ny{% endif %}', 'x\ny'],
    ['CR alone', 'a\rb', 'a\nb'],
    ['CRLF inside of a string', "{{ 'a\r\nb' }}", 'a\nb'],
    ['CRLF after a comment', '{# c #}\r\nx', 'x'],
    ['CRLF at the very end', 'x\r\n', 'x'],
    [
      'each turn of a loop begins anew',
      '{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}',
      '231',
    ],
    [
      'what one turn sets is unknown in the next',
      '{% for i in [1, 2] %}{{ y is defined }}{% set y = i %}{% endfor %}{{ y is defined }}',
      'FalseFalseFalse',
    ],
    ['if has no scope', '{% if true %}{% set z = 3 %}{% endif %}{{ z }}', '3'],
    [
      'a name that is set later is not yet given',
      '{% for a in [1] %}{{ i }}{% endfor %}{% set i = 2 %}{{ i }}',
      '2',
    ],
    [
      'nested loops have their own',
      '{% for a in [1, 2] %}{% for b in [1] %}{% set i = i + a %}{{ i }}{% endfor %}{{ i }};{% endfor %}',
      '21;31;',
    ],
    ['selectattr with a test', "{{ users | selectattr('a', 'gt', 1) | map(attribute='n') | list }}", "['a']"],
    ['rejectattr', "{{ users | rejectattr('a', 'equalto', 1) | list | length }}", '1'],
    ['join of attributes', "{{ users | join('-', attribute='n') }}", 'b-a'],
    ['int with a base', "{{ 'ff' | int(base=16) }} {{ '0x1A' | int(0, 16) }} {{ 'x' | int(7) }}", '255 26 7'],
    ['floats in JSON', '{{ [1.0, 2.50, 1e20, 1e16, 0.00001] | tojson }}', '[1.0, 2.5, 1e+20, 1e+16, 1e-05]'],
    [
      'division',
      '{{ 7 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 6 / 2 }} {{ 2 ** 3 }}',
      '3.5 3 -4 2 3.0 8',
    ],
    ['slices with steps', "{{ 'abcdef'[::2] }}{{ [1, 2, 3][::-1] }}{{ '한글🪢x'[1:3] }}", 'ace[3, 2, 1]글🪢'],
    ['raw', '{% raw %}{{ x }}{% endraw %}', '{{ x }}'],
    ['with', '{% with a = 1, b = i %}{{ a }}{{ b }}{% endwith %}{{ a }}', '11'],
    [
      'format',
      "{{ '{}-{x}'.format(1, x='y') }} {{ '%s %d' % ('a', 3) }} {{ '%s' | format(2) }}",
      '1-y a 3 2',
    ],
    ['count and find', "{{ 'banana'.count('an') }}{{ 'banana'.find('n') }}{{ 'banana'.find('x') }}", '22-1'],
    ['a loop over a text', "{% for c in 'a🪢' %}[{{ c }}]{% endfor %}", '[a][🪢]'],
    [
      'the method of a dict before its key',
      "{{ {'items': 1}.items is callable }}{{ {'items': 1}['items'] }}",
      'True1',
    ],
    ['break, and else', '{% for a in [1] %}{% break %}{% else %}e{% endfor %}', 'e'],
    ['a recursive loop', '{% for a in [[1, []]] recursive %}{{ a[0] }}{{ loop(a[1]) }}{% endfor %}', '1'],
    ['default by truth', "{{ '' | default('d') }}{{ '' | default('e', true) }}{{ nothing | d(1) }}", 'e1'],
    ['signs of white space', 'a  {%- if true -%}  b  {%+ endif %}  c', 'ab    c'],
  ])('renders as in Jinja2: %s', (_, source, right) => {
    expect(render(source)).toBe(right);
  });

  it.each([
    '{% include "a" %}',
    '{% block a %}{% endblock %}',
    '{{ [1] | random }}',
    '{{ lipsum() }}',
    "{{ 'a'.encode() }}",
  ])('is refused by name when it uses what is not supported: %s', (source) => {
    expect(() => render(source)).toThrow(NotSupported);
  });
});
