import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { TrainingRows } from '../src/batches.ts';
import { openModel, readWeights } from '../src/checkpoint/load.node.ts';
import { kernelThreads } from '../src/kernels/threads/kernel-threads.node.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { createLearner, MEMORY_MODES, type MemoryMode } from '../src/training/create-learner.ts';
import { type CreateOptimizerOptions, createOptimizer } from '../src/training/optimizers/create-optimizer.ts';
import { buildProgram, start } from './helpers/cli.node.ts';

/** Updates on several threads leave the bits of one thread, in whole training runs. */

const SHAPE = { batch: 2, seq: 12 };
const folder = fileURLToPath(new URL('./reference/llama', import.meta.url));

function rowsOf(seed: number): TrainingRows {
  const random = new Random(seed);
  const draw = () => Int32Array.from({ length: SHAPE.batch * SHAPE.seq }, () => random.nextInt(96));
  return { inputs: draw(), targets: draw() };
}

/** Trains with one number of threads after the other; what is left at the end. */
async function trained(
  memory: MemoryMode,
  optimizing: CreateOptimizerOptions & { readonly kind: 'adamw' | 'sgd' },
  threads: readonly number[],
) {
  const { kind, ...options } = optimizing;
  const opened = await openModel(folder);
  let values: ReadonlyMap<string, Float32Array> | undefined;
  let state: ReturnType<ReturnType<typeof createOptimizer>['state']> | undefined;
  const norms: number[] = [];
  for (const [i, count] of threads.entries()) {
    const engine = { ...nodeEngine({ threads: 1 }), kernelThreads: kernelThreads(count, 0) };
    const learner = await createLearner(engine, opened.model, SHAPE, { memory });
    await learner.fill(async (into) => {
      if (!values) return readWeights(opened, into);
      for (const [path, data] of values) into.get(path)!.set(data);
    });
    const optimizer = createOptimizer(kind, learner.parameters, options);
    if (state) optimizer.restore(state);
    for (const step of [2 * i, 2 * i + 1]) {
      const result = await learner.step([rowsOf(step)], { optimizer, learningRate: 0.01, clip: 0.5 });
      norms.push(result.loss, result.gradientNorm);
    }
    values = await learner.values();
    state = optimizer.state();
    await learner.release();
  }
  await opened.checkpoint.tensors.close();
  const bytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
    Buffer.from(buffer, byteOffset, byteLength).toString('base64');
  return {
    norms,
    weights: [...values!].map(([path, data]) => [path, bytes(data)]),
    states: [...state!.tensors].map(([name, { data }]) => [name, bytes(data)]),
  };
}

describe.each(MEMORY_MODES)('a run in the memory mode %s', (memory) => {
  it.each([
    { kind: 'adamw', states: 'float32' },
    { kind: 'adamw', states: 'bfloat16' },
    { kind: 'adamw', states: 'int8' },
    { kind: 'sgd' },
  ] as const)(
    'has the same bits on any number of threads, and resumed with another one: %o',
    async (options) => {
      const expected = await trained(memory, options, [1, 1]);
      expect(await trained(memory, options, [3, 3])).toEqual(expected);
      expect(await trained(memory, options, [2, 1])).toEqual(expected);
    },
  );
});

describe('the threads of updates', () => {
  it('are as many as the engine has, and none where it calls the binding or has one thread', () => {
    expect(nodeEngine({ threads: 3 }).kernelThreads?.count).toBe(3);
    expect(nodeEngine({ threads: 1 }).kernelThreads).toBeUndefined();
    expect(nodeEngine({ threads: 3 }, { binding: true }).kernelThreads).toBeUndefined();
  });

  it('train through the binding as well, on memory that it takes', async () => {
    const opened = await openModel(folder);
    const engine = nodeEngine({ threads: 2 }, { binding: true });
    const learner = await createLearner(engine, opened.model, SHAPE);
    await learner.fill((values) => readWeights(opened, values));
    const optimizer = createOptimizer('adamw', learner.parameters);
    const { loss } = await learner.step([rowsOf(0)], { optimizer, learningRate: 0.01, clip: 1 });
    expect(Number.isFinite(loss)).toBe(true);
    expect(learner.parameters[0]!.value.buffer).toBeInstanceOf(ArrayBuffer);
    await learner.release();
    await opened.checkpoint.tensors.close();
  });

  it('let the process end', async () => {
    const program = await buildProgram('test/helpers/kernel-threads-child.node.ts');
    const { code, stdout, stderr } = await start(program, []).finished;
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ helpers: 1, done: true });
  });
});
