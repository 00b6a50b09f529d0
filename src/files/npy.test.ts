import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { writeNpyFile } from './npy.node.ts';
import { npyHeader } from './npy.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-npy-'));
afterAll(() => rmSync(folder, { recursive: true }));

test("the .npy writer writes a matrix in uneven blocks as numpy's own file, byte for byte", async () => {
  const path = join(folder, 'matrix.npy');
  async function* blocks() {
    yield Float32Array.of(0, 0.25, 0.5);
    yield new Float32Array(0);
    yield Float32Array.of(9, 0.75, 1, 1.25).subarray(1);
  }
  await writeNpyFile(path, [3, 2], blocks());
  expect(readFileSync(path)).toEqual(
    readFileSync(new URL('../checkpoint/fixtures/matrix.npy', import.meta.url)),
  );
});

test('the .npy writer aligns the data to 64 bytes, whatever the shape', () => {
  for (const shape of [[], [1], [123456789, 987654], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]]) {
    const header = npyHeader(shape);
    expect(header.byteLength % 64).toBe(0);
    expect(new DataView(header.buffer).getUint16(8, true)).toBe(header.byteLength - 10);
    expect(header.at(-1)).toBe(10);
  }
  expect(new TextDecoder('latin1').decode(npyHeader([5]))).toContain("'shape': (5,), }");
  expect(() => npyHeader([-1])).toThrow(/not a shape/);
});

test('the .npy writer refuses too few and too many values, and leaves nothing behind', async () => {
  const path = join(folder, 'short.npy');
  await expect(writeNpyFile(path, [2, 2], [new Float32Array(3)])).rejects.toThrow(/needs 4 values and got 3/);
  await expect(writeNpyFile(path, [2, 2], [new Float32Array(5)])).rejects.toThrow(
    /needs 4 values and got more/,
  );
  expect(readdirSync(folder).filter((name) => name.includes('short'))).toEqual([]);
});
