import { input, matmul, parameter } from '../../src/graph/operators/index.ts';
import { dequantizeMatrix, quantizeMatrix } from '../../src/onnx/quantize.ts';
import { quantizedSource } from '../../src/onnx/weights.ts';
import { Random } from '../../src/random.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { Executable } from '../../src/runtime/executable.ts';
import { relativeError } from './numbers.ts';

/** Wide enough for the kernel with 8-bit activations, which takes rows of a multiple of 128 numbers. */
const [COLUMNS, ROWS] = [256, 64];
/** Activations that share a step in that kernel. */
const ACTIVATIONS = 128;

export interface ProductCheck {
  readonly name: string;
  /** Distance from the expected product, as a share of its largest value. */
  readonly error: number;
  /** The same for the product in which one block's scale is off by 5 percent: what the check must notice. */
  readonly wrongScale: number;
}

/** Products with quantized weights on the engine, against float64. */
export async function productChecks(engine: Engine): Promise<ProductCheck[]> {
  const random = new Random(3);
  const checks: ProductCheck[] = [];
  for (const bits of [8, 4] as const) {
    for (const block of [32, 128] as const) {
      for (const tokens of [1, 8]) {
        for (const exact of [true, false]) {
          const values = Float32Array.from({ length: ROWS * COLUMNS }, () => random.next() - 0.5);
          const matrix = quantizeMatrix(values, ROWS, COLUMNS, { bits, block });
          const x = Float32Array.from({ length: tokens * COLUMNS }, () => 4 * random.next() - 2);
          const y = matmul(input('x', 'float32', [tokens, COLUMNS]), parameter('w', [ROWS, COLUMNS]), {
            transB: true,
          });
          const weights = new Map([['w', { quantized: { ...quantizedSource(matrix), exact } }]]);
          const executable = await Executable.compile(engine, new Map([['y', y]]), { weights });
          const results = await executable.run({ x: { data: x, shape: [tokens, COLUMNS] } });
          await executable.release();
          const actual = results.y!.data as Float32Array;
          const weight = dequantizeMatrix(matrix);
          // A card without subgroups has no kernel for 8-bit activations: it keeps them as they are.
          const inputs = exact ? [x] : [rounded(x), x];
          const errorWith = (w: Float32Array) =>
            Math.min(...inputs.map((each) => relativeError(actual, product(each, w))));
          // Of the first row's blocks the one that matters most: another may happen to add almost nothing.
          const wrong = Array.from({ length: COLUMNS / block }, (_, b) =>
            errorWith(weight.map((value, i) => (Math.floor(i / block) === b ? value * 1.05 : value))),
          );
          const name = `${bits} bits, blocks of ${block}, ${tokens} tokens, ${exact ? 'exact' : 'int8'}`;
          checks.push({ name, error: errorWith(weight), wrongScale: Math.max(...wrong) });
        }
      }
    }
  }
  return checks;
}

/** x `[tokens, columns]` times the transpose of w `[rows, columns]`. */
function product(x: ArrayLike<number>, w: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: (x.length / COLUMNS) * ROWS }, (_, i) => {
    const [row, token] = [i % ROWS, Math.floor(i / ROWS)];
    let sum = 0;
    for (let k = 0; k < COLUMNS; k++) sum += x[token * COLUMNS + k]! * w[row * COLUMNS + k]!;
    return sum;
  });
}

/** Each number as the nearest of the 255 steps around zero whose ends are the largest of its block. */
function rounded(x: Float32Array): Float64Array {
  const values = Float64Array.from(x);
  for (let at = 0; at < values.length; at += ACTIVATIONS) {
    const block = values.subarray(at, at + ACTIVATIONS);
    const step = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127;
    for (let i = 0; i < block.length; i++) block[i] = Math.floor(block[i]! / step + 0.5) * step;
  }
  return values;
}
