import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Tokenizer } from '../tokenizer/tokenizer.ts';
import { chatStopTokens, encodeChat, renderChat } from './encode.ts';
import { type ChatMessage, contentText } from './messages.ts';
import { ChatTemplate } from './template.ts';

interface Case {
  readonly template: string;
  readonly messages: readonly ChatMessage[];
  readonly addGenerationPrompt: boolean;
  readonly ids?: Readonly<Record<string, readonly number[]>>;
}

/** Ids of transformers: test/reference/make_chat.py. */
const reference = JSON.parse(
  readFileSync(new URL('../../test/reference/chat.json', import.meta.url), 'utf8'),
) as { templates: Record<string, string>; tokenizers: Record<string, unknown>; cases: readonly Case[] };

const CONFIG = { bos_token: '<bos>', eos_token: '<eos>' };
const template = (name: string) => new ChatTemplate(reference.templates[name]!);
/** Templates that leave the bos to the tokenizer, where transformers has none. */
const WITHOUT_BOS = ['marked', 'assembled'];

describe.each(Object.keys(reference.tokenizers))('encoding chats with the tokenizer %s', (name) => {
  const tokenizer = Tokenizer.fromJSON(reference.tokenizers[name], CONFIG);
  const { bosId } = tokenizer;
  const answered = reference.cases.filter(({ ids }) => ids);

  it.each(answered.map((chat, i) => [`${i}: ${chat.template}`, chat] as const))(
    'gives the ids of transformers, with exactly one bos token: %s',
    (_, { template: source, messages, addGenerationPrompt, ids }) => {
      const bos = WITHOUT_BOS.includes(source) ? [bosId] : [];
      const actual = encodeChat(tokenizer, template(source), messages, { addGenerationPrompt });
      expect(actual).toEqual([...bos, ...ids![name]!]);
      expect(actual.filter((id) => id === bosId)).toHaveLength(1);
    },
  );

  const special = ['<bos>', '<eos>', '<|start|>', '<|end|>', '<|user|>', '<|assistant|>', '<|system|>'];
  const piece = fc.constantFrom(
    ...special,
    '<|',
    '|>',
    'end|>',
    '<',
    ' ',
    '\n',
    '\n\n',
    'user',
    '한국',
    '🪢',
    'é',
  );
  const content = fc.oneof(
    fc
      .array(fc.oneof(piece, fc.string({ unit: 'grapheme', maxLength: 5 })), { maxLength: 8 })
      .map((all) => all.join('')),
    fc.string({ unit: 'binary', maxLength: 20 }),
  );
  const chat = fc.array(fc.tuple(content, content), { minLength: 1, maxLength: 3 }).map((turns) =>
    turns.flatMap(([question, answer]): ChatMessage[] => [
      { role: 'user', content: question },
      { role: 'assistant', content: answer },
    ]),
  );

  it.each(Object.keys(reference.templates))(
    'treats special tokens spelled in messages as plain text: %s',
    (source) => {
      const used = template(source);
      fc.assert(
        fc.property(chat, (messages) => {
          const { text, contentSpans } = renderChat(tokenizer, used, messages);
          const ids = encodeChat(tokenizer, used, messages);
          // Special tokens outside the messages' characters, found by hand.
          let own = text;
          for (const [start, end] of contentSpans) {
            own = own.slice(0, start) + '\0'.repeat(end - start) + own.slice(end);
          }
          const expected: string[] =
            own.match(/<bos>|<eos>|<\|(?:start|end|user|assistant|system)\|>/g) ?? [];
          if (WITHOUT_BOS.includes(source)) expected.unshift('<bos>');
          expect(ids.filter((id) => tokenizer.isSpecial(id)).map((id) => tokenizer.idToToken(id))).toEqual(
            expected,
          );
          const prefix = WITHOUT_BOS.includes(source) ? '<bos>' : '';
          // SentencePiece's pieces write a space as ▁, so that one in a text comes back as a space.
          const back = name === 'pieces' ? text.replaceAll('▁', ' ') : text;
          expect(tokenizer.decode(ids)).toBe(prefix + back);
          // Harmless messages: the ids of the whole text.
          if (!special.some((token) => messages.some((message) => contentText(message).includes(token)))) {
            expect(ids).toEqual(tokenizer.encode(prefix + text, { addSpecialTokens: false }));
          }
        }),
        { numRuns: 100 },
      );
    },
  );
});

describe('a template that transforms messages', () => {
  const tokenizer = Tokenizer.fromJSON(reference.tokenizers.byteLevel, CONFIG);

  it.each([
    ['taking parts out', "{{ messages[0].content | replace('x', '') }}", '<|stxart|>'],
    ['lower case', '{{ messages[0].content | lower }}', '<|START|>'],
    ['joining', "{{ messages[0].content.split(' ') | join('') }}", '<|st art|>'],
    ['characters', '{{ messages[0].content[0] ~ messages[0].content[1:] }}', '<|start|>'],
    ['stripping', '{{ (messages[0].content | trim) ~ messages[1].content }}', '<|st '],
    ['completing it', "{{ messages[0].content ~ 'art|>' }}", '<|st'],
    ['beginning it', "{{ '<|start' ~ messages[0].content }}", '|>'],
    ['surrounding', "{{ '<|' ~ messages[0].content ~ '|>' }}", 'start'],
    ['a macro', '{% macro m(t) %}{{ t }}{% endmacro %}{{ m(messages[0].content) | trim }}', '<|start|>'],
    ['JSON', '{{ messages[0].content | tojson }}', '<|start|>'],
  ])('never turns their text into special tokens: %s', (_, source, content) => {
    const messages: ChatMessage[] = [
      { role: 'user', content },
      { role: 'assistant', content: 'art|>' },
    ];
    const ids = encodeChat(tokenizer, new ChatTemplate(source), messages);
    expect(ids[0]).toBe(tokenizer.bosId);
    expect(ids.slice(1).some((id) => tokenizer.isSpecial(id))).toBe(false);
    expect(tokenizer.decode(ids)).toMatch(/<\|?start\|?>/);
  });
});

describe('the tokens that end a turn', () => {
  const tokenizer = Tokenizer.fromJSON(reference.tokenizers.pieces, CONFIG);
  const tokens = (source: string, configured: number[] = []) =>
    chatStopTokens(tokenizer, new ChatTemplate(source), configured).map((id) => tokenizer.idToToken(id));

  it('come from the configuration, the eos token, and what the template writes after an assistant message', () => {
    const of = (name: string) => tokens(reference.templates[name]!);
    expect(of('marked')).toEqual(['<eos>', '<|end|>']);
    expect(of('headed')).toEqual(['<eos>']);
    expect(of('strict')).toEqual(['<eos>', '<|end|>']);
    expect(tokens(reference.templates.marked!, [tokenizer.tokenToId('<|system|>')!])).toEqual([
      '<|system|>',
      '<eos>',
      '<|end|>',
    ]);
  });

  it('may follow white space, and may be absent', () => {
    expect(tokens('{{ messages[-1].content }}\n<|end|>')).toEqual(['<eos>', '<|end|>']);
    expect(tokens('{{ messages[-1].content }} over <|end|>')).toEqual(['<eos>']);
    expect(tokens('{{ messages[0].content }}')).toEqual(['<eos>']);
  });
});
