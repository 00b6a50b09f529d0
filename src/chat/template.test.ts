import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cpuSeconds } from '../../test/helpers/work.node.ts';
import { RopewalkError } from '../errors.ts';
import type { ChatMessage } from './messages.ts';
import { ChatTemplate } from './template.ts';

interface Case {
  readonly template: string;
  readonly messages: readonly ChatMessage[];
  readonly addGenerationPrompt: boolean;
  readonly text?: string;
  readonly refusal?: string;
}

/** Texts of transformers: test/reference/make_chat.py. */
const reference = JSON.parse(
  readFileSync(new URL('../../test/reference/chat.json', import.meta.url), 'utf8'),
) as { templates: Record<string, string>; cases: readonly Case[] };

const TOKENS = { bosToken: '<bos>', eosToken: '<eos>' };
const say = (content: string): ChatMessage[] => [{ role: 'user', content }];

/** What the spans cover. */
function covered(template: string, content: string): { text: string; from: string[] } {
  const { text, contentSpans } = new ChatTemplate(template).render(say(content), TOKENS);
  return { text, from: contentSpans.map(([start, end]) => text.slice(start, end)) };
}

describe('a chat template', () => {
  it.each(reference.cases.map((chat, i) => [`${i}: ${chat.template}`, chat] as const))(
    'renders the text that transformers renders: %s',
    (_, { template, messages, addGenerationPrompt, text, refusal }) => {
      const render = () =>
        new ChatTemplate(reference.templates[template]!).render(messages, { addGenerationPrompt, ...TOKENS });
      if (refusal === undefined) expect(render().text).toBe(text);
      else {
        expect(render).toThrow(RopewalkError);
        expect(render).toThrow(`refuses these messages: ${refusal};`);
      }
    },
  );

  it('formats the time as Python does', () => {
    const template = new ChatTemplate("{{ strftime_now('%d %b %Y, %A %-d %B %y %H:%M:%S %I%p %%') }}");
    const now = new Date(2026, 2, 5, 15, 4, 9);
    expect(template.render(say('a'), { now }).text).toBe(
      '05 Mar 2026, Thursday 5 March 26 15:04:09 03PM %', // datetime(2026, 3, 5, 15, 4, 9).strftime(…)
    );
    expect(() => new ChatTemplate("{{ strftime_now('%Q') }}").render(say('a'))).toThrow(
      'does not support %Q',
    );
  });

  it('uses the one named "default" when a file has several', () => {
    const list = [
      { name: 'tool_use', template: 'no' },
      { name: 'default', template: 'yes' },
    ];
    expect(ChatTemplate.fromConfig({ chat_template: list }, 'x')!.render(say('a')).text).toBe('yes');
    expect(ChatTemplate.fromConfig({}, 'x')).toBeUndefined();
    expect(ChatTemplate.fromConfig({ chat_template: null }, 'x')).toBeUndefined();
    expect(() => ChatTemplate.fromConfig({ chat_template: [list[0]] }, 'x')).toThrow(/x: .*"default"/);
    expect(() => ChatTemplate.fromConfig({ chat_template: 3 }, 'x')).toThrow(RopewalkError);
  });
});

describe('the characters that came from messages', () => {
  it.each<[string, string, string, string[]]>([
    ['written as they are', 'a {{ messages[0].content }} b', ' x ', [' x ']],
    ['stripped', "{{ '<' + messages[0]['content'] | trim + '>' }}", ' x ', ['x']],
    ['stripped with what is joined to them', "{{ (' a' ~ messages[0].content ~ ' ').strip() }}", 'x ', ['x']],
    ['of two messages side by side', '{{ messages[0].content }}{{ messages[0].content }}', 'x', ['xx']],
    [
      'joined from a list',
      "{{ ['<', messages[0].content, '>', messages[0].content] | join('-') }}",
      'x',
      ['x', 'x'],
    ],
    ['changed', '{{ messages[0].content | upper }}{{ messages[0].content.title() }}', 'xy', ['XYXy']],
    [
      'cut',
      "a{{ messages[0].content.split('|')[1] }}{{ messages[0].content[1:3] }}{{ 'b' }}",
      'x|yz',
      ['yz|y'],
    ],
    ['from a macro', '{% macro m(t) %}[{{ t }}]{% endmacro %}{{ m(messages[0].content) ~ 1 }}', 'x', ['x']],
    ['from a block', '{% set b %}[{{ messages[0].content }}]{% endset %}{{ b | trim }}', 'x', ['x']],
    ['from a filter block', '{% filter trim %} a{{ messages[0].content }} {% endfilter %}', 'x', ['x']],
    [
      'from a call block',
      '{% macro m() %}({{ caller() }}){% endmacro %}{% call m() %}a{{ messages[0].content }}{% endcall %}',
      'x',
      ['x'],
    ],
    ['in a condition', "{{ messages[0].content if messages[0].content != '' else 'none' }}", 'x', ['x']],
    ['by way of a namespace', '{% set n = namespace(t=messages[0].content) %}a{{ n.t }}', 'x', ['x']],
    ['as JSON', '{{ messages | tojson }}', 'x', ['[{"role": "user", "content": "x"}]']],
    ['repeated', 'a{{ messages[0].content * 2 }}', 'x', ['xx']],
    ['of a list that is sorted', "{{ ([messages[0].content, 'b'] | sort)[0] }}", 'a', ['a']],
    ['that are none', "{{ messages[0].content ~ 'x' }}", '', []],
    ['but not the role', '{{ messages[0].role }}', 'x', []],
  ])('are tracked when they are %s', (_, template, content, from) => {
    expect(covered(template, content).from).toEqual(from);
  });

  it('are tracked even when the text contains private-use characters', () => {
    const content = '\ue000a\ue001';
    const { text, from } = covered("{{ '\\ue002' ~ messages[0].content ~ '\ue003' }}", content);
    expect(text).toBe(`\ue002${content}\ue003`);
    expect(from).toEqual([content]);
  });
});

describe('rendering malformed messages', () => {
  it.each<[unknown, RegExp]>([
    [[], /at least one message/],
    ['hello', /at least one message/],
    [[null], /message 1 of the chat is not an object/],
    [[{ role: 'user', content: 'a' }, { content: 'b' }], /message 2 of the chat has no role/],
    [[{ role: 'root', content: 'a' }], /the role "root"; the roles are system, user, assistant, tool/],
    [[{ role: 'user', content: ['a'] }], /part of "content" that is not text/],
    [[{ role: 'user', content: 3 }], /"content" that is not a string/],
    [[{ role: 'user', content: null }], /"content" that is not a string/],
    [[{ role: 'user', content: [{ type: 'image' }] }], /not text \("image"\)/],
    [[{ role: 'assistant', content: null, tool_calls: 'x' }], /"tool_calls" that is not a list/],
  ])('throws an error that names the problem: %j', (messages, problem) => {
    const render = () => new ChatTemplate('x').render(messages as ChatMessage[]);
    expect(render).toThrow(RopewalkError);
    expect(render).toThrow(problem);
  });
});

const deep = (open: string, close: string, n: number) => open.repeat(n) + close.repeat(n);

describe('rendering a hostile or malformed template', () => {
  it.each<[string, string]>([
    ['a long range', '{% for i in range(10**9) %}{% endfor %}'],
    ['a longer range', '{{ range(10**12) | list }}'],
    ['an endless range', '{{ range(1 / 0) }}'],
    ['empty loops in loops', `${'{% for i in range(90000) %}'.repeat(3)}${'{% endfor %}'.repeat(3)}`],
    [
      'a loop over a known list',
      '{% set r = range(90000) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}',
    ],
    [
      'loops with a condition',
      '{% set r = range(9000) %}{% for a in r %}{% for b in r if b < 0 %}{% endfor %}{% endfor %}',
    ],
    ['a loop of output', "{% for i in range(90000) %}{{ 'a' * 1000 }}{% endfor %}"],
    ['doubling', `{% set s = 'ab' %}${'{% set s = s + s %}'.repeat(60)}{{ s }}`],
    [
      'doubling in a loop',
      "{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
    ],
    ['doubling blocks', `{% set s = 'ab' %}${'{% set s %}{{ s }}{{ s }}{% endset %}'.repeat(60)}`],
    ['multiplication', "{{ 'a' * 10**9 }}"],
    ['doubled lists', `{% set s = [1] %}${'{% set s = s + s %}'.repeat(60)}`],
    ['lists of lists', `{% set s = [1] %}${'{% set s = [s, s] %}'.repeat(60)}{{ s | tojson }}`],
    ['lists of lists as text', `{% set s = [1] %}${'{% set s = [s, s] %}'.repeat(60)}{{ s | string }}`],
    ['lists of lists joined', `{% set s = [1] %}${'{% set s = [s, s] %}'.repeat(60)}{{ s | join }}`],
    ['lists of lists sorted', `{% set s = [1] %}${'{% set s = [s, s] %}'.repeat(60)}{{ s | unique | sort }}`],
    [
      'mappings of mappings',
      `{% set s = {} %}${"{% set s = {'a': s, 'b': s} %}".repeat(60)}{{ s | tojson }}`,
    ],
    ['a list that is only built', `{% set s = [1] %}${'{% set s = [s, s] %}'.repeat(60)}{{ s ~ '' }}`],
    ['a namespace in itself', '{% set n = namespace() %}{% set n.n = n %}{{ n | tojson }}{{ n ~ 1 }}'],
    ['a wide namespace in itself', '{% set n = namespace() %}{% set n.n = [n, n, n] %}{{ n.n | tojson }}'],
    ['a recursive macro', '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}'],
    [
      'two macros each',
      '{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}',
    ],
    [
      'a recursive block',
      '{% macro m() %}{{ caller() }}{% call m() %}{% endcall %}{% endmacro %}{% call m() %}x{% endcall %}',
    ],
    ['deep parentheses', `{{ ${deep('(', ')', 50_000)} }}`],
    ['deep lists', `{{ ${deep('[', ']', 50_000)} }}`],
    ['deep statements', deep('{% if 1 %}', '{% endif %}', 5_000)],
    ['a long sum', `{{ 1${' + 1'.repeat(30_000)} }}`],
    ['a wide indentation', "{{ ('a\\n' * 1000) | indent(10**8) }}"],
    ['wide JSON', '{{ [[1], [2]] | tojson(indent=10**8) }}'],
    ['long separators', "{{ range(9000) | list | tojson(separators=('a' * 90000, 'b')) }}"],
    ['a long join', "{{ range(90000) | list | join('a' * 90000) }}"],
    ['replacing nothing', "{{ ('a' * 900000).replace('', 'b' * 900000) }}"],
    ['replacing much', "{{ ('a' * 900000) | replace('a', 'b' * 9000) }}"],
    ['a slow search', "{{ ('b' + 'a' * 400000) in ('a' * 900000) }}"],
    ['a slow split', "{{ ('a' * 900000).split('b' + 'a' * 400000) | length }}"],
    [
      'slow comparisons',
      "{% set a = 'a' * 900000 %}{% set b = 'a' * 900000 %}{% for i in range(90000) %}{% if a == b %}{% endif %}{% endfor %}",
    ],
    [
      'slow membership',
      "{% set a = 'a' * 900000 %}{% set l = [a ~ 'b'] %}{% for i in range(90000) %}{% if a ~ 'c' in l %}{% endif %}{% endfor %}",
    ],
    ['slow case', "{% set a = 'a' * 900000 %}{% for i in range(90000) %}{% set b = a | upper %}{% endfor %}"],
    [
      'slow tests',
      "{% set a = 'a' * 900000 %}{% for i in range(90000) %}{% if a is lower %}{% endif %}{% endfor %}",
    ],
    [
      'slow strips',
      "{% set a = ' ' * 900000 %}{% for i in range(90000) %}{% set b = a | trim %}{% endfor %}",
    ],
    [
      'slow sorts',
      "{% set a = 'a' * 9000 %}{% set n = namespace(l=[]) %}{% for i in range(900) %}{% set n.l = n.l + [a ~ i] %}{% endfor %}{% for i in range(9000) %}{% set x = n.l | sort %}{% endfor %}",
    ],
    ['slices', "{% set a = 'a' * 900000 %}{% for i in range(90000) %}{% set b = a[::-1] %}{% endfor %}"],
    [
      'unknown names',
      '{% for i in range(90000) %}{% for j in range(90000) %}{{ x }}{{ y }}{{ z }}{% endfor %}{% endfor %}',
    ],
    [
      'continue',
      '{% for i in range(90000) %}{% for j in range(90000) %}{% continue %}{% endfor %}{% endfor %}',
    ],
    [
      'clocks',
      "{% for i in range(90000) %}{% for j in range(90000) %}{{ strftime_now('%B') }}{% endfor %}{% endfor %}",
    ],
    ['a long clock', "{{ strftime_now('%B' * 400000) }}"],
    ['many arguments', '{% for i in range(90000) %}{{ namespace(*[], **{}) }}{% endfor %}'],
    ['blanks and tags', `${`${' '.repeat(1_990)}x`.repeat(60)}{{`],
    [
      'sorted keys',
      `{% set d = {${Array.from({ length: 9000 }, (_, i) => `'k${i}':1`).join(',')}} %}{% for i in range(90000) %}{% set x = d | tojson(sort_keys=true) %}{% endfor %}`,
    ],
    ['splits', "{% set a = 'a ' * 90000 %}{% for i in range(90000) %}{% set b = a.split() %}{% endfor %}"],
    ['titles', "{% set a = 'a ' * 450000 %}{% for i in range(90000) %}{% set b = a | title %}{% endfor %}"],
    ['lines', "{% set a = '\\n' * 900000 %}{% for i in range(90000) %}{% set b = a | indent %}{% endfor %}"],
    ['length', 'a'.repeat(140_000)],
    ['numbers', '{{ (10 ** 300) * (10 ** 300) * 10 ** 300 | tojson }}{{ 10 ** 400 }}'],
  ])('stops with an error instead of hanging: %s', (_, source) => {
    let error: unknown;
    const seconds = cpuSeconds(() => {
      try {
        new ChatTemplate(source).render(say('hello'));
      } catch (thrown) {
        error = thrown;
      }
    });
    expect(error).toBeInstanceOf(RopewalkError);
    expect((error as Error).message.length).toBeLessThan(500);
    // About a second.
    expect(seconds).toBeLessThan(5);
    if (process.env.CHAT_TIMES) console.log(seconds.toFixed(3), _, (error as Error).message.slice(0, 120));
  });

  it.each([
    '{{ messages',
    '{% if %}',
    '{% for x in %}{% endfor %}',
    '{% endif %}',
    '{% frobnicate %}',
    '{{ messages[0].content | frobnicate }}',
    '{{ undefined_function() }}',
    '{{ messages.constructor.constructor("return 1")() }}',
    '{{ messages[0]["__proto__"]["x"]() }}',
    "{{ 'a' + 1 }}",
  ])('throws an error that names the file: %s', (source) => {
    const render = () => new ChatTemplate(source, 'model/tokenizer_config.json').render(say('x'));
    expect(render).toThrow(RopewalkError);
    expect(render).toThrow(/^model\/tokenizer_config\.json: /);
  });
});

describe('rendering a template that only looks hostile', () => {
  it.each<[string, string, RegExp]>([
    ['a long source of blanks', `${' '.repeat(120_000)}x`, /^ +x$/],
    [
      'lists that hold each other',
      `{% set s = [1] %}${'{% set s = [s, s] %}'.repeat(60)}{{ s == s }}{{ s == 'a' }}`,
      /^TrueFalse$/,
    ],
    [
      'a macro in a loop',
      `{% for i in range(9000) %}{% macro m() %}${'a{{ b }}'.repeat(5000)}{% endmacro %}{% endfor %}`,
      /^$/,
    ],
    ['messages written out', '{{ messages }}', /^\[\{'role': 'user', 'content': 'hello'\}\]$/],
  ])('succeeds: %s', (_, source, expected) => {
    let text: string | undefined;
    const seconds = cpuSeconds(() => {
      text = new ChatTemplate(source).render(say('hello')).text;
    });
    expect(text).toMatch(expected);
    expect(seconds).toBeLessThan(3);
  });
});

describe('rendering long chats', () => {
  it('succeeds for a thousand messages and for a megabyte', () => {
    const messages = Array.from({ length: 1001 }, (_, i) => ({
      role: i % 2 === 0 ? ('user' as const) : ('assistant' as const),
      content: ' word'.repeat(200),
    }));
    for (const template of Object.values(reference.templates)) {
      const { text } = new ChatTemplate(template).render(messages, { addGenerationPrompt: true, ...TOKENS });
      expect(text.length).toBeGreaterThan(900_000);
    }
  });
});
