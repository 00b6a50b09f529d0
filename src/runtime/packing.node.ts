import { Tensor } from 'onnxruntime-common';
import { input, matmul, parameter } from '../graph/operators/index.ts';
import { emitModel, type ProductPart, type ProductWeight } from '../onnx/emit.ts';
import { quantizedSource, type WeightSource } from '../onnx/weights.ts';
import type { EngineSession } from './engine.ts';
import type { Library } from './library.node.ts';
import { ProvidedWeights } from './provided.node.ts';

const ROWS = 64;
/** A multiple of every block size. */
const COLUMNS = 256;
/** One token and several: the engine has kernels for each. */
const TOKENS = [1, 2, 24];

/**
 * The parts of a product's weight that the engine has packed or copied, so that it never reads ours again. No
 * interface reports this, so it is found by experiment: does a small product keep its result after the part's memory
 * has been overwritten?
 *
 * @param create a session over weights that stay in place.
 */
export async function packedParts(
  library: Library,
  product: ProductWeight,
  create: (model: Uint8Array, weights: ProvidedWeights) => Promise<EngineSession>,
): Promise<ReadonlySet<ProductPart>> {
  const transB = !('transposed' in product && product.transposed);
  const shape = transB ? [ROWS, COLUMNS] : [COLUMNS, ROWS];
  const weight = parameter('weight', shape);
  const outputs = TOKENS.map((tokens) => {
    const x = input(`x${tokens}`, 'float32', [tokens, COLUMNS]);
    return [`y${tokens}`, matmul(x, weight, { transB })] as const;
  });
  const sources = new Map([['weight', exampleWeight(product)]]);
  const model = emitModel(new Map(outputs), { weights: sources, provide: library.placeholder });
  const weights = new ProvidedWeights(library);
  for (const provided of model.provided) await weights.add(provided);
  const session = await create(model.bytes, weights);
  const run = async () => {
    const feeds = TOKENS.map((tokens) => {
      const values = Float32Array.from({ length: tokens * COLUMNS }, (_, i) => 1 + (i % 7));
      return [`x${tokens}`, new Tensor('float32', values, [tokens, COLUMNS])] as const;
    });
    const fetches = Object.fromEntries(outputs.map(([name]) => [name, null]));
    const results = await session.run(Object.fromEntries(feeds), fetches);
    return outputs.flatMap(([name]) => Array.from(results[name]!.data as Float32Array));
  };
  const before = await run();
  const packed = new Set<ProductPart>();
  for (const part of ['numbers', 'factors'] as const) {
    weights.overwrite(part);
    const after = await run();
    if (!before.every((value, i) => value !== 0 && value === after[i])) break;
    packed.add(part);
  }
  await session.release();
  return packed;
}

function exampleWeight(product: ProductWeight): WeightSource {
  if (!('bits' in product)) return { data: new Float32Array(ROWS * COLUMNS).fill(1) };
  const { bits, block, exact, zeroPoints } = product;
  const blocks = COLUMNS / block;
  const source = quantizedSource({
    rows: ROWS,
    columns: COLUMNS,
    bits,
    block,
    // 0xff: the largest code, whose value is not zero.
    data: new Uint8Array((ROWS * COLUMNS * bits) / 8).fill(0xff),
    scales: new Float32Array(ROWS * blocks).fill(1),
    ...(zeroPoints && { zeroPoints: new Uint8Array(ROWS * Math.ceil((blocks * bits) / 8)).fill(0x33) }),
  });
  return { quantized: { ...source, exact } };
}
