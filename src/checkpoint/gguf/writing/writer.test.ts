import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RopewalkError } from '../../../errors.ts';
import { memorySink, memorySource } from '../../../files/source.ts';
import { dequantize } from '../reading/dequantize.ts';
import { openGguf } from '../reading/reader.ts';
import type { GgufScalarType, GgufValue, GgufValueType, WritableGgmlType } from '../types.ts';
import { quantize } from './quantize.ts';
import { type GgufTensorToWrite, type GgufToWrite, ggufTensorBytes, writeGguf } from './writer.ts';

async function write(model: Partial<GgufToWrite>): Promise<Uint8Array> {
  const sink = memorySink();
  await writeGguf(sink, { metadata: [], tensors: [], ...model });
  return sink.bytes();
}

const tensor = (
  name: string,
  shape: readonly number[],
  values: Float32Array,
  type: WritableGgmlType = 'F32',
): GgufTensorToWrite => ({ name, shape, type, read: async () => values });

/** The values that a type can have, as the reader gives them. */
const scalars: Record<GgufScalarType, fc.Arbitrary<GgufValue>> = {
  u8: fc.integer({ min: 0, max: 255 }),
  i8: fc.integer({ min: -128, max: 127 }),
  u16: fc.integer({ min: 0, max: 65535 }),
  i16: fc.integer({ min: -32768, max: 32767 }),
  u32: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  i32: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  f32: fc.float(),
  f64: fc.double(),
  bool: fc.boolean(),
  string: fc.string({ unit: 'grapheme' }),
  u64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(narrow),
  i64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(narrow),
};

function narrow(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

const typedValue = fc.constantFrom(...(Object.keys(scalars) as GgufScalarType[])).chain((type) =>
  fc.oneof(
    fc.record({ type: fc.constant<GgufValueType>(type), value: scalars[type] }),
    fc.record({ type: fc.constant<GgufValueType>({ array: type }), value: fc.array(scalars[type]) }),
    fc.record({
      type: fc.constant<GgufValueType>({ array: { array: type } }),
      value: fc.array(fc.array(scalars[type]), { maxLength: 3 }),
    }),
  ),
);

/** Lists of any kind as plain ones, integers of any kind as bigints. */
function plain(value: GgufValue): unknown {
  if (typeof value === 'object') return Array.from(value as ArrayLike<GgufValue>, plain);
  return typeof value === 'number' && Number.isInteger(value) && !Object.is(value, -0)
    ? BigInt(value)
    : value;
}

describe('a GGUF file that was written', () => {
  test('reads back with metadata of every type', async () => {
    const entries = fc.uniqueArray(
      fc.record({ key: fc.string({ unit: 'grapheme', minLength: 1 }), typed: typedValue }),
      { maxLength: 5, selector: ({ key }) => key },
    );
    await fc.assert(
      fc.asyncProperty(entries, async (list) => {
        const bytes = await write({ metadata: list.map(({ key, typed }) => [key, typed.type, typed.value]) });
        const file = await openGguf(memorySource(bytes));
        expect(file.version).toBe(3);
        expect([...file.metadata.keys()]).toEqual(list.map(({ key }) => key));
        for (const { key, typed } of list) expect(plain(file.metadata.get(key)!)).toEqual(plain(typed.value));
      }),
      { numRuns: 300 },
    );
  });

  test('reads back with tensors of every type and number of dimensions, at every alignment', async () => {
    const shape = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 0, maxLength: 3 });
    const entry = fc.record({
      name: fc.string({ unit: 'grapheme', maxLength: 10 }).filter((name) => Buffer.byteLength(name) < 64),
      outer: shape,
      type: fc.constantFrom<WritableGgmlType>('F32', 'F16', 'BF16', 'Q8_0', 'Q4_0'),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(entry, { maxLength: 5, selector: ({ name }) => name }),
        fc.constantFrom(undefined, 8, 32, 64, 4096),
        fc.infiniteStream(fc.float({ min: -1000, max: 1000, noNaN: true })),
        async (entries, alignment, random) => {
          const tensors = entries.map(({ name, outer, type }) => {
            const shape = [...outer, 32];
            const values = Float32Array.from(
              { length: shape.reduce((a, b) => a * b) },
              () => random.next().value as number,
            );
            return { ...tensor(name, shape, values, type), values };
          });
          const bytes = await write({ tensors, ...(alignment ? { alignment } : {}) });
          const file = await openGguf(memorySource(bytes));
          expect(bytes.length % (alignment ?? 32)).toBe(0);
          expect([...file.tensors.keys()]).toEqual(tensors.map(({ name }) => name));
          for (const { name, shape, type, values } of tensors) {
            const stored = file.tensors.get(name)!;
            expect(stored.shape).toEqual(shape);
            expect(stored.byteLength).toBe(ggufTensorBytes(shape, type));
            const read = await stored.source.read(stored.offset, stored.byteLength);
            expect(read).toEqual(quantize(type, values));
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test('reads back with a header larger than its first buffer and a tensor larger than a chunk', async () => {
    const tokens = Array.from({ length: 5000 }, (_, i) => `token ${i}`);
    const values = Float32Array.from({ length: 600_000 }, (_, i) => Math.sin(i));
    const bytes = await write({
      metadata: [['tokenizer.ggml.tokens', { array: 'string' }, tokens]],
      tensors: [tensor('w', [6000, 100], values, 'F16'), tensor('v', [18_750, 32], values, 'Q8_0')],
    });
    const file = await openGguf(memorySource(bytes));
    expect(file.metadata.get('tokenizer.ggml.tokens')).toEqual(tokens);
    for (const [name, type] of [
      ['w', 'F16'],
      ['v', 'Q8_0'],
    ] as const) {
      const { source, offset, byteLength } = file.tensors.get(name)!;
      const read = new Float32Array(values.length);
      dequantize(type, await source.read(offset, byteLength), read);
      const largest = values.reduce((most, value, i) => Math.max(most, Math.abs(value - read[i]!)), 0);
      expect(largest).toBeLessThan(0.005); // half a step of 1/127, and of a float16
    }
  });
});

test('the GGUF writer writes the same bytes as the Python package', async () => {
  const folder = new URL('../../../../test/reference/gguf/', import.meta.url);
  const bytes = new Uint8Array(readFileSync(new URL('python.gguf', folder)));
  const { metadata: says } = JSON.parse(readFileSync(new URL('python.json', folder), 'utf8')) as {
    metadata: Record<string, { type: string; value: GgufValue }>;
  };
  const names: Record<string, GgufScalarType> = {
    ...{ UINT8: 'u8', INT8: 'i8', UINT16: 'u16', INT16: 'i16', UINT32: 'u32', INT32: 'i32', UINT64: 'u64' },
    ...{ INT64: 'i64', FLOAT32: 'f32', FLOAT64: 'f64', BOOL: 'bool', STRING: 'string' },
  };
  const items: Record<string, GgufValueType> = {
    ...{ 'a.strings': 'string', 'a.floats': 'f32', 'a.ints': 'i32', 'a.bools': 'bool' },
    'a.nested': { array: 'i32' },
  };
  const file = await openGguf(memorySource(bytes));
  const metadata: [string, GgufValueType, GgufValue][] = [
    ['general.architecture', 'string', 'llama'],
    ['general.alignment', 'u32', 64],
  ];
  for (const [key, { type }] of Object.entries(says)) {
    metadata.push([key, items[key] ? { array: items[key] } : names[type]!, file.metadata.get(key)!]);
  }
  const tensors = [...file.tensors.values()].map(({ name, shape, type, source, offset, byteLength }) => ({
    name,
    shape,
    type: type as WritableGgmlType,
    read: async () => {
      const values = new Float32Array(shape.reduce((a, b) => a * b));
      dequantize(type, await source.read(offset, byteLength), values);
      return values;
    },
  }));
  expect(await write({ metadata, tensors, alignment: 64 })).toEqual(bytes);
});

describe('the GGUF writer refuses', () => {
  const one = Float32Array.of(1);
  test.each<[string, Partial<GgufToWrite>, RegExp]>([
    [
      'a key twice',
      {
        metadata: [
          ['a', 'u8', 1],
          ['a', 'u8', 1],
        ],
      },
      /metadata "a" would be written twice/,
    ],
    ['an empty key', { metadata: [['', 'u8', 1]] }, /"" is not a metadata key/],
    ['256 as u8', { metadata: [['a', 'u8', 256]] }, /"a" must be an integer of type u8, not 256/],
    ['−1 as u64', { metadata: [['a', 'u64', -1]] }, /"a" must be an integer of type u64/],
    ['2^63 as i64', { metadata: [['a', 'i64', 2n ** 63n]] }, /of type i64, not 9223372036854775808/],
    ['a fraction as i32', { metadata: [['a', 'i32', 0.5]] }, /"a" must be an integer/],
    ['a number as text', { metadata: [['a', 'string', 1]] }, /"a" must be a string, not 1/],
    ['half a character', { metadata: [['a', 'string', '\ud83e']] }, /"a" must be a string/],
    ['a list as a number', { metadata: [['a', 'f32', [1]]] }, /"a" must be a number, not a list/],
    ['a number as a list', { metadata: [['a', { array: 'f32' }, 1]] }, /"a" must be a list/],
    ['a wrong item', { metadata: [['a', { array: 'bool' }, [true, 1]]] }, /"a" must be a boolean/],
    [
      'another alignment',
      { metadata: [['general.alignment', 'u32', 64]] },
      /must be the alignment written, 32/,
    ],
    ['an alignment of 48', { alignment: 48 }, /48 is not a power of two/],
    [
      'a tensor twice',
      { tensors: [tensor('a', [1], one), tensor('a', [1], one)] },
      /"a" would be written twice/,
    ],
    ['a long name', { tensors: [tensor('가'.repeat(22), [1], one)] }, /at most 63 bytes/],
    ['five dimensions', { tensors: [tensor('a', [1, 1, 1, 1, 1], one)] }, /not a shape that GGUF can hold/],
    ['no dimension', { tensors: [tensor('a', [], one)] }, /not a shape that GGUF can hold/],
    ['a size of 0', { tensors: [tensor('a', [0], one)] }, /not a shape that GGUF can hold/],
    [
      'rows of 16 in Q8_0',
      { tensors: [tensor('a', [2, 16], one, 'Q8_0')] },
      /"a": its rows of 16 .* write F16/,
    ],
    ['a wrong length', { tensors: [tensor('a', [2], one)] }, /"a" of shape \[2\] needs 2 values and got 1/],
    [
      'NaN in Q4_0',
      { tensors: [tensor('a', [32], new Float32Array(32).fill(Number.NaN), 'Q4_0')] },
      /"a": Q4_0 cannot hold NaN/,
    ],
  ])('a model with this fault: %s', async (_, model, message) => {
    await expect(write(model)).rejects.toThrow(message);
    await expect(write(model)).rejects.toThrow(RopewalkError);
  });

  test('a faulty header before anything is read or written', async () => {
    const asked: string[] = [];
    const sink = { write: async () => void asked.push('write') };
    const read = async () => {
      asked.push('read');
      return one;
    };
    const first = { ...tensor('a', [1], one), read };
    await expect(writeGguf(sink, { metadata: [], tensors: [first, tensor('b', [], one)] })).rejects.toThrow();
    expect(asked).toEqual([]);
  });
});

test('the GGUF writer asks for a tensor only after the one before it is written', async () => {
  const events: string[] = [];
  const values = new Float32Array(32);
  const make = (name: string): GgufTensorToWrite => ({
    ...tensor(name, [32], values),
    read: async () => {
      events.push(`read ${name}`);
      return values;
    },
  });
  const sink = { write: async (bytes: Uint8Array) => void events.push(`write ${bytes.length}`) };
  await writeGguf(sink, { metadata: [], tensors: [make('a'), make('b')] });
  expect(events).toEqual(['write 96', 'read a', 'write 128', 'read b', 'write 128']);
});
