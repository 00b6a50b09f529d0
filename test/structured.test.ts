import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { saveModelDirectory } from '../src/checkpoint/save.node.ts';
import { initializeWeights } from '../src/families/initialize.ts';
import { findPreset } from '../src/families/registry.ts';
import { generateTokens } from '../src/generation/generate.ts';
import { load } from '../src/generation/load.node.ts';
import { loadHere } from '../src/generation/load-here.node.ts';
import { Random } from '../src/random.ts';
import { compileJsonSchema } from '../src/structured/json-schema.ts';
import type { JsonSchema } from '../src/structured/schema/keywords.ts';
import { bpeTokenizerConfig, trainBpe } from '../src/tokenizer/bpe-trainer.ts';
import { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { type Finished, ropewalk } from './helpers/cli.node.ts';
import { fixture } from './helpers/fixtures.node.ts';

/** Structured output as a user meets it: in the library and on the command line, with real models. */

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-structured-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const schema = {
  type: 'object',
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 20 },
    이름: { enum: ['김철수', '이영희'] },
    age: { type: 'integer', minimum: 0, maximum: 150 },
    friends: { type: 'array', items: { $ref: '#' }, maxItems: 2 },
    place: { anyOf: [{ type: 'string', pattern: '^[A-Z][a-z]+$' }, { type: 'null' }] },
  },
  required: ['name', '이름', 'age', 'place'],
  additionalProperties: false,
} as const satisfies JsonSchema;

const validate = new Ajv2020().compile(schema);
function expectValid(text: string): void {
  const value: unknown = JSON.parse(text);
  expect(validate(value), `${text}: ${JSON.stringify(validate.errors)}`).toBe(true);
}

/** Untrained, so that it wants anything. */
const untrained = join(folder, 'untrained');
beforeAll(async () => {
  const json = trainBpe(['{"name": "Kim", "이름": "김철수", "age": 42} 밧줄 🪢 '.repeat(20)], {
    vocabSize: 330,
    specialTokens: ['<|endoftext|>'],
  });
  const { family, preset } = findPreset('llama/tiny')!;
  const config = {
    ...preset.config,
    vocab_size: Tokenizer.fromJSON(json).vocabSize + 6,
    eos_token_id: [0],
    bos_token_id: 0,
  };
  const model = family.build(config);
  const values = new Map([...model.parameters()].map(([name, { size }]) => [name, new Float32Array(size)]));
  initializeWeights(model.parameters(), values, new Random(7));
  await saveModelDirectory(untrained, {
    config: family.writeConfig(config),
    tensors: [...model.parameters()].map(([name, { shape }]) => ({ name, shape, data: values.get(name)! })),
    files: [
      { name: 'tokenizer.json', data: JSON.stringify(json) },
      { name: 'tokenizer_config.json', data: JSON.stringify(bpeTokenizerConfig(json)) },
    ],
  });
});

describe('load().generate with jsonSchema', () => {
  const models = [['untrained', untrained] as const, ['stories260K', fixture('stories260K')] as const];
  for (const [name, path] of models) {
    it(`gives JSON that validates, with few tokens and with many (${name})`, async () => {
      const model = await loadHere(path, { threads: 1 });
      const { shortest } = compileJsonSchema(schema, model.tokenizer);
      const ways = [
        { maxTokens: shortest, temperature: 1.5 },
        { maxTokens: shortest + 1, greedy: true },
        { maxTokens: shortest + 20, temperature: 3, topK: 50, repetitionPenalty: 1.2 },
        { maxTokens: 200, temperature: 1, topP: 0.9 },
        { maxTokens: 200, greedy: true },
        { maxTokens: 200, temperature: 5, minP: 0.01 },
      ];
      for (const [seed, way] of ways.entries()) {
        const pieces: string[] = [];
        const options = { ...way, seed, jsonSchema: schema };
        for await (const piece of model.generate('Once upon a time', options)) pieces.push(piece);
        expectValid(pieces.join(''));
      }
      await model.release();
    });
  }

  it('ends where the JSON is complete, within the requested number of tokens', async () => {
    const model = await loadHere(untrained, { threads: 1 });
    const { tokenizer, decoder, stopTokens } = model;
    const constraint = compileJsonSchema({ enum: [true] }, tokenizer).constraint({
      maxTokens: 50,
      stopTokens,
    });
    const ids: number[] = [];
    for await (const id of generateTokens(decoder, [5], { maxTokens: 50, stopTokens, constraint }))
      ids.push(id);
    expect(tokenizer.decode(ids).trim()).toBe('true');
    expect(constraint.finished).toBe(true);
    await model.release();
  });

  it('refuses options that contradict each other', async () => {
    const model = await load(untrained, { threads: 1 });
    const read = async (options: Parameters<typeof model.generate>[1]) => {
      for await (const _ of model.generate('a', options));
    };
    await expect(read({ maxTokens: 9, jsonSchema: {}, stop: ['x'] })).rejects.toThrow('combined with stop');
    await expect(read({ maxTokens: 3, jsonSchema: schema })).rejects.toThrow(/shortest JSON .* at most 3/);
    await expect(read({ maxTokens: 9, jsonSchema: { not: { type: 'null' } } })).rejects.toThrow(
      'JSON schema at #/not',
    );
    await model.release();
  });
});

describe('ropewalk generate --json-schema', () => {
  const file = join(folder, 'person.json');
  writeFileSync(file, JSON.stringify(schema));
  const generate = (...args: string[]) => ropewalk(['generate', untrained, '--prompt', 'a', ...args]);

  function refusal({ stdout, stderr, code }: Finished): string {
    expect([stdout, code]).toEqual(['', 1]);
    expect(stderr).toMatch(/^ropewalk: [^\n]+\n$/);
    return stderr;
  }

  it('prints JSON that validates, as plain text or inside --json', async () => {
    const plain = await generate(
      '--max-tokens',
      '150',
      '--json-schema',
      file,
      '--temperature',
      '2',
      '--seed',
      '4',
    );
    expect(plain.code, plain.stderr).toBe(0);
    expectValid(plain.stdout);
    const inJson = await generate('--max-tokens', '150', '--json-schema', file, '--greedy', '--json');
    expect(inJson.code, inJson.stderr).toBe(0);
    const { text, ids } = JSON.parse(inJson.stdout) as { text: string; ids: number[] };
    expectValid(text);
    expect(ids.length).toBeLessThanOrEqual(150);
  });

  it('refuses stop options, and files and schemas that it cannot honor, by name', async () => {
    const with_ = async (...args: string[]) => refusal(await generate('--max-tokens', '100', ...args));
    expect(await with_('--json-schema', file, '--stop', 'x')).toContain('cannot be combined with --stop.');
    expect(await with_('--json-schema', file, '--stop-ids', '3')).toContain('with --stop-ids.');
    expect(await with_('--json-schema', file, '--ignore-eos')).toContain('with --ignore-eos.');
    expect(await with_('--json-schema', join(folder, 'none.json'))).toContain(
      'none.json: cannot be read (ENOENT)',
    );
    const bad = join(folder, 'bad.json');
    writeFileSync(bad, '{"a": 1\u001b[31m');
    expect(await with_('--json-schema', bad)).toContain('bad.json: it is not JSON');
    writeFileSync(bad, '{"items": {"uniqueItems": true}}');
    expect(await with_('--json-schema', bad)).toContain(
      'bad.json: JSON schema at #/items/uniqueItems: the keyword',
    );
    writeFileSync(bad, `"${'x'.repeat(1_100_000)}"`);
    expect(await with_('--json-schema', bad)).toContain('at most 1000000 are read');
    expect(refusal(await generate('--max-tokens', '5', '--json-schema', file))).toMatch(
      /shortest JSON .* at most 5/,
    );
  });
});
