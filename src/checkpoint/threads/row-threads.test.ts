import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { FileSource } from '../../files/file.node.ts';
import { BLOCK_TYPES } from '../../kernels/unpack-kernels.ts';
import { quantizeMatrix } from '../../onnx/quantize.ts';
import { newQuantizedArrays, type QuantizedArrays } from '../../onnx/weights.ts';
import { Random } from '../../random.ts';
import { bfloat16ToFloat32, float16ToFloat32 } from '../dtypes.ts';
import { LAYOUTS, type QuantizedGgmlType } from '../gguf/reading/blocks.ts';
import { dequantize } from '../gguf/reading/dequantize.ts';
import { toQuantizedMatrix } from '../gguf/reading/matrix.ts';
import { GGML_TYPES } from '../gguf/types.ts';
import { Helper } from './helper.node.ts';
import { RowThreads } from './row-threads.node.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-rows-'));
const sources: FileSource[] = [];
afterAll(async () => {
  for (const source of sources) await source.close();
  rmSync(folder, { recursive: true });
});

/** A file with bytes at offset 12. */
async function fileWith(bytes: Uint8Array): Promise<FileSource> {
  const path = join(folder, `model-${sources.length}`);
  writeFileSync(path, Buffer.concat([Buffer.alloc(12, 0xff), bytes]));
  const source = await FileSource.open(path, 'the model');
  sources.push(source);
  return source;
}

/** A file with a matrix of floats, and the matrix's values. */
async function floatsOf(type: 'F32' | 'F16' | 'BF16', rows: number, columns: number, seed: number) {
  const random = new Random(seed);
  const values = Float32Array.from({ length: rows * columns }, () => random.next() ** 3 - 0.3);
  const codes = Uint16Array.from(values, () => {
    // Any 16 bits but those of values that are not finite.
    const code = Math.floor(random.next() * 0x10000);
    return (code & 0x7c00) === 0x7c00 ? code & 0x3fff : code;
  });
  if (type === 'F16') float16ToFloat32(codes, values);
  if (type === 'BF16')
    bfloat16ToFloat32(
      codes.map((code) => (code & 0x80ff) | 0x3f00),
      values,
    );
  const halves = type === 'BF16' ? codes.map((code) => (code & 0x80ff) | 0x3f00) : codes;
  const { buffer } = type === 'F32' ? values : halves;
  const source = await fileWith(new Uint8Array(buffer as ArrayBuffer));
  return { values, stored: { source, offset: 12, type, rows, columns } };
}

/** A file with a matrix of a ggml type, any bits but scales that are not finite. */
async function blocksOf(type: QuantizedGgmlType, rows: number, columns: number, seed: number) {
  const { block, bytes: blockBytes } = GGML_TYPES[type];
  const random = new Random(seed);
  const bytes = Uint8Array.from({ length: ((rows * columns) / block) * blockBytes }, () =>
    random.nextInt(256),
  );
  const scaleAt = type === 'Q6_K' ? [209] : ['Q4_1', 'Q5_1', 'Q4_K', 'Q5_K'].includes(type) ? [1, 3] : [1];
  for (let at = 0; at < bytes.length; at += blockBytes) for (const i of scaleAt) bytes[at + i]! &= 0xbf;
  const source = await fileWith(bytes);
  return { bytes, stored: { source, offset: 12, type, rows, columns } };
}

/** Whether two matrices have the same bytes; `toEqual` takes seconds for them. */
function isSame(a: QuantizedArrays, b: QuantizedArrays): boolean {
  const bytes = ({ buffer, byteOffset, byteLength }: Uint8Array | Float32Array) =>
    Buffer.from(buffer, byteOffset, byteLength);
  const same = (x?: Uint8Array | Float32Array, y?: Uint8Array | Float32Array) =>
    x && y ? bytes(x).equals(bytes(y)) : x === y;
  const fields = ['data', 'scales', 'zeroPoints', 'offsets'] as const;
  return fields.every((field) => same(a[field], b[field]));
}

/** The same arrays on shared memory. */
function onSharedMemory({ data, scales, zeroPoints, offsets }: QuantizedArrays): QuantizedArrays {
  const shared = (bytes: number) => new SharedArrayBuffer(bytes);
  return {
    data: new Uint8Array(shared(data.byteLength)),
    scales: new Float32Array(shared(scales.byteLength)),
    ...(zeroPoints && { zeroPoints: new Uint8Array(shared(zeroPoints.byteLength)) }),
    ...(offsets && { offsets: new Float32Array(shared(offsets.byteLength)) }),
  };
}

/** Row r of the result is row `order[r]` of `matrix`. */
function permuted(arrays: QuantizedArrays, rows: number, places: Uint32Array): QuantizedArrays {
  const move = <T extends Uint8Array | Float32Array>(part: T): T => {
    const width = part.length / rows;
    const moved = part.slice() as T;
    for (const [row, place] of places.entries())
      moved.set(part.subarray(row * width, (row + 1) * width), place * width);
    return moved;
  };
  const { data, scales, zeroPoints, offsets } = arrays;
  return {
    data: move(data),
    scales: move(scales),
    ...(zeroPoints && { zeroPoints: move(zeroPoints) }),
    ...(offsets && { offsets: move(offsets) }),
  };
}

const FORMS = [
  { bits: 4, block: 32 },
  { bits: 4, block: 128 },
  { bits: 8, block: 64 },
] as const;

describe('RowThreads', () => {
  it('gives the bytes of quantizeMatrix on any number of threads', async () => {
    const sizes = [
      [1, 1],
      [7, 200],
      [700, 576],
      [3000, 96],
    ] as const;
    const pools = [1, 2, 5].map((threads) => new RowThreads(threads, 0));
    for (const type of ['F32', 'F16', 'BF16'] as const) {
      for (const [rows, columns] of sizes) {
        const { values, stored } = await floatsOf(type, rows, columns, rows);
        for (const form of FORMS) {
          const expected = quantizeMatrix(values, rows, columns, form);
          for (const pool of pools) {
            expect(isSame(await pool.quantize(stored, form), expected), `${type} ${rows}`).toBe(true);
            const into = onSharedMemory(expected);
            await pool.quantize(stored, form, into);
            expect(isSame(into, expected), `${type} ${rows} shared`).toBe(true);
          }
        }
      }
    }
    for (const pool of pools) pool.close();
  });

  it.each(Object.keys(LAYOUTS) as QuantizedGgmlType[])(
    'unpacks and quantizes rows of %s in any order on any number of threads',
    async (type) => {
      const [rows, columns] = [700, 768];
      const { bytes, stored } = await blocksOf(type, rows, columns, 9);
      const { matrix } = toQuantizedMatrix(type, bytes, rows, columns);
      const values = new Float32Array(rows * columns);
      dequantize(type, bytes, values);
      // Pairs of neighbors that become halves.
      const places = Uint32Array.from({ length: rows }, (_, row) => (row % 2) * (rows / 2) + (row >> 1));
      const { bits, group: block, hasOffsets } = LAYOUTS[type];
      const shape = { rows, columns, bits: bits as 4 | 8, block, hasOffsets };
      for (const threads of [1, 3]) {
        const pool = new RowThreads(threads, 0);
        for (const moved of [undefined, places]) {
          const from = { ...stored, places: moved };
          const wanted = (arrays: QuantizedArrays) => (moved ? permuted(arrays, rows, moved) : arrays);
          const [own, shared] = [newQuantizedArrays(shape), onSharedMemory(matrix)];
          const half = { ...newQuantizedArrays(shape), data: onSharedMemory(matrix).data };
          for (const into of [own, shared, half]) {
            expect(await pool.unpack(from, shape, into)).toBe(true);
            expect(isSame(into, wanted(matrix)), `unpacked, ${threads} threads`).toBe(true);
          }
          for (const form of FORMS) {
            const expected = wanted(quantizeMatrix(values, rows, columns, form));
            const result = await pool.quantize(from, form);
            expect(isSame(result, expected), `quantized, ${threads} threads`).toBe(true);
          }
        }
        pool.close();
      }
    },
  );

  it('gives them also when its threads have ended, and for several matrices at once', async () => {
    const { values, stored } = await floatsOf('F32', 900, 512, 77);
    const form = { bits: 4, block: 32 } as const;
    const expected = quantizeMatrix(values, 900, 512, form);
    const pool = new RowThreads(3, 0);
    const all = [0, 1, 2].map(() => pool.quantize(stored, form));
    for (const result of await Promise.all(all)) expect(isSame(result, expected)).toBe(true);
    const interrupted = pool.quantize(stored, form);
    await Promise.resolve();
    pool.close();
    expect(isSame(await interrupted, expected)).toBe(true);
    expect(isSame(await pool.quantize(stored, form), expected)).toBe(true);
    pool.close();
  });

  it('has helpers that do the work', async () => {
    const { bytes, stored } = await blocksOf('Q8_0', 300, 512, 81);
    const { matrix } = toQuantizedMatrix('Q8_0', bytes, 300, 512);
    const target = onSharedMemory(matrix);
    const [taken, finished] = [
      new Int32Array(new SharedArrayBuffer(4)),
      new Uint8Array(new SharedArrayBuffer(3)),
    ];
    const helper = new Helper();
    await stored.source.lend((file) => {
      const where = { file, offset: 12, stored: BLOCK_TYPES.Q8_0, rows: 300, columns: 512, batchRows: 100 };
      return helper.work({ ...where, form: undefined, places: undefined, taken, finished }, target, 7);
    });
    helper.end();
    expect([...finished]).toEqual([7, 7, 7]);
    expect(isSame(target, matrix)).toBe(true);
  });

  it('keeps a file open until it is read', async () => {
    const { values, stored } = await floatsOf('F32', 900, 512, 79);
    const form = { bits: 8, block: 32 } as const;
    const pool = new RowThreads(2, 0);
    const reading = pool.quantize(stored, form);
    await Promise.resolve();
    await stored.source.close();
    expect(isSame(await reading, quantizeMatrix(values, 900, 512, form))).toBe(true);
    pool.close();
  });

  it('refuses a file that became shorter, by name', async () => {
    const { stored } = await floatsOf('F32', 900, 512, 78);
    truncateSync(join(folder, `model-${sources.length - 1}`), 1_000_000);
    for (const threads of [1, 2]) {
      const pool = new RowThreads(threads, 0);
      await expect(pool.quantize(stored, { bits: 8, block: 32 })).rejects.toThrow(
        'cannot read the model: it became shorter; do not change a model that is in use',
      );
      pool.close();
    }
  });

  it('leaves types of floats and sources in memory to others', async () => {
    const { stored } = await floatsOf('F32', 3, 32, 80);
    const pool = new RowThreads(1);
    const shape = { rows: 3, columns: 32, bits: 8, block: 32 } as const;
    const into = newQuantizedArrays(shape);
    expect(await pool.unpack(stored, shape, into)).toBe(false);
    const source = { name: 'bytes', size: 102, read: async () => new Uint8Array(102) };
    expect(await pool.unpack({ ...stored, type: 'Q8_0', source }, shape, into)).toBe(false);
  });
});
