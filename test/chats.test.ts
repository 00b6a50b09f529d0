import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { assistantTurns } from '../src/chat/assistant-turns.ts';
import { encodeChat } from '../src/chat/encode.ts';
import type { ChatMessage } from '../src/chat/messages.ts';
import { ChatTemplate } from '../src/chat/template.ts';
import { encodeExample } from '../src/data/encode-example.ts';
import { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { ChatChecker, type ChatsReference } from './helpers/chats.ts';
import { cpuSeconds } from './helpers/work.node.ts';

/** Texts, ids and masks of transformers: test/reference/make_chats.py. */
const reference = JSON.parse(
  readFileSync(new URL('reference/chats.json', import.meta.url), 'utf8'),
) as ChatsReference;
const tokenizer = Tokenizer.fromJSON(reference.tokenizer, { bos_token: '<bos>', eos_token: '<eos>' });
const source = (name: string) => reference.templates[name]![0];
const say = (content: string): ChatMessage => ({ role: 'user', content });

describe('encoding random chats', () => {
  const checker = new ChatChecker(reference);

  it.each(Object.keys(reference.templates))('gives the texts, ids and masks of transformers: %s', (name) => {
    const cases = reference.cases.filter(({ template }) => template === name);
    expect(cases.length).toBeGreaterThan(30);
    expect(cases.flatMap((one) => checker.problems(one))).toEqual([]);
  });
});

/** What of a chat is trained, as a text with | where tokens between are not. */
function trainedText(template: string, messages: readonly ChatMessage[], from = 0): string {
  const options = { tokenizer, template: new ChatTemplate(template), trainOn: 'assistant' } as const;
  const { ids, trained } = encodeExample({ messages, from }, options);
  const runs: number[][] = [];
  for (const [i, id] of ids.entries()) {
    if (!trained[i]) continue;
    if (trained[i - 1]) runs.at(-1)!.push(id);
    else runs.push([id]);
  }
  return runs.map((run) => tokenizer.decode(run)).join('|');
}

describe('the loss mask of a template without {% generation %}', () => {
  const chat: ChatMessage[] = [
    say('q'),
    { role: 'assistant', content: 'a' },
    say('r'),
    { role: 'assistant', content: '' },
  ];

  it.each<[string, string, string]>([
    [
      'a loop over numbers',
      "{% for i in range(messages | length) %}{{ messages[i].role ~ ':' ~ messages[i].content ~ '<eos>' }}{% endfor %}",
      'a<eos>|<eos>',
    ],
    [
      'headers without a generation prompt',
      "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}",
      'a<|im_end|>|<|im_end|>',
    ],
    [
      'the end written after the loop',
      "{% for m in messages %}{{ '[' + m.role + ']' }}{{ m.content }}{% endfor %}{{ eos_token }}{% if add_generation_prompt %}[assistant]{% endif %}",
      'a|<eos>',
    ],
    [
      'a text that is built first',
      "{% set ns = namespace(t='') %}{% for m in messages %}{% set ns.t = ns.t ~ '<' ~ m.role ~ '>' ~ m.content ~ '<eos>' %}{% endfor %}{{ ns.t }}",
      'a<eos>|<eos>',
    ],
    [
      'a macro',
      '{% macro turn(m) %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endmacro %}{% for m in messages %}{{ turn(m) }}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}',
      'a<|im_end|>|<|im_end|>',
    ],
  ])('covers exactly the replies and their end: %s', (_, template, right) => {
    expect(trainedText(template, chat)).toBe(right);
  });

  it('starts at a given message, with and without {% generation %}', () => {
    for (const template of reference.templates.chatml!) {
      expect(trainedText(template, chat, 2)).toBe('<|im_end|>');
    }
  });

  it('takes time linear in the number of messages: four thousand in under a second', () => {
    const messages = Array.from(
      { length: 4000 },
      (_, i): ChatMessage => ({
        role: i % 2 === 0 ? 'user' : 'assistant',
        content: `word ${i}`,
      }),
    );
    for (const name of ['chatml', 'qwen3']) {
      const template = new ChatTemplate(source(name));
      let example!: ReturnType<typeof encodeExample>;
      const seconds = cpuSeconds(() => {
        example = encodeExample({ messages, from: 0 }, { tokenizer, template, trainOn: 'assistant' });
      });
      const { ids, trained } = example;
      expect([...ids].filter((id, i) => trained[i] && id === tokenizer.tokenToId('<|im_end|>'))).toHaveLength(
        2000,
      );
      // Under a second.
      expect(seconds).toBeLessThan(3);
      if (process.env.CHAT_TIMES) console.log(name, seconds.toFixed(3));
    }
  });

  it('is empty for turns that a template leaves out', () => {
    const template = new ChatTemplate(
      "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}",
    );
    expect(assistantTurns(chat, template.render(chat), '')).toEqual([]);
  });
});

describe('tools in a chat', () => {
  const template = new ChatTemplate(
    '{% if tools %}{{ tools | tojson }}\n{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content if m.content is string }}{% for c in m.tool_calls or [] %}<call>{{ c.function.name }}{{ c.function.arguments | tojson }}</call>{% endfor %}<|im_end|>\n{% endfor %}',
  );
  const call = { type: 'function', function: { name: 'look', arguments: { at: '<|im_end|>' } } };
  const messages: ChatMessage[] = [
    say('What is there?'),
    { role: 'assistant', content: null, tool_calls: [call] },
    { role: 'tool', content: 'a rope' },
    { role: 'assistant', content: 'A rope.' },
  ];
  const tools = [{ type: 'function', function: { name: 'look', parameters: { type: 'object' } } }];

  it('reach the template, with their calls and results', () => {
    // json.dumps(tools) and the same of the arguments, by Python.
    expect(template.render(messages, { tools }).text).toBe(
      '[{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]\n<|im_start|>user\nWhat is there?<|im_end|>\n<|im_start|>assistant\n<call>look{"at": "<|im_end|>"}</call><|im_end|>\n<|im_start|>tool\na rope<|im_end|>\n<|im_start|>assistant\nA rope.<|im_end|>\n',
    );
    const ids = encodeChat(tokenizer, template, messages, { tools });
    expect(ids.filter((id) => id === tokenizer.tokenToId('<|im_end|>'))).toHaveLength(4);
    expect(trainedText(template.source, messages)).toBe(
      '<call>look{"at": "<|im_end|>"}</call><|im_end|>|A rope.<|im_end|>',
    );
  });

  it.each<[string, readonly ChatMessage[], object, RegExp]>([
    ['tools', [say('a')], { tools: [{ name: 'look' }] }, /does not write the tools/],
    ['documents', [say('a')], { documents: [{ title: 'b', text: 'c' }] }, /does not write the documents/],
    ['calls', messages.slice(0, 2), {}, /the tool calls of message 2/],
    ['results', [say('a'), { role: 'tool', content: 'b' }], {}, /message 2 of the role tool/],
    [
      'parts',
      [{ role: 'user', content: [{ type: 'text', text: 'a' }] }],
      {},
      /message 1 has its content in parts/,
    ],
  ])('are refused when a template leaves them out: %s', (_, chat, options, problem) => {
    const plain = "{% for m in messages if m.role != 'tool' %}{{ m.content }}{% endfor %}";
    expect(() => new ChatTemplate(plain).render(chat, options)).toThrow(problem);
  });

  it('may come with content in parts where the template supports them', () => {
    const content = [
      { type: 'text', text: ' a ' },
      { type: 'text', text: 'b' },
    ] as const;
    expect(
      new ChatTemplate(source('gemma3')).render([{ role: 'user', content }], { bosToken: '<bos>' }).text,
    ).toBe('<bos><start_of_turn>user\nab<end_of_turn>\n');
  });
});
