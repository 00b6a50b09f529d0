import type { Emitter, QuantizedWeight } from '../tensor.ts';
import { gemm } from './gemm.ts';

/** Accuracy levels of MatMulNBits: activations as float32, or as int8 with a scale per block. */
const FLOAT32 = 1;
const INT8 = 4;

/**
 * The product of x `[…, in]` and a quantized `[out, in]`: its lowering by com.microsoft's MatMulNBits.
 *
 * With 8-bit activations, as in llama.cpp, outliers among the activations cost some tenths of a percent of
 * perplexity. If the weight asks for exact activations, the kernel for float32 activations is used. For 8-bit weights
 * that kernel is a hundred times slower on the CPU, so there the activations are split into two 8-bit parts, the
 * second holding the rounding error of the first.
 *
 * Block offsets are added as a separate product: Σ over a block of x · offset = (Σ x) · offset.
 *
 * @param rank of x.
 */
export function quantizedProduct(e: Emitter, x: string, rank: number, weight: QuantizedWeight): string[] {
  const { rows, columns, block, bits, exact, offsets } = weight;
  const one = (type: string, inputs: string[], attributes = {}, domain = '') =>
    e.node(type, inputs, attributes, { domain })[0]!;
  const product =
    exact && bits === 8 && e.dialect === 'onnxruntime'
      ? inTwoParts(e, x, rank, weight)
      : multiply(e, x, weight, exact ? FLOAT32 : INT8);
  if (!offsets) return [product];
  const sums = one('ReduceSum', [inBlocks(e, x, rank, columns, block), e.constant('int64', [1], [rank])], {
    keepdims: 0,
  });
  const factors = { x: sums, rank, matrix: offsets, inner: columns / block, out: rows };
  const added =
    e.dialect === 'webgpu'
      ? gemm(e, factors, { transA: false, transB: true, alpha: 1 })[0]!
      : one('FusedMatMul', [sums, offsets], { transB: 1 }, 'com.microsoft');
  return [one('Add', [product, added])];
}

function multiply(e: Emitter, x: string, weight: QuantizedWeight, accuracy: number): string {
  const { rows, columns, bits, block, data, scales, zeroPoints } = weight;
  const attributes = { K: columns, N: rows, bits, block_size: block, accuracy_level: accuracy };
  const inputs = zeroPoints === undefined ? [x, data, scales] : [x, data, scales, zeroPoints];
  return e.node('MatMulNBits', inputs, attributes, { domain: 'com.microsoft' })[0]!;
}

/** x `[…, in]` → `[…, blocks, block]`. Only for rows of whole blocks. */
function inBlocks(e: Emitter, x: string, rank: number, columns: number, block: number): string {
  // 0 keeps a size as it is.
  const shape = [...new Array<number>(rank - 1).fill(0), columns / block, block];
  return e.node('Reshape', [x, e.constant('int64', [shape.length], shape)])[0]!;
}

/** x as its 8-bit rounding and the remainder, stacked, so that the weights are read once for both. */
function inTwoParts(e: Emitter, x: string, rank: number, weight: QuantizedWeight): string {
  const { columns, block } = weight;
  const one = (type: string, inputs: string[], attributes = {}) => e.node(type, inputs, attributes)[0]!;
  const padded = Math.ceil(columns / block) * block;
  const axis = rank - 2;
  const before = new Array<number>(rank).fill(0);
  const after = [...new Array<number>(rank - 1).fill(0), padded - columns];
  const pads = e.constant('int64', [2 * rank], [...before, ...after]);
  const whole = padded === columns ? x : one('Pad', [x, pads]);
  const blocks = inBlocks(e, whole, rank, padded, block);
  const largest = one('ReduceMax', [one('Abs', [blocks]), e.constant('int64', [1], [rank])]);
  // A block of zeros can have any step.
  const step = one('Max', [
    one('Mul', [largest, e.constant('float32', [], [1 / 127])]),
    e.constant('float32', [], [1e-30]),
  ]);
  const first = one('Mul', [one('Round', [one('Div', [blocks, step])]), step]);
  const rest = one('Sub', [blocks, first]);
  const shape = e.constant('int64', [rank], [...new Array<number>(rank - 1).fill(0), padded]);
  const flat = (part: string) => {
    const rows = one('Reshape', [part, shape]);
    const cut = [0, columns, rank - 1].map((value) => e.constant('int64', [1], [value]));
    return padded === columns ? rows : one('Slice', [rows, ...cut]);
  };
  const both = one('Concat', [flat(first), flat(rest)], { axis });
  const product = multiply(e, both, weight, INT8);
  const [a, b] = e.node('Split', [product], { axis, num_outputs: 2 }, { outputs: 2 });
  return one('Add', [a!, b!]);
}
