import { type InferenceSession, Tensor } from 'onnxruntime-common';
import { input, matmul, parameter } from '../graph/operators/index.ts';
import { emitModel, type ProductWeight } from '../onnx/emit.ts';
import { quantizedSource, type WeightSource } from '../onnx/weights.ts';
import type { Library } from './library.node.ts';
import { ProvidedWeights } from './provided.node.ts';

const ROWS = 64;
/** A multiple of every block size. */
const COLUMNS = 256;

/**
 * Whether the engine packs the weights of such products on this processor. It is found out by experiment, since
 * nothing tells it: a small product still has its result after its weight's memory has been overwritten.
 *
 * @param create a session over weights that stay where they are.
 */
export async function packsProducts(
  library: Library,
  product: ProductWeight,
  create: (model: Uint8Array, weights: ProvidedWeights) => InferenceSession,
): Promise<boolean> {
  const x = input('x', 'float32', [1, COLUMNS]);
  const y = matmul(x, parameter('weight', [ROWS, COLUMNS]), { transB: true });
  const sources = new Map([['weight', exampleWeight(product)]]);
  const model = emitModel(new Map([['y', y]]), { weights: sources, provide: true });
  const weights = new ProvidedWeights(library);
  for (const weight of model.provided) await weights.add(weight);
  const session = create(model.bytes, weights);
  const run = async () => {
    const feed = new Tensor('float32', new Float32Array(COLUMNS).fill(1), [1, COLUMNS]);
    const { y: result } = await session.run({ x: feed }, { y: null });
    return Array.from(result!.data as Float32Array);
  };
  const before = await run();
  weights.overwrite();
  const after = await run();
  await session.release();
  return before.every((value, i) => value !== 0 && value === after[i]);
}

function exampleWeight(product: ProductWeight): WeightSource {
  if (product === 'float32') return { data: new Float32Array(ROWS * COLUMNS).fill(1) };
  const { bits, block } = product;
  const blocks = COLUMNS / block;
  return {
    quantized: quantizedSource({
      rows: ROWS,
      columns: COLUMNS,
      bits,
      block,
      // 0xff: the largest number, whose value is not zero.
      data: new Uint8Array((ROWS * COLUMNS * bits) / 8).fill(0xff),
      scales: new Float32Array(ROWS * blocks).fill(1),
    }),
  };
}
