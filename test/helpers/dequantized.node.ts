import type { OpenedModel } from '../../src/checkpoint/load.node.ts';
import { quantizedProducts } from '../../src/checkpoint/weight-sources.node.ts';
import { Decoder } from '../../src/generation/decoder.ts';
import { dequantizeMatrix, type Quantization } from '../../src/onnx/quantize.ts';
import type { QuantizedMatrix, WeightSource } from '../../src/onnx/weights.ts';
import type { Engine } from '../../src/runtime/engine.ts';

/**
 * A model in float32 whose products have the numbers that their weights have in few bits: what products with quantized
 * weights should give, by kernels that know nothing of them.
 *
 * @param change changes a product's quantized weight before it becomes float32: for what must be noticed.
 */
export async function dequantizedDecoder(
  engine: Engine,
  opened: OpenedModel,
  quantize: Quantization,
  change: (path: string, matrix: QuantizedMatrix) => void = () => {},
): Promise<Decoder> {
  const products = quantizedProducts(opened, quantize);
  const sources = new Map<string, WeightSource>();
  for (const [path, { shape }] of opened.model.parameters()) {
    const plain = await opened.checkpoint.tensors.readFloat32(opened.names.get(path)!);
    const product = products.get(path);
    if (!product) {
      sources.set(path, { data: plain });
      continue;
    }
    const matrix = await product.read();
    change(path, matrix);
    const values = dequantizeMatrix(matrix);
    const [first, second] = shape as [number, number];
    const data = product.transposed
      ? values.map((_, i) => values[(i % second) * first + Math.floor(i / second)]!)
      : values;
    // Embeddings are looked up in the checkpoint, which keeps them whole: the head alone is in few bits.
    const read = (row: number, target: Float32Array, at: number) =>
      target.set(plain.subarray(row * second, (row + 1) * second), at);
    const isTable = /embed_tokens|wte|transformer\.w\.weight/.test(path);
    sources.set(path, isTable ? { data, rows: { width: second, read } } : { data });
  }
  return Decoder.create(engine, opened.model, sources);
}
