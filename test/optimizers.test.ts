import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModel, readWeights } from '../src/checkpoint/load.node.ts';
import { openSafetensors } from '../src/checkpoint/safetensors/safetensors-file.ts';
import { FileSource } from '../src/files/file.node.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { createOptimizer } from '../src/training/optimizers/create-optimizer.ts';
import type { Optimizer } from '../src/training/optimizers/optimizer.ts';
import { WholeGraphLearner } from '../src/training/whole-graph-learner.ts';

const path = fileURLToPath(new URL('./reference/llama', import.meta.url));
const STEPS = 150;

/** How well a small Llama learns its 50 batches by heart, three times over, with each optimizer. */
describe('a small model reaches the loss of AdamW with float32 states', () => {
  let learner: WholeGraphLearner;
  let opened: Awaited<ReturnType<typeof openModel>>;
  let tokens: Int32Array;
  let shape: [number, number, number];
  let reference: number;

  beforeAll(async () => {
    const file = await openSafetensors(await FileSource.open(`${path}/curve.safetensors`));
    shape = file.tensors.get('batches')!.shape as [number, number, number];
    tokens = Int32Array.from(await file.readInts('batches'));
    await file.close();
    opened = await openModel(path);
    const [, batch, width] = shape;
    const engine = nodeEngine({ threads: 2 });
    learner = await WholeGraphLearner.create(engine, opened.model, { batch, seq: width - 1 });
    reference = await train(createOptimizer('adamw', learner.parameters, { weightDecay: 0.1 }), 1e-3);
    // PyTorch's own curve over the first 50 steps, with another β2, says that this is learning at all.
    const { curve } = JSON.parse(readFileSync(`${path}/expected.json`, 'utf8')) as {
      curve: { losses: number[] };
    };
    expect(reference).toBeLessThan(curve.losses.at(-1)!);
  });

  afterAll(async () => {
    await learner.release();
    await opened.checkpoint.tensors.close();
  });

  /** The mean loss of the last ten steps. */
  async function train(optimizer: Optimizer, learningRate: number): Promise<number> {
    const [count, batch, width] = shape;
    await readWeights(opened, learner.values());
    let sum = 0;
    for (let step = 0; step < STEPS; step++) {
      const rows = Array.from({ length: batch }, (_, row) => {
        const start = ((step % count) * batch + row) * width;
        return [...tokens.subarray(start, start + width)];
      });
      const inputs = Int32Array.from(rows.flatMap((row) => row.slice(0, -1)));
      const targets = Int32Array.from(rows.flatMap((row) => row.slice(1)));
      const { loss } = await learner.step([{ inputs, targets }], { optimizer, learningRate, clip: 1 });
      if (step >= STEPS - 10) sum += loss / 10;
    }
    return sum;
  }

  it.each([
    ['bfloat16', 0.005],
    ['int8', 0.02],
  ] as const)('with AdamW and %s states, within %d', async (states, share) => {
    const optimizer = createOptimizer('adamw', learner.parameters, { states, weightDecay: 0.1 });
    const loss = await train(optimizer, 1e-3);
    expect(Math.abs(loss / reference - 1)).toBeLessThan(share);
    expect(loss).not.toBe(reference);
  });

  it('with Adafactor, in steps of a hundredth of the weights', async () => {
    const optimizer = createOptimizer('adafactor', learner.parameters);
    expect(await train(optimizer, 1e-2)).toBeLessThan(reference);
  });
});
