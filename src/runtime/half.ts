import { option, RopewalkError, said } from '../errors.ts';
import { fromHalf, toHalf } from '../graph/lowerings/half.ts';
import { input, matmul } from '../graph/operators/index.ts';
import { emitModel } from '../onnx/emit.ts';
import { createSessions, dialectOf, type Engine, type EngineSession } from './engine.ts';

const SIZE = 8;
const tried = new WeakMap<Engine, Promise<void>>();

/** Whether graphs themselves have float16 for this engine; provider libraries are told the precision instead. */
export function writesHalf(engine: Engine): boolean {
  return engine.defaults.precision === 'float16' && dialectOf(engine) === 'webgpu';
}

/**
 * Makes sure that an engine's device computes in float16, by a small product there: WebGPU takes such operators on every device,
 * and fails when they run.
 *
 * @throws RopewalkError if it does not.
 */
export function needHalf(engine: Engine): Promise<void> {
  const found = tried.get(engine) ?? tryHalf(engine);
  tried.set(engine, found);
  return found;
}

async function tryHalf(engine: Engine): Promise<void> {
  const [a, b] = ['a', 'b'].map((name) => toHalf(input(name, 'float32', [SIZE, SIZE])));
  const model = emitModel(new Map([['y', fromHalf(matmul(a!, b!))]]), { dialect: dialectOf(engine) });
  // The first factor becomes 1 when it is rounded.
  const almostOne = Float32Array.from({ length: SIZE * SIZE }, (_, i) => (i % (SIZE + 1) === 0 ? 1.0001 : 0));
  const expected = Float32Array.from({ length: SIZE * SIZE }, (_, i) => i - 32);
  const { Tensor } = engine.runtime;
  const tensor = (data: Float32Array) => new Tensor('float32', data, [SIZE, SIZE]);
  let y: Float32Array;
  let session: EngineSession | undefined;
  try {
    [session] = await createSessions(engine, [model], { onDeviceOnly: true, isTrial: true });
    const results = await session!.run({ a: tensor(almostOne), b: tensor(expected) }, { y: null });
    y = results.y!.data as Float32Array;
  } catch (error) {
    if (!/f16|float16|has no kernel/i.test(String(error))) throw error;
    throw refused('has no float16 in its shaders (shader-f16)', error);
  } finally {
    await session?.release();
  }
  if (!expected.every((value, i) => value === y[i])) throw refused('computes wrong numbers in float16');
}

function refused(why: string, cause?: unknown): RopewalkError {
  return new RopewalkError(
    said`${option('precision', 'float16')} is not possible here: the graphics card or its driver ${why}. Compute in float32 (${option('precision', 'float32')}).`,
    { cause },
  );
}
