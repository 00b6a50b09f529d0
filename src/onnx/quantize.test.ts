import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { input, matmul, parameter } from '../graph/operators/index.ts';
import { Random } from '../random.ts';
import { nodeEngine } from '../runtime/engine.node.ts';
import { Executable } from '../runtime/executable.ts';
import { dequantizeMatrix, type Quantization, quantizeMatrix } from './quantize.ts';
import { type QuantizedMatrix, quantizedBytes, quantizedSource, stackQuantized } from './weights.ts';

const engines = [
  ['C interface', nodeEngine({ threads: 2 })],
  ['binding', nodeEngine({ threads: 2 }, { binding: true })],
] as const;

function gaussian(count: number, seed: number): Float32Array {
  const random = new Random(seed);
  return Float32Array.from({ length: count }, () => 0.02 * random.nextGaussian());
}

/** Whole numbers whose blocks all have 127 as their largest: as 8-bit activations they are exact. */
function exactActivations(rows: number, columns: number, seed: number): Float32Array {
  const random = new Random(seed);
  return Float32Array.from({ length: rows * columns }, (_, i) =>
    (i % columns) % 16 === 0 ? 127 : random.nextInt(255) - 127,
  );
}

/** x · Wᵀ in float64. */
function product(x: Float32Array, weights: Float32Array, columns: number): Float64Array {
  const rows = weights.length / columns;
  const result = new Float64Array((x.length / columns) * rows);
  for (let i = 0; i < result.length; i++) {
    const [token, row] = [Math.floor(i / rows), i % rows];
    for (let k = 0; k < columns; k++) result[i]! += x[token * columns + k]! * weights[row * columns + k]!;
  }
  return result;
}

function expectClose(actual: ArrayLike<number>, expected: Float64Array, bound = 1e-5) {
  const size = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  expect(actual.length).toBe(expected.length);
  const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - actual[i]!)), 0);
  expect(worst / size).toBeLessThan(bound);
}

const FORMS: Quantization[] = ([4, 8] as const).flatMap((bits) =>
  ([32, 64, 128] as const).map((block) => ({ bits, block })),
);

describe.each(engines)('a quantized product through the %s', (_name, engine) => {
  it.each(FORMS.flatMap((form) => [96, 256, 576].map((columns) => ({ ...form, columns }))))(
    'equals the product of the dequantized numbers: $bits bits, blocks of $block, $columns columns',
    async ({ bits, block, columns }) => {
      const rows = 35;
      const matrix = quantizeMatrix(gaussian(rows * columns, 1), rows, columns, { bits, block });
      for (const tokens of [1, 5]) {
        const x = exactActivations(tokens, columns, 2);
        expectClose(await run(engine, matrix, x, tokens), product(x, dequantizeMatrix(matrix), columns));
      }
    },
  );

  it.each(FORMS)('adds the zero points of blocks: $bits bits, blocks of $block', async ({ bits, block }) => {
    const [rows, columns] = [24, 256];
    const plain = quantizeMatrix(gaussian(rows * columns, 3), rows, columns, { bits, block });
    const matrix = { ...plain, offsets: gaussian((rows * columns) / block, 4) };
    const x = exactActivations(3, columns, 5);
    expectClose(await run(engine, matrix, x, 3), product(x, dequantizeMatrix(matrix), columns));
  });

  it.each(FORMS.flatMap((form) => [256, 576].map((columns) => ({ ...form, columns }))))(
    'keeps the precision of activations on request: $bits bits, blocks of $block, $columns columns',
    async ({ bits, block, columns }) => {
      const matrix = quantizeMatrix(gaussian(24 * columns, 7), 24, columns, { bits, block });
      const x = gaussian(3 * columns, 8);
      // An outlier takes all the precision of its block from 8-bit activations.
      x[5] = 30;
      const expected = product(x, dequantizeMatrix(matrix), columns);
      expectClose(await run(engine, matrix, x, 3, true), expected, 1e-4);
    },
  );

  it('is computed once for several matrices with the same activations', async () => {
    const columns = 64;
    const form = { bits: 4, block: 32 } as const;
    const matrices = [40, 8, 8].map((rows, i) =>
      quantizeMatrix(gaussian(rows * columns, i), rows, columns, form),
    );
    const x = input('x', 'float32', [2, columns]);
    const outputs = new Map(
      matrices.map(({ rows }, i) => [
        `y${i}`,
        matmul(x, parameter(`w${i}`, [rows, columns]), { transB: true }),
      ]),
    );
    const weights = new Map(matrices.map((matrix, i) => [`w${i}`, { quantized: quantizedSource(matrix) }]));
    const executable = await Executable.compile(engine, outputs, { weights });
    const data = exactActivations(2, columns, 6);
    const results = await executable.run({ x: { data, shape: [2, columns] } });
    await executable.release();
    matrices.forEach((matrix, i) => {
      expectClose(results[`y${i}`]!.data as Float32Array, product(data, dequantizeMatrix(matrix), columns));
    });
  });
});

async function run(
  engine: (typeof engines)[number][1],
  matrix: QuantizedMatrix,
  data: Float32Array,
  tokens: number,
  exact = false,
) {
  const { rows, columns } = matrix;
  const x = input('x', 'float32', [tokens, columns]);
  const y = matmul(x, parameter('weight', [rows, columns]), { transB: true });
  const weights = new Map([['weight', { quantized: { ...quantizedSource(matrix), exact } }]]);
  const executable = await Executable.compile(engine, new Map([['y', y]]), { weights });
  const result = await executable.run({ x: { data, shape: [tokens, columns] } });
  await executable.release();
  return result.y!.data as Float32Array;
}

describe('quantizing', () => {
  const matrices = fc
    .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 300 }))
    .chain(([rows, columns]) =>
      fc
        .float32Array({ minLength: rows * columns, maxLength: rows * columns, noNaN: true, min: -8, max: 8 })
        .map((values) => ({ rows, columns, values })),
    );

  it.each(FORMS)('errs by at most a step: $bits bits, blocks of $block', (form) => {
    fc.assert(
      fc.property(matrices, ({ rows, columns, values }) => {
        const matrix = quantizeMatrix(values, rows, columns, form);
        const back = dequantizeMatrix(matrix);
        for (let row = 0; row < rows; row++) {
          for (let start = 0; start < columns; start += form.block) {
            const block = (all: Float32Array) =>
              all.subarray(row * columns + start, row * columns + Math.min(columns, start + form.block));
            const [exact, near] = [block(values), block(back)];
            const largest = exact.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
            // 8 bits: half of 1/127. 4 bits: at worst the largest is clipped by 1.2 steps of 1/7. Float32 rounds both.
            const bound = largest * (form.bits === 8 ? 0.5 / 127 : 1.2 / 7) * 1.001;
            for (const [i, value] of exact.entries())
              expect(Math.abs(value - near[i]!)).toBeLessThanOrEqual(bound + 1e-30);
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  it('keeps zeros and whole multiples of a step exactly', () => {
    const values = Float32Array.from({ length: 64 }, (_, i) => (i % 16) - 8);
    const back = dequantizeMatrix(quantizeMatrix(values, 2, 32, { bits: 4, block: 32 }));
    expect(Array.from(back)).toEqual(Array.from(values));
    const zeros = dequantizeMatrix(quantizeMatrix(new Float32Array(64), 2, 32, { bits: 8, block: 32 }));
    expect(zeros.every((value) => value === 0)).toBe(true);
  });

  it('to 4 bits has no larger error than the plain rule of the largest value over −8', () => {
    const values = gaussian(64 * 128, 9);
    const error = (near: Float32Array) => near.reduce((sum, value, i) => sum + (value - values[i]!) ** 2, 0);
    const back = dequantizeMatrix(quantizeMatrix(values, 64, 128, { bits: 4, block: 32 }));
    const plain = new Float32Array(values.length);
    for (let start = 0; start < values.length; start += 32) {
      const block = values.subarray(start, start + 32);
      const extreme = block.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
      const scale = extreme / -8;
      block.forEach((value, i) => {
        plain[start + i] = scale * Math.max(-8, Math.min(7, Math.round(value / scale)));
      });
    }
    expect(error(back)).toBeLessThan(0.95 * error(plain));
  });

  it('reports how many bytes a form takes', () => {
    expect(quantizedBytes({ rows: 10, columns: 256, bits: 4, block: 128 })).toBe(10 * 2 * (64 + 4));
    expect(quantizedBytes({ rows: 1, columns: 32, bits: 8, block: 32, hasOffsets: true })).toBe(32 + 8);
  });

  it('stacks matrices row after row', async () => {
    const parts = [3, 5].map((rows, i) =>
      quantizeMatrix(gaussian(rows * 64, i), rows, 64, { bits: 4, block: 32 }),
    );
    const all = dequantizeMatrix(await stackQuantized(parts.map(quantizedSource)).read());
    expect(Array.from(all)).toEqual(parts.flatMap((part) => Array.from(dequantizeMatrix(part))));
  });
});
