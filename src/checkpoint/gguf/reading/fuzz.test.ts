import { expect, test } from 'vitest';
import { RopewalkError } from '../../../errors.ts';
import { type ByteSource, checkRange, memorySink } from '../../../files/source.ts';
import { writeGguf } from '../writing/writer.ts';
import { dequantize } from './dequantize.ts';
import { openGguf } from './reader.ts';

const MUTATIONS = 24_000;

/** Mulberry32: the same mutations in every run. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A small file with every kind of value and several types. */
async function smallFile(): Promise<Uint8Array> {
  const sink = memorySink();
  const values = (length: number) => async () => Float32Array.from({ length }, (_, i) => i - 7.25);
  await writeGguf(sink, {
    metadata: [
      ['general.architecture', 'string', 'llama'],
      ['general.alignment', 'u32', 32],
      ['a.u8', 'u8', 3],
      ['a.u64', 'u64', 2n ** 60n],
      ['a.bool', 'bool', true],
      ['a.f64', 'f64', 0.1],
      ['a.strings', { array: 'string' }, ['', 'ab', '한글']],
      ['a.floats', { array: 'f32' }, [1, 2, 3]],
      ['a.bools', { array: 'bool' }, [true, false]],
      ['a.nested', { array: { array: 'i32' } }, [[1], [2, 3]]],
    ],
    tensors: [
      { name: 'a', shape: [5], type: 'F32', read: values(5) },
      { name: 'b.weight', shape: [2, 32], type: 'Q8_0', read: values(64) },
      { name: 'c.weight', shape: [1, 32], type: 'Q4_0', read: values(32) },
      { name: 'd', shape: [2, 2, 2], type: 'F16', read: values(8) },
    ],
  });
  return sink.bytes();
}

/** Numbers that hurt: sizes at the edges of types, and types of values and tensors. */
const HURTFUL = [
  ...[0n, 1n, 2n, 3n, 4n, 8n, 9n, 10n, 12n, 13n, 14n, 31n, 64n, 255n, 1000n, 2n ** 16n, 2n ** 24n],
  ...[
    2n ** 31n - 1n,
    2n ** 31n,
    2n ** 32n - 1n,
    2n ** 32n,
    2n ** 53n,
    2n ** 53n + 1n,
    2n ** 63n,
    2n ** 64n - 1n,
  ],
];

function mutate(original: Uint8Array, random: () => number): Uint8Array {
  const below = (limit: number) => Math.floor(random() * limit);
  let bytes = original.slice();
  const view = new DataView(bytes.buffer);
  for (let times = 1 + below(3); times > 0; times--) {
    const at = below(bytes.length - 8);
    const hurtful = HURTFUL[below(HURTFUL.length)]!;
    switch (below(7)) {
      case 0:
        bytes[at] = bytes[at]! ^ (1 << below(8));
        break;
      case 1:
        bytes[at] = below(256);
        break;
      case 2:
        view.setUint32(at, Number(hurtful & 0xffffffffn), true);
        break;
      case 3:
        view.setBigUint64(at, hurtful, true);
        break;
      case 4: // the counts
        view.setBigUint64(8 + 8 * below(2), BigInt(below(40)), true);
        break;
      case 5: // a piece of the file somewhere else: keys twice, types that do not fit
        bytes.copyWithin(at, below(bytes.length), below(bytes.length));
        break;
      case 6: // arrays within arrays
        for (let i = at; i + 12 <= bytes.length && i < at + 12 * 6; i += 12) {
          view.setUint32(i, 9, true);
          view.setBigUint64(i + 4, BigInt(1 + below(3)), true);
        }
        break;
    }
  }
  if (below(4) === 0) bytes = bytes.slice(0, below(bytes.length));
  return bytes;
}

test(`the GGUF reader reads or refuses ${MUTATIONS} mutated files, with one kind of error and little read`, async () => {
  const original = await smallFile();
  const random = randomNumbers(7);
  let read = 0;
  let refused = 0;
  for (let i = 0; i < MUTATIONS; i++) {
    const bytes = mutate(original, random);
    let asked = 0;
    const source: ByteSource = {
      name: 'fuzz.gguf',
      size: bytes.length,
      async read(offset, length) {
        asked += length;
        checkRange('fuzz.gguf', bytes.length, offset, length);
        return bytes.slice(offset, offset + length);
      },
    };
    try {
      const file = await openGguf(source);
      for (const { type, shape, offset, byteLength } of file.tensors.values()) {
        const elements = shape.reduce((a, b) => a * b, 1);
        // What the header lets through fits into the file, so it cannot be large.
        if (elements > 4 * bytes.length) throw new Error(`mutation ${i}: ${elements} elements`);
        dequantize(type, await source.read(offset, byteLength), new Float32Array(elements));
      }
      read++;
    } catch (error) {
      if (!(error instanceof RopewalkError)) throw new Error(`mutation ${i}`, { cause: error });
      if (!error.message.startsWith('fuzz.gguf: ') || error.message.length > 3000) {
        throw new Error(`mutation ${i}: the message "${error.message}"`);
      }
      refused++;
    }
    if (asked > 2 * original.length) throw new Error(`mutation ${i}: ${asked} bytes were read`);
  }
  // Both happen, else the mutations are too weak or too strong.
  expect(read).toBeGreaterThan(MUTATIONS / 50);
  expect(refused).toBeGreaterThan(MUTATIONS / 3);
});
