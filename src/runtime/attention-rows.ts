import { evaluate } from '../graph/evaluate.ts';
import { cachedAttention, input } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { Engine } from './engine.ts';
import { Executable, type HostTensor } from './executable.ts';
import { pseudoRandom } from './row-bits.ts';

/** What the kernel of cached attention depends on. */
interface Form {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Above this many new tokens, the WebGPU kernels of ONNX Runtime 1.30 are others. */
const FEW = 31;

/** More than that, over several workgroups' worth of keys. */
const MANY = 80;

/** The largest error allowed, as a share of the largest value. Wrong kernels were off by 20 to 30 %. */
const TOLERANCE = 1e-3;

const known = new Map<string, Promise<number>>();

/**
 * How many new tokens the engine's cached attention takes at once with the right result: any number, {@link FEW}, or 0
 * if it is always wrong. Found by experiment, once in a process: where the lanes of a subgroup are fewer than 8, as in
 * software drivers, the kernels of ONNX Runtime 1.30 for 32 and more tokens count keys twice.
 */
export function attentionRows(engine: Engine, { heads, kvHeads, headDim }: Form): Promise<number> {
  const group = heads / kvHeads;
  const key = [engine.name, engine.defaults.provider, group, headDim].join();
  const rows = known.get(key) ?? tryRows(engine, group, headDim);
  known.set(key, rows);
  return rows;
}

async function tryRows(engine: Engine, heads: number, headDim: number): Promise<number> {
  if (await isRight(engine, heads, headDim, MANY)) return Number.POSITIVE_INFINITY;
  return (await isRight(engine, heads, headDim, FEW)) ? FEW : 0;
}

async function isRight(engine: Engine, heads: number, headDim: number, time: number): Promise<boolean> {
  const past = 5;
  const total = past + time;
  const next = pseudoRandom();
  const feeds: Record<string, HostTensor> = {};
  const tensors: Record<string, Tensor> = {};
  const floats = (name: string, shape: number[]) => {
    tensors[name] = input(name, 'float32', shape);
    const size = shape.reduce((product, dim) => product * dim, 1);
    feeds[name] = { data: Float32Array.from({ length: size }, () => 4 * next() - 2), shape };
    return tensors[name];
  };
  const int = (name: string, shape: number[], value: number) => {
    tensors[name] = input(name, 'int32', shape);
    feeds[name] = { data: Int32Array.of(value), shape };
    return tensors[name];
  };
  const rows = (name: string, count: number) => floats(name, [1, time, count * headDim]);
  const cache = (name: string) => floats(name, [1, 1, total, headDim]);
  const outputs = cachedAttention(
    ...[rows('q', heads), rows('k', 1), rows('v', 1), cache('past_k'), cache('past_v')],
    ...([int('past', [1], past), int('total', [], total), int('last', [1], total - 1)] as const),
    { heads, kvHeads: 1, scale: headDim ** -0.5, softcap: null, window: null },
  );
  const values = Object.entries(feeds).map(
    ([name, { data, shape }]) =>
      [tensors[name]!, { shape, data: Float64Array.from(data as Float32Array) }] as const,
  );
  const [expected] = evaluate([outputs[0]], new Map(values));
  const executable = await Executable.compile(engine, new Map([['y', outputs[0]]]));
  try {
    const { data } = (await executable.run(feeds)).y!;
    let error = 0;
    let largest = 0;
    expected!.data.forEach((value, i) => {
      // A result that is no number is no smaller than anything.
      if (!(Math.abs((data as Float32Array)[i]! - value) <= error)) {
        error = Math.abs((data as Float32Array)[i]! - value);
      }
      largest = Math.max(largest, Math.abs(value));
    });
    return error <= TOLERANCE * largest;
  } finally {
    await executable.release();
  }
}
