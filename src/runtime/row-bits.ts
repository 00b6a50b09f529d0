import { symbol } from '../graph/dims.ts';
import { input, matmul, parameter } from '../graph/operators/index.ts';
import { newQuantizedArrays, type QuantizedShape, quantizedSource } from '../onnx/weights.ts';
import type { Engine } from './engine.ts';
import { Executable } from './executable.ts';

/** What the kernel of a quantized product depends on. */
type Form = Pick<QuantizedShape, 'bits' | 'block'> & { readonly hasZeroPoints?: boolean };

/** Row counts to try, in this order. */
const ROWS = [2, 3, 4, 8, 16, 24, 32, 64];

const known = new WeakMap<Engine, Map<string, Promise<number>>>();

/**
 * The largest number of rows of 8-bit activations whose quantized products have the same bits as each row alone; 1 if
 * even two rows are summed in another order. No interface reports this and it differs by processor, so it is found by
 * experiment: on x86-64, blocks of 32 give the same bits and blocks of 128 do not.
 */
export function rowsOfSameBits(engine: Engine, form: Form): Promise<number> {
  const { bits, block, hasZeroPoints = false } = form;
  const forms = known.get(engine) ?? new Map<string, Promise<number>>();
  known.set(engine, forms);
  const key = [bits, block, hasZeroPoints].join();
  const result = forms.get(key) ?? tryRows(engine, { bits, block, hasZeroPoints });
  forms.set(key, result);
  return result;
}

async function tryRows(engine: Engine, form: Required<Form>): Promise<number> {
  // Two and a half blocks, or the next multiple of 32: sums over several blocks, the last incomplete.
  const columns = 2 * form.block + form.block / 2;
  const shape = { rows: 48, columns, ...form };
  const arrays = newQuantizedArrays(shape);
  const next = pseudoRandom();
  arrays.data.forEach((_, i) => {
    arrays.data[i] = 256 * next();
  });
  arrays.zeroPoints?.forEach((_, i) => {
    arrays.zeroPoints![i] = 256 * next();
  });
  arrays.scales.forEach((_, i) => {
    arrays.scales[i] = 0.01 + next();
  });
  const weight = parameter('weight', [shape.rows, columns]);
  const x = input('x', 'float32', [symbol('rows'), columns]);
  const weights = new Map([['weight', { quantized: quantizedSource({ ...shape, ...arrays }) }]]);
  const product = await Executable.compile(engine, new Map([['y', matmul(x, weight, { transB: true })]]), {
    weights,
  });
  try {
    const most = ROWS.at(-1)!;
    const values = Float32Array.from({ length: most * columns }, () => next() - 0.5);
    const run = async (from: number, rows: number) => {
      const data = values.slice(from * columns, (from + rows) * columns);
      const { y } = await product.run({ x: { data, shape: [rows, columns] } });
      return Float32Array.from(y!.data as Float32Array);
    };
    const alone: number[] = [];
    for (let row = 0; row < most; row++) alone.push(...(await run(row, 1)));
    let same = 1;
    for (const rows of ROWS) {
      const together = await run(0, rows);
      if (!together.every((value, i) => value === alone[i])) break;
      same = rows;
    }
    return same;
  } finally {
    await product.release();
  }
}

/**
 * Pseudo-random numbers from 0 to 1, always the same (a linear congruential generator, Numerical Recipes' constants).
 */
export function pseudoRandom(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
