import { vi } from 'vitest';
import type { OpenedModel } from '../../src/checkpoint/load.node.ts';
import { quantizedProducts } from '../../src/checkpoint/weight-sources.node.ts';
import { fullLogitsGraph } from '../../src/generation/decoder.ts';
import { evaluate } from '../../src/graph/evaluate.ts';
import { matmulOp } from '../../src/graph/operators/matmul.ts';
import type { Tensor } from '../../src/graph/tensor.ts';
import type { Values } from '../../src/graph/values.ts';
import { dequantizeMatrix, type Quantization } from '../../src/onnx/quantize.ts';
import type { QuantizedMatrix } from '../../src/onnx/weights.ts';

/**
 * Activations as products with 8-bit activations take them: each block of a row as whole multiples, from -127 to 127, of a
 * 127th of its largest absolute value.
 *
 * @param data rows of `columns` values, one after another; a last block may be shorter.
 */
export function roundedActivations(data: ArrayLike<number>, columns: number, block: number): Float64Array {
  const rounded = new Float64Array(data.length);
  for (let row = 0; row < data.length; row += columns) {
    for (let from = row; from < row + columns; from += block) {
      const to = Math.min(from + block, row + columns);
      let largest = 0;
      for (let i = from; i < to; i++) largest = Math.max(largest, Math.abs(data[i]!));
      const step = largest / 127;
      for (let i = from; i < to; i++) rounded[i] = step === 0 ? 0 : step * Math.round(data[i]! / step);
    }
  }
  return rounded;
}

/**
 * Logits of a sequence in float64, by products whose weights are quantized and whose activations are rounded to 8 bits: what
 * the engine's kernels compute, by plain arithmetic.
 *
 * @param change changes a product's quantized weight first: for what must be noticed.
 * @returns `[ids, vocab]`.
 */
export async function int8Logits(
  opened: OpenedModel,
  quantize: Quantization,
  ids: readonly number[],
  change: (path: string, matrix: QuantizedMatrix) => void = () => {},
): Promise<Float64Array> {
  const { model, names, checkpoint } = opened;
  const products = quantizedProducts(opened, quantize);
  const feeds = new Map<Tensor, Values>();
  /** Of each weight of a product, by its float32 values: its dequantized values. The table of a tied head is not rounded. */
  const quantized = new Map<Values['data'], Float64Array>();
  for (const [path, { tensor, shape }] of model.parameters()) {
    const data = Float64Array.from(await checkpoint.tensors.readFloat32(names.get(path)!));
    feeds.set(tensor, { shape: [...shape], data });
    const product = products.get(path);
    if (!product) continue;
    const matrix = await product.read();
    change(path, matrix);
    const values = dequantizeMatrix(matrix);
    const [first, second] = shape as [number, number];
    const transposed = (_: number, i: number) => values[(i % second) * first + Math.floor(i / second)]!;
    quantized.set(data, product.transposed ? data.map(transposed) : Float64Array.from(values));
  }
  const { logits } = Object.fromEntries(fullLogitsGraph(model, 1, ids.length));
  const input = inputsOf(logits!).find((tensor) => !feeds.has(tensor))!;
  feeds.set(input, { shape: [ids.length], data: Float64Array.from(ids) });
  const plain = matmulOp.evaluate!;
  const rounding = vi.spyOn(matmulOp, 'evaluate').mockImplementation(([a, b], attributes) => {
    const weight = quantized.get(b!.data);
    if (!weight) return plain([a!, b!], attributes);
    const data = roundedActivations(a!.data, a!.shape.at(-1)!, quantize.block);
    return plain(
      [
        { ...a!, data },
        { ...b!, data: weight },
      ],
      attributes,
    );
  });
  try {
    const [result] = evaluate([logits!], feeds);
    return Float64Array.from(result!.data);
  } finally {
    rounding.mockRestore();
  }
}

/** The inputs and parameters that a value is computed from. */
function inputsOf(output: Tensor): Tensor[] {
  const seen = new Set<Tensor>();
  const visit = (tensor: Tensor) => {
    if (seen.has(tensor)) return;
    seen.add(tensor);
    tensor.node.inputs.forEach(visit);
  };
  visit(output);
  return [...seen].filter(({ node }) => node.inputs.length === 0 && node.operator.name !== 'constant');
}
