import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Random } from '../random.ts';
import { StreamDecoder } from '../tokenizer/stream.ts';
import { byteLevelTokenizer } from './fixtures/tokenizers.ts';
import { type CompiledJsonSchema, compileJsonSchema } from './json-schema.ts';
import type { JsonSchema } from './schema/keywords.ts';

const tokenizer = byteLevelTokenizer();
const ajv = new Ajv2020({ strict: false, logger: false, multipleOfPrecision: 6 });
// The plugin's types are CommonJS.
(addFormats as unknown as (ajv: Ajv2020) => void)(ajv);

/** A text under the schema, tokens drawn evenly. */
function draw(compiled: CompiledJsonSchema, seed: number): string {
  const stop = tokenizer.eosId!;
  const maxTokens = compiled.shortest + (seed % 2 === 0 ? 3 : 40);
  const constraint = compiled.constraint({ maxTokens, stopTokens: [stop] });
  const random = new Random(seed);
  const stream = new StreamDecoder(tokenizer, { skipSpecialTokens: true });
  let text = '';
  while (!constraint.finished) {
    const logits = new Float32Array(tokenizer.vocabSize);
    constraint.mask(logits);
    const allowed = [...logits.keys()].filter((id) => logits[id] === 0);
    const id = allowed[random.nextInt(allowed.length)]!;
    constraint.accept(id);
    if (id !== stop) text += stream.push(id);
  }
  return text + stream.flush();
}

interface Tree {
  name: string;
  kids: Tree[];
}
const tree: z.ZodType<Tree> = z.object({
  name: z.string(),
  get kids() {
    return z.array(tree);
  },
});
const chain: z.ZodType = z.object({ v: z.int(), next: z.lazy(() => chain).optional() });
const address = z.object({ city: z.string() }).meta({ id: 'Address' });
const kinds = [
  z.object({ t: z.literal('a'), x: z.string() }),
  z.looseObject({ t: z.enum(['b', 'c']), y: z.number().optional() }),
] as const;

/** Every kind of schema that zod can write: what is generated must pass ajv and zod itself. */
const ACCEPTED: Record<string, z.ZodType> = {
  string: z.string(),
  'string lengths': z.string().min(1).max(5),
  length: z.string().length(3),
  regex: z.string().regex(/^[a-f]{2,}$/),
  'two regexes': z.string().regex(/^a/).regex(/b$/),
  lowercase: z.string().lowercase(),
  uppercase: z.string().uppercase(),
  includes: z.string().includes('x.y'),
  startsWith: z.string().startsWith('a'),
  endsWith: z.string().endsWith('b'),
  email: z.email(),
  'email, html5': z.email({ pattern: z.regexes.html5Email }),
  uuid: z.uuid(),
  'uuid v4': z.uuidv4(),
  'uuid v6': z.uuidv6(),
  'uuid v7': z.uuidv7(),
  guid: z.guid(),
  url: z.url(),
  hostname: z.hostname(),
  emoji: z.emoji(),
  nanoid: z.nanoid(),
  cuid: z.cuid(),
  cuid2: z.cuid2(),
  ulid: z.ulid(),
  xid: z.xid(),
  ksuid: z.ksuid(),
  ipv4: z.ipv4(),
  ipv6: z.ipv6(),
  mac: z.mac(),
  cidrv4: z.cidrv4(),
  cidrv6: z.cidrv6(),
  base64: z.base64(),
  base64url: z.base64url(),
  e164: z.e164(),
  hex: z.hex(),
  hash: z.hash('sha256'),
  'iso date': z.iso.date(),
  'iso time': z.iso.time(),
  'iso time, precision': z.iso.time({ precision: 3 }),
  'iso datetime': z.iso.datetime(),
  'iso datetime, local': z.iso.datetime({ local: true }),
  'iso datetime, offset': z.iso.datetime({ offset: true }),
  'iso datetime, seconds': z.iso.datetime({ precision: 0 }),
  'iso datetime, minutes': z.iso.datetime({ precision: -1, local: true }),
  'iso duration': z.iso.duration(),
  'own format': z.stringFormat('plate', /^[A-Z]{2}-[0-9]{1,4}$/),
  number: z.number(),
  int: z.int(),
  int32: z.int32(),
  uint32: z.uint32(),
  float32: z.float32(),
  float64: z.float64(),
  safe: z.number().int().nonnegative(),
  positive: z.number().positive(),
  between: z.number().gt(1).lt(2),
  cents: z.number().multipleOf(0.01).min(-5).max(1e6),
  tenths: z.number().step(0.1),
  boolean: z.boolean(),
  null: z.null(),
  any: z.any(),
  unknown: z.unknown(),
  enum: z.enum(['a', '나', '"']),
  'native enum': z.enum({ A: 1, B: 'x' }),
  literal: z.literal('a'),
  literals: z.literal(['a', 1, null, true]),
  union: z.union([z.string().max(3), z.number(), z.array(z.boolean())]),
  xor: z.xor([z.string(), z.number()]),
  'discriminated union': z.discriminatedUnion('t', kinds),
  'intersection of objects': z.intersection(z.object({ a: z.string() }), z.object({ b: z.int() })),
  'intersection of strings': z.string().min(2).and(z.string().max(4)),
  'intersection of records': z.object({ a: z.int() }).and(z.record(z.string(), z.int())),
  tuple: z.tuple([z.string(), z.number()]),
  'tuple, rest': z.tuple([z.string()], z.boolean()),
  'tuple, optional': z.tuple([z.string(), z.number().optional()]),
  record: z.record(z.string(), z.number()),
  'record, enum': z.record(z.enum(['a', 'b']), z.number()),
  'record, partial': z.partialRecord(z.enum(['a', 'b']), z.number()),
  'record, literals': z.record(z.union([z.literal('a'), z.literal('b')]), z.int()),
  'record, format': z.record(z.email(), z.int()),
  'record, numbers': z.record(z.number(), z.string()),
  'record, lengths': z.record(z.string().min(2).max(4), z.int()),
  'record, pattern': z.record(z.string().regex(/^k_/), z.null()),
  'record, template': z.record(z.templateLiteral(['id-', z.int()]), z.boolean()),
  object: z.object({ a: z.string(), 나이: z.int().min(0).max(150) }),
  strict: z.strictObject({ a: z.string() }),
  loose: z.looseObject({ a: z.string() }),
  catchall: z.object({ a: z.string() }).catchall(z.number()),
  empty: z.object({}),
  optional: z.object({ a: z.string().optional(), b: z.int().nullish(), c: z.exactOptional(z.int()) }),
  never: z.object({ a: z.never().optional(), b: z.int() }),
  default: z.object({ a: z.int().default(3), b: z.string().prefault('x'), c: z.int().catch(1) }),
  partial: z.object({ a: z.string(), b: z.int() }).partial(),
  extended: z.object({ a: z.string(), c: z.int() }).extend({ b: z.int() }).omit({ c: true }),
  readonly: z.object({ a: z.string() }).readonly(),
  array: z.array(z.string()),
  'array, bounds': z.array(z.int()).min(1).max(3),
  'array, length': z.array(z.int()).length(2),
  nullable: z.email().nullable(),
  nullish: z.int().nullish(),
  nonoptional: z.nonoptional(z.string().optional()),
  pipe: z.string().pipe(z.string().min(1)),
  brand: z.string().brand('x'),
  described: z
    .string()
    .describe('d')
    .meta({ title: 'T', examples: ['a'] }),
  template: z.templateLiteral(['a-', z.int(), '-', z.enum(['x', 'y'])]),
  'template, numbers': z.templateLiteral([z.number(), 'px']),
  'template, email': z.templateLiteral([z.email(), '!', z.boolean().nullable()]),
  keyof: z.keyof(z.object({ a: z.string(), b: z.string() })),
  json: z.json(),
  tree,
  chain,
  reused: z.object({ home: address, work: address.nullable() }),
};

/** What is refused, at which place; and what zod asks of a value beyond the schema that it writes. */
const REFUSED: Record<string, [z.ZodType, RegExp]> = {
  jwt: [z.jwt(), /at #\/format: .*be accompanied by a pattern/],
  file: [z.file(), /at #\/format: .*be accompanied by a pattern/],
  never: [z.never(), /at #: no value fits/],
  'loose record': [
    z.looseRecord(z.string().regex(/^S_/), z.string()),
    /at #\/patternProperties: .*propertyNames/,
  ],
  'large bounds': [z.number().min(1e20), /at #: .*more than 15 digits.*widen the bounds/],
  'email, rfc5322': [
    z.email({ pattern: z.regexes.rfc5322Email }),
    /at #\/pattern: .*u flag: escape \], \{ and \}/,
  ],
  'email, unicode': [z.email({ pattern: z.regexes.unicodeEmail }), /at #\/pattern: .*make it smaller/],
  'own keywords': [z.string().meta({ tone: 'calm' }), /at #\/tone: .*remove it/],
  'look-behind': [z.string().regex(/(?<=a)b/), /at #\/pattern: a look-behind is not supported/],
  words: [z.string().regex(/\bword\b/), /at #\/pattern: \\b is not supported/],
  'alternatives alike': [z.xor([z.int(), z.number()]), /at #\/oneOf: .*use anyOf/],
};

describe('generating under a schema that zod wrote', () => {
  it.each(Object.keys(ACCEPTED))('%s: gives JSON that is valid for ajv and for zod', (name) => {
    const schema = ACCEPTED[name]!;
    for (const io of ['output', 'input'] as const) {
      const json = z.toJSONSchema(schema, { io }) as JsonSchema;
      const compiled = compileJsonSchema(json, tokenizer);
      const validate = ajv.compile(json);
      for (let seed = 0; seed < 6; seed++) {
        const text = draw(compiled, seed);
        const value = JSON.parse(text) as unknown;
        expect(validate(value), `ajv: ${text} ${ajv.errorsText(validate.errors)}`).toBe(true);
        const parsed = schema.safeParse(value);
        expect(parsed.success, `zod: ${text} ${parsed.error?.message}`).toBe(true);
      }
      if (JSON.stringify(json) === JSON.stringify(z.toJSONSchema(schema, { io: 'input' }))) break;
    }
  });

  it.each(Object.keys(REFUSED))('refuses %s with its place and the remedy', (name) => {
    const [schema, message] = REFUSED[name]!;
    expect(() => compileJsonSchema(z.toJSONSchema(schema) as JsonSchema, tokenizer)).toThrow(message);
  });

  it('reads drafts 4 and 7 and OpenAPI alike, or refuses them by place', () => {
    const refusals: string[] = [];
    for (const target of ['draft-07', 'draft-04', 'openapi-3.0'] as const) {
      for (const [name, schema] of Object.entries(ACCEPTED)) {
        try {
          const json = z.toJSONSchema(schema, { target }) as JsonSchema;
          const text = draw(compileJsonSchema(json, tokenizer), 2);
          // Drafts before 6 have no propertyNames: zod writes less than it asks for.
          const valid = target === 'draft-07' ? schema : z.any();
          expect(valid.safeParse(JSON.parse(text)).success, `${target} ${name} ${text}`).toBe(true);
        } catch (error) {
          expect((error as Error).message).toMatch(/^JSON schema at #.*(write|use|must)/);
          refusals.push(`${target} ${name}`);
        }
      }
    }
    expect(refusals.filter((refusal) => refusal.startsWith('draft-07'))).toEqual([
      'draft-07 tuple',
      'draft-07 tuple, rest',
      'draft-07 tuple, optional',
    ]);
  });
});
