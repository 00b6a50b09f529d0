import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChatTemplate } from '../src/chat/template.ts';
import { generateTexts } from '../src/generation/batch-texts.ts';
import { generateReply } from '../src/generation/chat.ts';
import { Decoder } from '../src/generation/decoder.ts';
import { generateTokens } from '../src/generation/generate.ts';
import { generateText } from '../src/generation/generate-text.ts';
import { StopStrings } from '../src/generation/stop-strings.ts';
import { TextStream } from '../src/generation/text-stream.ts';
import { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { ROOT } from './helpers/cli.node.ts';
import { build, collect, common, engine, randomWeights } from './helpers/random-models.node.ts';

/** One way from tokens to text: special tokens among the stop strings, and JSON schemas in chats. */

const { templates, tokenizers } = JSON.parse(
  readFileSync(join(ROOT, 'test/reference/chat.json'), 'utf8'),
) as {
  templates: Record<string, string>;
  tokenizers: Record<string, { added_tokens: { id: number; content: string; special: boolean }[] }>;
};
const tokenizer = Tokenizer.fromJSON(
  tokenizers.byteLevel as never,
  { bos_token: '<bos>', eos_token: '<eos>' } as never,
  'the test',
);
const specials = tokenizers.byteLevel!.added_tokens.filter(({ special }) => special);
const VOCAB = Math.max(400, ...specials.map(({ id }) => id + 1));
const model = build({
  model_type: 'llama',
  ...common,
  vocab_size: VOCAB,
  hidden_size: 24,
  intermediate_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 8,
  rope_theta: 10000,
});
const decoder = await Decoder.create(engine, model, randomWeights(model, 1));

describe('a special token as a stop string', () => {
  const end = specials.at(-1)!;
  const ids = (text: string) => [...tokenizer.encode(text, { addSpecialTokens: false })];

  /** The text of tokens, and after how many of them it ended. */
  function textOf(
    tokens: readonly number[],
    stop: readonly string[],
  ): { text: string; ended: number | undefined } {
    const stream = new TextStream(tokenizer, { maxTokens: 100, stop });
    let text = '';
    for (const [i, id] of tokens.entries()) {
      text += stream.push(id);
      if (stream.ended) return { text: text + stream.flush(), ended: i + 1 };
    }
    return { text: text + stream.flush(), ended: undefined };
  }
  const said = ids('say hi');
  const tokens = [...said, end.id, ...ids(' and more')];

  // As stop_strings of transformers: the token's content is part of the text that is searched.
  it.each([
    ['whole', [end.content], 'say hi'],
    ['its beginning', [end.content.slice(0, 3)], 'say hi'],
    ['its middle', [end.content.slice(1, -1)], 'say hi'],
    ['its last character and what follows', [`${end.content.at(-1)} and`], 'say hi'],
    ['with text before it', [`hi${end.content}`], 'say '],
    ['with text around it', [`i${end.content} a`], 'say h'],
    ['beside one that comes later', ['more', end.content], 'say hi'],
    ['beside one that comes before', ['hi', end.content], 'say '],
  ])('ends the text: %s', (_, stop, wanted) => {
    const { text, ended } = textOf(tokens, stop);
    expect(text).toBe(wanted);
    expect(ended).toBeDefined();
  });

  it('is hidden when it is not a stop string, and the shown text contains no stop string', () => {
    expect(textOf(tokens, [`${end.content}x`])).toEqual({ text: 'say hi and more', ended: undefined });
    // The shown text is searched as well: over the place of the token.
    expect(textOf(tokens, ['hi and']).text).toBe('say ');
  });

  it('ends the text where a search through all of it does, wherever pieces are cut', () => {
    const part = fc.record({
      text: fc.string({ unit: fc.constantFrom('a', 'b', '<', '|', '>'), maxLength: 4 }),
      shown: fc.boolean(),
    });
    const stops = fc.array(
      fc.string({ unit: fc.constantFrom('a', 'b', '<', '|', '>'), minLength: 1, maxLength: 4 }),
      {
        maxLength: 3,
      },
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), stops, (parts, wanted) => {
        const stream = new StopStrings(wanted);
        const actual = parts.map(({ text, shown }) => stream.push(text, shown)).join('') + stream.flush();
        // Character by character: which of them are shown, and the first end of a stop string in either view.
        const all = parts.flatMap(({ text, shown }) => [...text].map((character) => ({ character, shown })));
        let cut = all.length;
        let found = false;
        for (let until = 1; until <= all.length && !found; until++) {
          const views = [
            all.slice(0, until),
            all[until - 1]!.shown ? all.slice(0, until).filter((c) => c.shown) : [],
          ];
          const starts = views.flatMap((view, which) => {
            const text = view.map(({ character }) => character).join('');
            return wanted
              .filter((stop) => text.endsWith(stop))
              .map((stop) =>
                which === 0 ? until - stop.length : all.indexOf(view[view.length - stop.length]!),
              );
          });
          if (starts.length === 0) continue;
          found = true;
          cut = Math.min(...starts);
        }
        const expected = all.slice(0, cut).filter(({ shown }) => shown);
        expect(actual).toBe(expected.map(({ character }) => character).join(''));
        expect(stream.stopped).toBe(found);
      }),
      { numRuns: 3000 },
    );
  });

  it('ends generate, batches and chats alike', async () => {
    // At this temperature every token is as likely as another, so that special ones come.
    const options = { maxTokens: 60, temperature: 50, stopTokens: [] };
    const seeds = Array.from({ length: 40 }, (_, seed) => seed);
    const template = new ChatTemplate(templates.marked!);
    let tried = 0;
    for (const seed of seeds) {
      const free = await collect(generateTokens(decoder, [...tokenizer.encode('say')], { ...options, seed }));
      const at = free.findIndex((id) => tokenizer.isSpecial(id));
      if (at < 1) continue;
      tried++;
      const stop = [tokenizer.idToToken(free[at]!)!];
      const wanted = tokenizer.decode(free.slice(0, at), { skipSpecialTokens: true });
      const own = { ...options, seed, stop };
      expect((await collect(generateText(decoder, tokenizer, 'say', own))).join('')).toBe(wanted);
      const texts = ['', ''];
      for await (const { sequence, text } of generateTexts(decoder, tokenizer, ['say', 'say'], own))
        texts[sequence] += text;
      expect(texts).toEqual([wanted, wanted]);
      const chat = { decoder, tokenizer, template };
      const messages = [{ role: 'user', content: 'say' }] as const;
      const reply = await collect(generateReply(chat, messages, { ...options, seed }));
      const stopped = await collect(generateReply(chat, messages, own));
      expect(reply.join('').startsWith(stopped.join(''))).toBe(true);
      if (tried === 4) break;
    }
    expect(tried).toBe(4);
  });
});

describe('a chat under a JSON schema', () => {
  const template = new ChatTemplate(templates.marked!);
  const chat = { decoder, tokenizer, template };
  const messages = [{ role: 'user', content: 'Who?' }] as const;
  const schema = {
    type: 'object',
    properties: {
      name: { type: 'string', maxLength: 5 },
      age: { type: 'integer', minimum: 0, maximum: 120 },
    },
    required: ['name', 'age'],
    additionalProperties: false,
  } as const;

  it.each([0, 1, 2, 3])('gives valid JSON, seed %i', async (seed) => {
    const reply = generateReply(chat, messages, { jsonSchema: schema, maxTokens: 80, seed });
    let text = '';
    let next = await reply.next();
    for (; !next.done; next = await reply.next()) text += next.value;
    expect(next.value).toBe('stop');
    const value = JSON.parse(text) as { name: string; age: number };
    expect(Object.keys(value)).toEqual(['name', 'age']);
    expect([...value.name].length).toBeLessThanOrEqual(5);
    expect(Number.isInteger(value.age) && value.age >= 0 && value.age <= 120).toBe(true);
  });

  it.each([
    ['a schema that is none', { jsonSchema: { type: 'bogus' } }, /at #\/type/],
    ['a schema beside stop strings', { jsonSchema: schema, stop: ['x'] }, /cannot be combined with stop/],
    ['fewer tokens than the shortest text', { jsonSchema: schema, maxTokens: 3 }, /Raise the limit/],
  ])('refuses %s', async (_, options, message) => {
    await expect(collect(generateReply(chat, messages, options as never))).rejects.toThrow(message);
  });
});
