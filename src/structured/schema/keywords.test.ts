import { describe, expect, it } from 'vitest';
import { cpuSeconds } from '../../../test/helpers/work.node.ts';
import { byteFallbackTokenizer } from '../fixtures/tokenizers.ts';
import { compileJsonSchema } from '../json-schema.ts';
import type { JsonSchema } from './keywords.ts';

const tokenizer = byteFallbackTokenizer();
const bytes = (text: string) =>
  Array.from(
    new TextEncoder().encode(text),
    (byte) => tokenizer.tokenToId(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)!,
  );

/** Whether a text may be generated, byte by byte, and then be ended. */
function takes(schema: JsonSchema, text: string): boolean {
  const stop = tokenizer.eosId!;
  const constraint = compileJsonSchema(schema, tokenizer).constraint({ maxTokens: 1000, stopTokens: [stop] });
  for (const id of bytes(text)) {
    const logits = new Float32Array(tokenizer.vocabSize);
    if (constraint.finished) return false;
    constraint.mask(logits);
    if (logits[id] !== 0) {
      expect(() => constraint.accept(id)).toThrow(/does not continue/);
      return false;
    }
    constraint.accept(id);
  }
  if (constraint.finished) return true;
  const logits = new Float32Array(tokenizer.vocabSize);
  constraint.mask(logits);
  return logits[stop] === 0;
}

function expectTexts(schema: JsonSchema, good: readonly string[], bad: readonly string[]): void {
  for (const text of good) expect(takes(schema, text), `${JSON.stringify(schema)} takes ${text}`).toBe(true);
  for (const text of bad) expect(takes(schema, text), `${JSON.stringify(schema)} takes ${text}`).toBe(false);
}

const person = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer', minimum: 0 }, note: { type: 'string' } },
  required: ['name', 'age'],
};

describe('the JSON schema compiler allows', () => {
  it('the listed types', () => {
    expectTexts({ type: 'null' }, ['null'], ['nul', 'nulll', '0', '']);
    expectTexts({ type: 'boolean' }, ['true', 'false'], ['"true"']);
    expectTexts({ type: 'integer' }, ['0', '-12', '42'], ['1.5', '01', '-', '-0', '1e3']);
    expectTexts({ type: 'number' }, ['0', '-1.25'], ['1.', '.5', '"1"']);
    expectTexts({ type: ['string', 'null'] }, ['"a"', 'null'], ['1']);
    expectTexts({ type: 'array' }, ['[]', '[1, "a", {"b": []}]'], ['[1,]', '[,1]', '[1', '{}']);
    expectTexts({ type: 'object' }, ['{}', '{"a": 1, "b": {}}'], ['{"a"}', '{a: 1}', '{"a": 1,}']);
    expectTexts(true, ['1', '"x"', '{"a": [null]}'], ['x']);
  });

  it('strings with escapes, surrogate pairs and lengths in code points, without raw control characters', () => {
    expectTexts(
      { type: 'string' },
      ['""', '"가 😀"', '"\\n\\u00e9\\/"', '"\\ud83d\\ude00"', '"\\uAC00\\uD7a3"'],
      ['"\n"', '"\\x"', '"\\ud83d"', '"\\ude00"', '"\\ud83dx"', '"\\ud83d\\u0041"', '"\\u00g0"', '"a'],
    );
    expectTexts(
      { type: 'string', minLength: 2, maxLength: 3 },
      ['"ab"', '"가나다"', '"😀😀"', '"\\ud83d\\ude00b"', '"\\u0061\\"c"'],
      ['"a"', '"😀"', '"abcd"', '"\\ud83d\\ude00"', '"가나다라"'],
    );
    expectTexts(
      { type: 'string', pattern: 'b+$', maxLength: 3 },
      ['"b"', '"abb"'],
      ['"ba"', '"aabb"', '"\\u0062"'],
    );
  });

  it('objects in the order of the schema, with optional properties, and others only where the schema mentions them', () => {
    expectTexts(
      person,
      ['{"name": "Kim", "age": 3}', '{"name":"Kim","age":3,"note":""}', '{\n  "name": "",\n  "age": 0\n}'],
      [
        '{"name": "Kim"}',
        '{"age": 3, "name": "Kim"}',
        '{"name":"","age":1,"x":2}',
        '{"name":"","age":-1}',
        '{}',
      ],
    );
    const open = { ...person, additionalProperties: { type: 'boolean' } };
    expectTexts(
      open,
      ['{"name":"","age":1,"x":true}', '{"name":"","age":1,"note":"","나이":false,"names":true}'],
      ['{"name":"","age":1,"x":2}', '{"name":"","age":1,"name":true}', '{"name":"","age":1,"note":true}'],
    );
    expectTexts({ type: 'object', required: ['k'] }, ['{"k": [1]}'], ['{}', '{"j": 1}']);
    expectTexts({ type: 'object', additionalProperties: false }, ['{}'], ['{"a": 1}']);
    const map = { type: 'object', propertyNames: { type: 'string' }, additionalProperties: { type: 'null' } };
    expectTexts(map, ['{}', '{"a": null}'], ['{"a": 1}']);
  });

  it('only valid names of properties', () => {
    const listed = {
      type: 'object',
      propertyNames: { enum: ['a', '나이'] },
      additionalProperties: { type: 'null' },
    };
    expectTexts(
      listed,
      ['{}', '{"a":null}', '{"나이":null}', '{"a": null, "나이": null}'],
      ['{"b":null}', '{"a":1}', '{"나이":null,"a":null}'],
    );
    expectTexts(
      { ...listed, required: ['나이'] },
      ['{"a":null,"나이":null}', '{"나이":null}'],
      ['{}', '{"a":null}'],
    );
    // Without additionalProperties any value will do; a listed property whose name is forbidden cannot come.
    expectTexts({ type: 'object', propertyNames: { const: 'k' } }, ['{}', '{"k": [1]}'], ['{"j": 1}']);
    expectTexts(
      { type: 'object', properties: { ab: true, c: true }, propertyNames: { maxLength: 1 } },
      ['{}', '{"c":1}', '{"x":1}', '{"c":1,"x":2,"가":3}'],
      ['{"ab":1}', '{"c":1,"xy":1}', '{"c":1,"c":1}'],
    );
    expectTexts(
      {
        type: 'object',
        propertyNames: { pattern: '^k_', type: 'string' },
        additionalProperties: { type: 'null' },
      },
      ['{}', '{"k_":null}', '{"k_가":null,"k_b":null}'],
      ['{"k":null}', '{"a":null}', '{"k_":1}'],
    );
    const both = { propertyNames: { anyOf: [{ const: 'id' }, { pattern: '^x-[a-z]+$' }] } };
    expectTexts({ type: 'object', ...both }, ['{"id":1,"x-a":2}', '{"x-a":2}'], ['{"ie":1}', '{"x-":1}']);
    expectTexts(
      {
        allOf: [
          { type: 'object', ...both },
          { propertyNames: { minLength: 4 }, additionalProperties: false },
        ],
      },
      ['{}'],
      ['{"id":1}', '{"x-ab":1}'],
    );
    expectTexts({ type: 'object', propertyNames: false }, ['{}'], ['{"a":1}']);
    expectTexts({ type: 'object', properties: { a: { not: {} }, b: true } }, ['{}', '{"b":1}'], ['{"a":1}']);
  });

  it('strings that match both a pattern and a format; a format outside the standard is what its pattern says', () => {
    expectTexts(
      { type: 'string', format: 'date', pattern: '^2024-' },
      ['"2024-02-29"'],
      ['"2023-01-01"', '"2024-02-30"'],
    );
    expectTexts(
      { type: 'string', format: 'nanoid', pattern: '^[a-z]{3}$', maxLength: 3 },
      ['"abc"'],
      ['"ab"', '"ABC"'],
    );
    expectTexts(
      { type: 'string', format: 'duration' },
      ['"P1Y2M3DT4H5M6S"', '"P3W"', '"PT0S"'],
      ['"P"', '"P1YT"', '"P1W2D"'],
    );
    expectTexts(
      { format: 'ipv6', type: 'string' },
      ['"::"', '"::1"', '"2001:DB8::1"', '"1:2:3:4:5:6:7::"'],
      ['":1"', '"1::2::3"', '"1:2:3:4:5:6:7:8:9"', '"1:2:3:4:5:6:7:8::"'],
    );
    expectTexts(
      { format: 'uri', type: 'string' },
      ['"http://localhost:8080"', '"https://10.0.0.1/a"'],
      ['"http://300.1.1.1/"', '"http://a.1/"', '"http://xn--a/"', '"http://b.xn--a/"', '"http://a.0x1"'],
    );
  });

  it('exact multiples of decimals', () => {
    const cents = { type: 'number', multipleOf: 0.01 };
    expectTexts(
      cents,
      ['0.07', '1.1', '-2.03', '4.35', '1000000', '0.29', '8.20'],
      ['0.075', '0.001', '1.234'],
    );
    expectTexts({ type: 'number', multipleOf: 0.3 }, ['0.9', '3', '1.2'], ['1', '0.1', '0.31']);
    expectTexts({ type: 'integer', multipleOf: 0.7 }, ['7', '-14', '0'], ['1', '0.7', '2']);
    expectTexts({ type: 'number', multipleOf: 1e-7 }, ['0.0000003'], ['0.00000003', '1e-7']);
    expectTexts(
      { type: 'number', allOf: [{ multipleOf: 0.2 }, { multipleOf: 0.3 }] },
      ['0.6', '1.8'],
      ['0.2', '0.9'],
    );
    expectTexts(
      { enum: [0.07, 0.29, 0.075, 1.1, 5], multipleOf: 0.01 },
      ['0.07', '0.29', '1.1', '5'],
      ['0.075'],
    );
    expectTexts({ enum: [0.3, 1e21, 0.25], multipleOf: 0.1 }, ['0.3', '1e+21'], ['0.25']);
  });

  it('arrays with prefixes and lengths, without endless white space', () => {
    const tuple = { type: 'array', prefixItems: [{ const: 1 }, { const: 2 }], items: false };
    expectTexts(tuple, ['[]', '[1]', '[1, 2]'], ['[2]', '[1,2,3]', '[1,2,1]']);
    expectTexts(
      { type: 'array', items: { type: 'null' }, minItems: 2, maxItems: 3 },
      ['[null,null]'],
      ['[null]', '[]'],
    );
    expectTexts(
      { type: 'array' },
      ['[ ]', '[\n]', '[ 1, 2 ]', ' []', '[\n    1\n]'],
      ['[  ]', '[\n\n]', '[] ', '  []'],
    );
    expectTexts({ type: 'array' }, [`[\n${' '.repeat(16)}]`], [`[\n${' '.repeat(17)}]`]);
  });

  it('listed values, combined with the other keywords', () => {
    expectTexts(
      { enum: ['a', 1, 12, null, { b: [1] }] },
      ['"a"', '1', '12', 'null', '{"b":[1]}'],
      ['"b"', '123', '{}'],
    );
    expectTexts({ enum: [1, 2, 3], minimum: 2, type: 'integer' }, ['2', '3'], ['1', '4']);
    expectTexts({ enum: ['ab', 'b'], pattern: '^a' }, ['"ab"'], ['"b"']);
    expectTexts({ const: '"\\\n가' }, ['"\\"\\\\\\n가"'], ['"가"']);
  });

  it('combinations: anyOf, allOf, references, and keywords beside these', () => {
    expectTexts({ anyOf: [{ const: 'a' }, { type: 'integer' }] }, ['"a"', '7'], ['"b"', 'true']);
    expectTexts({ type: 'integer', anyOf: [{ minimum: 9 }, { maximum: -9 }] }, ['9', '-12'], ['0', '-8']);
    const both = {
      allOf: [
        { type: 'object', properties: { a: { minimum: 3 } }, required: ['a'] },
        { properties: { a: { type: 'integer', maximum: 5 } } },
      ],
    };
    expectTexts(both, ['{"a":3}', '{"a":5}'], ['{"a":2}', '{"a":6}', '{}', '{"a":"x"}']);
    // What one schema closes, another cannot open.
    const closed = {
      allOf: [
        { type: 'object', properties: { a: true }, additionalProperties: false },
        { properties: { b: true } },
      ],
    };
    expectTexts(closed, ['{}', '{"a":1}'], ['{"b":1}', '{"a":1,"b":1}']);
    const tree = {
      $ref: '#/$defs/a~1b',
      $defs: { 'a/b': { type: 'array', items: { $ref: '#/$defs/a~1b' }, maxItems: 2 } },
    };
    expectTexts(tree, ['[]', '[[],[[]]]'], ['[[],[],[]]', '[1]']);
    const choices = {
      type: 'object',
      properties: { a: true, b: true },
      anyOf: [{ required: ['a'] }, { required: ['b'] }],
    };
    expectTexts(choices, ['{"a":1}', '{"b":1}', '{"a":1,"b":2}'], ['{}']);
  });

  it('oneOf when its alternatives exclude each other', () => {
    const kinds = [
      { properties: { kind: { const: 'a' }, x: { type: 'null' } }, required: ['kind'] },
      { properties: { kind: { enum: ['b', 'c'] } }, required: ['kind'] },
    ];
    expectTexts(
      { type: 'object', oneOf: kinds },
      ['{"kind":"a","x":null}', '{"kind":"c"}'],
      ['{"kind":"d"}', '{}'],
    );
    expectTexts(
      { oneOf: [{ type: 'string' }, { type: 'integer', maximum: 3 }, { type: 'number', minimum: 4 }] },
      ['3', '4', '""'],
      [],
    );
    const refused = [
      [{ type: 'integer' }, { type: 'number' }],
      kinds, // A number fits both: nothing says that it is an object.
      [
        { type: 'string', format: 'date' },
        { type: 'string', format: 'time' },
      ],
      [
        { type: 'array', items: { type: 'null' } },
        { type: 'array', items: { type: 'string' } },
      ],
    ];
    for (const oneOf of refused) {
      expect(() => compileJsonSchema({ oneOf }, tokenizer)).toThrow(
        'JSON schema at #/oneOf: a value may fit both alternative 0 and alternative 1',
      );
    }
  });
});

describe('the JSON schema compiler refuses', () => {
  const refusal = (schema: unknown) => {
    try {
      compileJsonSchema(schema as JsonSchema, tokenizer);
    } catch (error) {
      return (error as Error).message;
    }
    return 'nothing';
  };

  it('every keyword that it does not enforce, by name and place', () => {
    const keywords = [
      ...['if', 'then', 'else', 'dependentRequired', 'dependentSchemas', 'patternProperties'],
      ...['minProperties', 'maxProperties', 'uniqueItems', 'contains', 'minContains', 'maxContains'],
      ...[
        'unevaluatedProperties',
        'unevaluatedItems',
        'additionalItems',
        '$dynamicRef',
        '$anchor',
        'x-mine',
        'typo',
      ],
    ];
    for (const keyword of keywords) {
      const schema = { $defs: { 'a/b': { properties: { c: { [keyword]: {} } } } }, $ref: '#/$defs/a~1b' };
      const pointer = `#/$defs/a~1b/properties/c/${keyword}`;
      expect(refusal(schema)).toContain(
        `JSON schema at ${pointer}: the keyword "${keyword}" is not supported`,
      );
    }
    expect(
      refusal({ title: 't', description: 'd', $comment: 'c', default: 1, examples: [], deprecated: true }),
    ).toBe('nothing');
  });

  it('invalid values of a keyword', () => {
    const wrong: readonly [unknown, string][] = [
      [{ type: 'text' }, '#/type'],
      [{ items: [{}] }, '#/items'],
      [{ minLength: -1 }, '#/minLength'],
      [{ minimum: '3' }, '#/minimum'],
      [{ required: 'a' }, '#/required'],
      [{ enum: [] }, '#/enum'],
      [{ multipleOf: 0 }, '#/multipleOf'],
      [{ type: 'number', multipleOf: 1e-300 }, '#/multipleOf'],
      [{ type: 'number', multipleOf: 0.1234567890123456 }, '#/multipleOf'],
      [{ format: 'iri' }, '#/format'],
      [{ format: 'iri', pattern: '^a' }, '#/format'],
      [{ format: 'nanoid' }, '#/format'],
      [{ not: { type: 'null' } }, '#/not'],
      [{ pattern: '(' }, '#/pattern'],
      [{ pattern: '(?<=a)' }, '#/pattern'],
      [{ $ref: 'https://example.org/schema' }, '#/$ref'],
      [{ $ref: '#/$defs/none' }, '#/$ref'],
      [{ $ref: '#/__proto__' }, '#/$ref'],
      [{ properties: { a: 3 } }, '#/properties'],
      [{ propertyNames: 'a' }, '#/propertyNames'],
      [{ propertyNames: { pattern: '(' } }, '#/propertyNames/pattern'],
      [{ propertyNames: { anyOf: [{ pattern: '^a' }, { pattern: '^b' }] } }, '#/propertyNames'],
      [{ anyOf: [] }, '#/anyOf'],
      [{ properties: { a: { $id: 'x' } } }, '#/properties/a/$id'],
      [[], '#'],
    ];
    for (const [schema, place] of wrong)
      expect(refusal(schema), JSON.stringify(schema)).toContain(`JSON schema at ${place}: `);
  });

  it('schemas that no value fits', () => {
    const impossible: unknown[] = [
      false,
      { type: 'integer', minimum: 2, maximum: 1 },
      { allOf: [{ type: 'string' }, { type: 'null' }] },
      { type: 'string', minLength: 3, maxLength: 2 },
      { type: 'object', required: ['a'], additionalProperties: false },
      { type: 'array', minItems: 1, items: false },
      { enum: [1, 2], const: 3 },
      { type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] },
      { type: 'string', pattern: '^a$', minLength: 2 },
    ];
    for (const schema of impossible)
      expect(refusal(schema), JSON.stringify(schema)).toContain('no value fits');
    expect(refusal({ $ref: '#' })).toContain('refers to itself');
    expect(
      refusal({ $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' }),
    ).toContain('refers to itself');
  });

  it('numbers and strings that fit but that it does not generate, without calling it a contradiction', () => {
    const beyond: readonly unknown[] = [
      { type: 'integer', minimum: 1e16 },
      { type: 'integer', minimum: -9007199254740991, maximum: -9e15 },
      { type: 'number', exclusiveMinimum: 1e300 },
      { type: 'number', minimum: 0.12345678901234561, maximum: 0.12345678901234568 },
      { type: 'number', multipleOf: 0.01, minimum: 1e14 },
      { type: 'integer', multipleOf: 7, minimum: 1e15, maximum: 1e15 + 7 },
      { type: 'object', properties: { a: { type: 'integer', maximum: -1e18 } }, required: ['a'] },
    ];
    for (const schema of beyond)
      expect(refusal(schema), JSON.stringify(schema)).toContain('more than 15 digits');
    const contradictions: readonly unknown[] = [
      { type: 'integer', minimum: 1e16, maximum: 1e15 },
      { type: 'integer', exclusiveMinimum: 1e16, exclusiveMaximum: 1e16 + 2, multipleOf: 5 },
      { type: 'number', exclusiveMinimum: 1e300, maximum: 1e300 },
      { type: 'number', minimum: 0.011, maximum: 0.019, multipleOf: 0.01 },
      { type: 'integer', minimum: -0.9, maximum: -0.1 },
    ];
    for (const schema of contradictions)
      expect(refusal(schema), JSON.stringify(schema)).toContain('no value fits');
    for (const bound of [9007199254740991, 2 ** 64, 3.4028234663852886e38, Number.MAX_VALUE]) {
      for (const type of ['integer', 'number']) {
        expectTexts({ type, minimum: -bound, maximum: bound }, ['42', '-7', '0', '123456789'], ['x']);
        expectTexts({ type, minimum: 3, exclusiveMaximum: bound }, ['42'], ['-7', '2']);
      }
    }
    // What can be generated is; what cannot is left out.
    expectTexts({ anyOf: [{ type: 'integer', minimum: 1e16 }, { type: 'null' }] }, ['null'], ['1']);
    expect(refusal({ type: 'string', format: 'email', pattern: '"' })).toContain(
      'JSON schema at #/format: no common string',
    );
  });

  it('schemas that are too large, in time', () => {
    const nested = (depth: number): unknown => (depth === 0 ? {} : { items: nested(depth - 1) });
    const many = (count: number, make: (i: number) => unknown) =>
      Array.from({ length: count }, (_, i) => make(i));
    const names = (count: number) =>
      Object.fromEntries(many(count, (i) => [`p${i}`, {}]) as [string, unknown][]);
    const pairs = many(9, () => ({ anyOf: [{ minimum: 0 }, { maximum: 0 }] }));
    // Each definition asks for two of the next: as a tree it would have 2^40 leaves.
    const wide = Object.fromEntries(
      many(40, (i) => [
        `d${i}`,
        { anyOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] },
      ]) as [string, unknown][],
    );
    const hostile: readonly [unknown, RegExp][] = [
      [nested(100), /nested deeper/],
      [{ enum: many(6000, (i) => i) }, /more than 5000 values/],
      [{ const: 'x'.repeat(300_000) }, /too long/],
      [{ properties: names(600) }, /more than 500 properties/],
      [{ allOf: pairs }, /more than 128 alternatives/],
      [{ $ref: '#/$defs/d0', $defs: { ...wide, d40: {} } }, /alternatives/],
      [{ $ref: '#/$defs/d0', $defs: { ...wide, d40: false } }, /too many combinations/],
      [{ pattern: `^${'(?=.*a.{9}$)'.repeat(100)}` }, /#\/pattern: it/],
      [{ pattern: `^(?:${'(?!a(?:b|c){9}a)'.repeat(100)}.)*$` }, /nothing|#\/pattern: it/],
      [{ pattern: '(?=(?:a|b)*a(?:a|b){9})'.repeat(80) }, /nothing|#\/pattern: it/],
      [{ pattern: '^(?:a(?=(?:a|b){1,60}c)|b)*' }, /nothing|#\/pattern: it/],
      [{ pattern: '(a|b)*a(a|b){20}' }, /#\/pattern: it needs more than/],
      [{ type: 'string', pattern: '^a+$', maxLength: 1e9 }, /#\/pattern: it needs more than/],
    ];
    for (const [schema, message] of hostile) {
      const seconds = cpuSeconds(() => expect(refusal(schema)).toMatch(message));
      expect(seconds).toBeLessThan(4);
    }
  });

  it('a schema whose shortest text is longer than the requested tokens', () => {
    for (const schema of [
      { type: 'array', minItems: 1e9, items: { type: 'integer' } },
      { type: 'string', minLength: 1e9 },
      { const: 'a long text that needs its tokens' },
    ]) {
      const seconds = cpuSeconds(() => {
        const compiled = compileJsonSchema(schema, tokenizer);
        expect(() => compiled.constraint({ maxTokens: 12 })).toThrow(/shortest JSON .* at most 12/);
      });
      expect(seconds).toBeLessThan(1.5);
    }
    // Numbers up to which nothing is counted or stored beforehand.
    expect(compileJsonSchema({ type: 'array', maxItems: 1e9 }, tokenizer).shortest).toBe(2);
    expect(compileJsonSchema({ type: 'string', maxLength: 1e9 }, tokenizer).shortest).toBe(2);
  });
});
