import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cpuSeconds } from '../../test/helpers/work.node.ts';
import { argmax, Sampler } from '../generation/sampler.ts';
import { Random } from '../random.ts';
import { StreamDecoder } from '../tokenizer/stream.ts';
import { byteFallbackTokenizer, byteLevelTokenizer } from './fixtures/tokenizers.ts';
import { compileJsonSchema } from './json-schema.ts';
import type { JsonSchema } from './schema/keywords.ts';

const tokenizers = {
  'byte-level': byteLevelTokenizer(),
  SentencePiece: byteFallbackTokenizer(),
  Metaspace: byteFallbackTokenizer(true),
};

/** Logits that a model might give: `step` of the text, its tokens and what each would add. */
type Model = (logits: Float32Array, random: Random, pieces: readonly string[], step: number) => void;

const models: Record<string, Model> = {
  random: (logits, random) => {
    for (let i = 0; i < logits.length; i++) logits[i] = 4 * random.nextGaussian();
  },
  'never ends': (logits, random, pieces) => {
    for (let i = 0; i < logits.length; i++) {
      logits[i] = random.next() - (/["\]}<]/.test(pieces[i]!) ? 30 : 0);
    }
  },
  'opens again and again': (logits, random, pieces) => {
    for (let i = 0; i < logits.length; i++) logits[i] = random.next() + (/[[{,]/.test(pieces[i]!) ? 9 : 0);
  },
  'loves white space': (logits, random, pieces) => {
    for (let i = 0; i < logits.length; i++) logits[i] = random.next() + (/^\s+$/.test(pieces[i]!) ? 9 : 0);
  },
  'loves partial characters and escapes': (logits, random, pieces) => {
    for (let i = 0; i < logits.length; i++)
      logits[i] = random.next() + (/[\ufffd\\]/.test(pieces[i]!) ? 9 : 0);
  },
  'is sure of one wrong token': (logits, random) => {
    logits.fill(Number.NEGATIVE_INFINITY);
    logits[random.nextInt(logits.length)] = 1e30;
  },
  'speaks Korean and emoji': (logits, random, pieces) => {
    for (let i = 0; i < logits.length; i++) {
      logits[i] = random.next() + (/[가-힣\u{1f600}]/u.test(pieces[i]!) ? 9 : 0);
    }
  },
};

interface Run {
  readonly text: string;
  readonly tokens: number;
}

function run(
  schema: JsonSchema,
  kind: keyof typeof tokenizers,
  model: Model,
  seed: number,
  extra: number,
  greedy: boolean,
): Run {
  const tokenizer = tokenizers[kind];
  const vocab = tokenizer.vocabSize + 3; // A padded embedding.
  const stop = tokenizer.eosId!;
  const compiled = compileJsonSchema(schema, tokenizer);
  const maxTokens = compiled.shortest + extra;
  const constraint = compiled.constraint({ maxTokens, stopTokens: [stop] });
  const random = new Random(seed);
  const sampler = new Sampler(greedy ? { greedy } : { temperature: 1.3, topK: 40, seed });
  const pieces = Array.from({ length: vocab }, (_, id) => {
    const bytes = tokenizer.isSpecial(id) ? undefined : tokenizer.tokenBytes(id);
    return bytes ? new TextDecoder().decode(bytes) : '';
  });
  const stream = new StreamDecoder(tokenizer, { skipSpecialTokens: true });
  let text = '';
  let tokens = 0;
  while (tokens < maxTokens) {
    const logits = new Float32Array(vocab);
    model(logits, random, pieces, tokens);
    const id = sampler.next(logits, constraint);
    tokens++;
    constraint.accept(id);
    if (id === stop) break;
    text += stream.push(id);
    if (constraint.finished) break;
  }
  return { text: text + stream.flush(), tokens };
}

// Multiples of decimals as the standard means them: without the precision ajv calls 0.07 no multiple of 0.01.
const ajv = new Ajv2020({ strict: false, allErrors: true, logger: false, multipleOfPrecision: 6 });
// The plugin's types are CommonJS.
(addFormats as unknown as (ajv: Ajv2020) => void)(ajv);

function expectValid(schema: JsonSchema, text: string): void {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(`no JSON: ${text}`);
  }
  const validate = ajv.compile(schema);
  if (!validate(value)) {
    throw new Error(
      `${text} is not valid under ${JSON.stringify(schema)}: ${ajv.errorsText(validate.errors)}`,
    );
  }
}

/** Texts that need escapes, several bytes, and common beginnings. */
const names = fc.constantFrom(
  'a',
  'ab',
  'abc',
  'name',
  '나이',
  '이름',
  '"',
  '\\',
  '😀',
  '',
  'a b',
  '\n',
  'k\u0001',
);
const scalars = fc.oneof(
  fc.constantFrom(null, true, false, 0, 1, 12, 123, -5, 0.5, 1e21, 'a', '한국', '\u2028', '"\\\n'),
  fc.string({ unit: 'grapheme', maxLength: 6 }),
);

/** Without keys that ajv itself stumbles over (it calls `valueOf` of the data). */
const jsonValues = fc
  .jsonValue({ maxDepth: 2 })
  .filter(
    (value) => !Object.getOwnPropertyNames(Object.prototype).some((n) => JSON.stringify(value).includes(n)),
  );

/** A record of optional fields, those that are undefined left out. */
const optional = (fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<Record<string, unknown>> =>
  fc.record(fields, { requiredKeys: [] });

const numbers = fc.oneof(
  optional({ minimum: fc.integer({ min: -50, max: 20 }), maximum: fc.integer({ min: 20, max: 1200 }) }),
  optional({
    exclusiveMinimum: fc.constantFrom(-0.003, 0, 0.25, 7, 1e-7),
    exclusiveMaximum: fc.constantFrom(8, 8.5, 1e6, 9.25e13),
  }),
  fc.record({ multipleOf: fc.constantFrom(2, 7, 1, 12), minimum: fc.integer({ min: -100, max: 100 }) }),
  fc.record({
    multipleOf: fc.constantFrom(0.01, 0.1, 0.3, 1.25, 0.007),
    minimum: fc.constantFrom(-1e20, -3.5, 0.01, 12.345),
    exclusiveMaximum: fc.constantFrom(99.99, 1e4, 9007199254740991, 1.7976931348623157e308),
  }),
  fc.record({ multipleOf: fc.constantFrom(0.5, 0.25, 2.5), maximum: fc.integer({ min: -100, max: 100 }) }),
);
const patterns = fc.constantFrom(
  '^[a-z]{2,4}$',
  '가+',
  '^(?:ab|cd)*$',
  '\\d{3}-\\d{2}$',
  '^\\p{Script=Hangul}{1,3}$',
  '^[^"\\\\]+$',
  '^a|b$',
  '["\\\\\\n]',
  '^.{2,3}$',
  '^\\S+ \\S+$',
  '^(?=.{2,4}$)[a-z]+(?:-[a-z]+)*$',
  '^(?!.*--)[a-z-]+$',
);
const stringKeywords = fc.oneof(
  optional({ minLength: fc.nat(4), maxLength: fc.integer({ min: 4, max: 9 }) }),
  fc.record({ pattern: patterns }),
  fc.record({ pattern: patterns, maxLength: fc.integer({ min: 2, max: 12 }) }),
  fc.constantFrom<Record<string, unknown>>(
    { format: 'email', pattern: 'kim' },
    { format: 'uuid', pattern: '^[0-9A-F-]+$' },
    { format: 'date', pattern: '-02-29$' },
    { format: 'ipv6', pattern: '::', maxLength: 12 },
    { format: 'cuid2', pattern: '^[0-9a-z]+$', minLength: 2 },
  ),
  fc.record({
    format: fc.constantFrom(
      'duration',
      'date',
      'time',
      'date-time',
      'uuid',
      'email',
      'ipv4',
      'ipv6',
      'hostname',
      'uri',
    ),
  }),
);

const { schema: schemas } = fc.letrec<{ schema: JsonSchema; object: JsonSchema }>((tie) => {
  const inner = tie('schema');
  return {
    object: fc
      .record({
        properties: fc.dictionary(names, inner, { maxKeys: 4 }),
        rest: fc.option(fc.oneof(fc.boolean(), inner), { nil: undefined }),
        required: fc.array(names, { maxLength: 2 }),
        all: fc.boolean(),
      })
      .map(({ properties, rest, required, all }) => ({
        type: 'object',
        properties,
        required: all ? Object.keys(properties) : rest === false ? [] : [...new Set(required)],
        ...(rest === undefined ? {} : { additionalProperties: rest }),
      })),
    schema: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      fc.constantFrom<JsonSchema>(
        { type: 'null' },
        { type: 'boolean' },
        { type: 'integer' },
        { type: 'number' },
      ),
      fc.constantFrom<JsonSchema>({ type: 'string' }, {}, true, { type: ['string', 'null'] }),
      numbers.map((keywords) => ({ type: 'number', ...keywords })),
      numbers.map((keywords) => ({ type: 'integer', ...keywords })),
      stringKeywords.map((keywords) => ({ type: 'string', ...keywords })),
      fc.array(scalars, { minLength: 1, maxLength: 5 }).map((values) => ({ enum: values })),
      jsonValues.map((value) => ({ const: value })),
      fc.record({ type: fc.constant('array'), items: inner }),
      fc
        .record({ items: inner, minItems: fc.nat(3), more: fc.nat(3) })
        .map(({ more, ...rest }) => ({ type: 'array', ...rest, maxItems: rest.minItems + more })),
      fc
        .record({
          prefixItems: fc.array(inner, { minLength: 1, maxLength: 3 }),
          items: inner,
          minItems: fc.nat(4),
        })
        .map((keywords) => ({ type: 'array', ...keywords })),
      tie('object'),
      fc
        .record({
          names: fc.oneof(
            fc.uniqueArray(names, { minLength: 1 }).map((values) => ({ enum: values })),
            stringKeywords.map((keywords) => ({ type: 'string', ...keywords })),
            patterns.map((pattern) => ({ anyOf: [{ const: 'a' }, { pattern }] })),
          ),
          values: inner,
        })
        .map(({ names, values }) => ({
          type: 'object',
          propertyNames: names,
          additionalProperties: values,
        })),
      fc.array(inner, { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
      fc.tuple(tie('object'), tie('object')).map((allOf) => ({ allOf })),
      fc.tuple(tie('object'), inner).map(([a, b]) => ({ ...(a as object), anyOf: [b, {}] })),
      fc.array(inner, { minLength: 2, maxLength: 3 }).map((values) => ({
        oneOf: values.map((value, i) => ({
          type: 'object',
          properties: { kind: { const: i }, value },
          required: ['kind'],
        })),
      })),
      inner.map((value) => ({
        $ref: '#/$defs/list',
        $defs: { value, list: { type: 'array', items: { anyOf: [{ $ref: '#/$defs/list' }] } } },
      })),
    ),
  };
});

/** References only work where the root is. */
function atRoot(schema: JsonSchema): JsonSchema {
  const text = JSON.stringify(schema);
  return text.includes('"$ref"')
    ? { $defs: { list: { type: ['array', 'null'], items: { $ref: '#/$defs/list' } } }, anyOf: [schema] }
    : schema;
}

describe('generating JSON under a schema', () => {
  it.each(Object.keys(tokenizers) as (keyof typeof tokenizers)[])(
    'gives text that parses and validates, whatever the model prefers (%s)',
    (kind) => {
      const settings = fc.record({
        schema: schemas.map(atRoot),
        model: fc.constantFrom(...Object.keys(models)),
        seed: fc.nat(1e6),
        extra: fc.oneof(fc.nat(6), fc.nat(60)),
        greedy: fc.boolean(),
      });
      let made = 0;
      fc.assert(
        fc.property(settings, ({ schema, model, seed, extra, greedy }) => {
          let result: Run;
          try {
            result = run(schema, kind, models[model]!, seed, extra, greedy);
          } catch (error) {
            if (
              error instanceof Error &&
              /no value fits|alternatives|combined with listed/.test(error.message)
            )
              return;
            throw error;
          }
          made++;
          expectValid(schema, result.text);
        }),
        { numRuns: 400 },
      );
      expect(made).toBeGreaterThan(250);
    },
  );

  it('finishes in time when the alternatives of a schema stay alike for long', () => {
    const alike = Array.from({ length: 9 }, (_, i) => ({
      type: 'object',
      properties: { x: { $ref: '#' }, [`last${i}`]: { const: i } },
      required: [`last${i}`],
    }));
    const patterns = Array.from({ length: 100 }, (_, i) => ({ type: 'string', pattern: `^a{${i}}b` }));
    const schemas: JsonSchema[] = [{ anyOf: [...alike, { type: 'null' }] }, { anyOf: patterns }];
    for (const schema of schemas) {
      for (const [name, model] of Object.entries(models)) {
        let result!: ReturnType<typeof run>;
        const seconds = cpuSeconds(() => {
          result = run(schema, 'byte-level', model, 5, 60, name.length % 2 === 0);
        });
        expect(seconds, name).toBeLessThan(0.5 + 0.06 * result.tokens);
        expectValid(schema, result.text);
      }
    }
  });

  it('picks the likeliest token that fits', () => {
    const tokenizer = tokenizers['byte-level'];
    const constraint = compileJsonSchema({ enum: ['yes', 'no'] }, tokenizer).constraint({ maxTokens: 9 });
    const logits = new Float32Array(tokenizer.vocabSize).fill(1);
    logits[tokenizer.encode('{')[0]!] = 9;
    constraint.mask(logits);
    expect(tokenizer.decode([argmax(logits)])).toMatch(/^[" \n]/);
  });
});
