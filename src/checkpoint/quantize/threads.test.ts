import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { quantizeMatrix } from '../../onnx/quantize.ts';
import type { QuantizedMatrix } from '../../onnx/weights.ts';
import { Random } from '../../random.ts';
import { bfloat16ToFloat32, float16ToFloat32 } from '../dtypes.ts';
import { type FileMatrix, QuantizeThreads } from './threads.node.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-quantize-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A file with a matrix at offset 12, and the matrix's values. */
function fileOf(dtype: FileMatrix['dtype'], rows: number, columns: number, seed: number) {
  const random = new Random(seed);
  const values = Float32Array.from({ length: rows * columns }, () => random.next() ** 3 - 0.3);
  const codes = Uint16Array.from(values, () => {
    // Any 16 bits but those of values that are not finite.
    const code = Math.floor(random.next() * 0x10000);
    return (code & 0x7c00) === 0x7c00 ? code & 0x3fff : code;
  });
  if (dtype === 'F16') float16ToFloat32(codes, values);
  if (dtype === 'BF16')
    bfloat16ToFloat32(
      codes.map((code) => (code & 0x80ff) | 0x3f00),
      values,
    );
  const stored = dtype === 'BF16' ? codes.map((code) => (code & 0x80ff) | 0x3f00) : codes;
  const { buffer } = dtype === 'F32' ? values : stored;
  const path = join(folder, `${dtype}-${rows}-${columns}-${seed}`);
  writeFileSync(path, Buffer.concat([Buffer.alloc(12, 0xff), Buffer.from(buffer as ArrayBuffer)]));
  return { values, matrix: { path, name: 'the model', offset: 12, dtype, rows, columns } };
}

/** Whether two matrices have the same bytes; `toEqual` takes seconds for them. */
function isSame(a: QuantizedMatrix, b: QuantizedMatrix): boolean {
  const same = (x?: Uint8Array | Float32Array, y?: Uint8Array | Float32Array) =>
    x && y ? Buffer.from(x.buffer).equals(Buffer.from(y.buffer)) : x === y;
  return same(a.data, b.data) && same(a.scales, b.scales) && same(a.zeroPoints, b.zeroPoints);
}

describe('QuantizeThreads', () => {
  it('gives the bytes of quantizeMatrix on any number of threads', async () => {
    for (const threads of [1, 2, 5]) {
      const pool = new QuantizeThreads(threads, 0);
      try {
        let seed = 0;
        for (const dtype of ['F32', 'F16', 'BF16'] as const) {
          for (const [rows, columns] of [
            [1, 1],
            [7, 200],
            [700, 576],
            [3000, 96],
          ] as const) {
            const { values, matrix } = fileOf(dtype, rows, columns, ++seed);
            for (const form of [
              { bits: 4, block: 32 },
              { bits: 4, block: 128 },
              { bits: 8, block: 64 },
            ] as const) {
              const expected = quantizeMatrix(values, rows, columns, form);
              const result = await pool.quantize(matrix, form);
              expect(isSame(result, expected), `${threads} ${dtype} ${rows}`).toBe(true);
            }
          }
        }
      } finally {
        pool.close();
      }
    }
  });

  it('gives them also when its threads have ended, and for several matrices at once', async () => {
    const { values, matrix } = fileOf('F32', 900, 512, 77);
    const form = { bits: 4, block: 32 } as const;
    const expected = quantizeMatrix(values, 900, 512, form);
    const pool = new QuantizeThreads(3, 0);
    const all = [0, 1, 2].map(() => pool.quantize(matrix, form));
    for (const result of await Promise.all(all)) expect(isSame(result, expected)).toBe(true);
    const interrupted = pool.quantize(matrix, form);
    await Promise.resolve();
    pool.close();
    expect(isSame(await interrupted, expected)).toBe(true);
    expect(isSame(await pool.quantize(matrix, form), expected)).toBe(true);
    pool.close();
  });

  it('refuses a file that became shorter, or is gone, by name', async () => {
    const { matrix } = fileOf('F32', 900, 512, 78);
    truncateSync(matrix.path, 1_000_000);
    const form = { bits: 8, block: 32 } as const;
    for (const threads of [1, 2]) {
      const pool = new QuantizeThreads(threads, 0);
      await expect(pool.quantize(matrix, form)).rejects.toThrow(
        'cannot read the model: it became shorter; do not change a model that is in use',
      );
      await expect(pool.quantize({ ...matrix, path: join(folder, 'none') }, form)).rejects.toThrow(
        'cannot read the model: no such file or folder (ENOENT)',
      );
      pool.close();
    }
  });
});
