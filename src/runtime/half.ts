import { option, RopewalkError, said } from '../errors.ts';
import { fromHalf, toHalf } from '../graph/lowerings/half.ts';
import { input, matmul } from '../graph/operators/index.ts';
import { dialectOf, type Engine } from './engine.ts';
import { Executable } from './executable.ts';

const known = new WeakMap<Engine, Promise<void>>();

/**
 * Makes sure that an engine's device computes in float16, by a small product there: devices take such operators and fail when they
 * run them.
 *
 * @throws RopewalkError if it does not.
 */
export function needHalf(engine: Engine): Promise<void> {
  const found = known.get(engine) ?? tryHalf(engine);
  known.set(engine, found);
  return found;
}

async function tryHalf(engine: Engine): Promise<void> {
  const size = 8;
  const [a, b] = ['a', 'b'].map((name) => toHalf(input(name, 'float32', [size, size])));
  const product = new Map([['y', fromHalf(matmul(a!, b!))]]);
  const settings = dialectOf(engine) === 'webgpu' ? { onDeviceOnly: true } : {};
  const shape = [size, size];
  // Rounded to float16, the first factors are 1.
  const data = Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1.0001 : 0));
  const expected = Float32Array.from({ length: size * size }, (_, i) => i - 32);
  let y: ArrayLike<number | bigint> = [];
  try {
    const executable = await Executable.compile(engine, product, settings);
    y = (await executable.run({ a: { data, shape }, b: { data: expected, shape } })).y!.data;
    await executable.release();
  } catch (error) {
    if (!/f16|float16|has no kernel/i.test(String(error))) throw error;
    throw refused('has no float16 in its shaders (WebGPU: shader-f16)', error);
  }
  if (!expected.every((value, i) => value === y[i])) throw refused('computes wrong numbers in float16');
}

function refused(why: string, cause?: unknown): RopewalkError {
  return new RopewalkError(
    said`${option('precision', 'float16')} is not possible here: the graphics card or its driver ${why}. Compute in float32 (${option('precision', 'float32')}).`,
    { cause },
  );
}
