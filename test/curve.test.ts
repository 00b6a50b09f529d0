import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openModel, readWeights } from '../src/checkpoint/load.node.ts';
import { openSafetensors } from '../src/checkpoint/safetensors/safetensors-file.ts';
import { families } from '../src/families/registry.ts';
import { FileSource } from '../src/files/file.node.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { HostMemory } from '../src/runtime/host-memory.ts';
import { createLearner } from '../src/training/create-learner.ts';
import { AdamW, allocateTrainable } from '../src/training/optimizers/optimizer.ts';

/** Fifty steps from the same weights and batches as PyTorch: forward, backward, clipping and AdamW together. */
describe.each(families.map(({ name }) => name))('training %s', (name) => {
  const modes = ['fast', 'recompute'] as const;
  it.each(modes)("follows PyTorch's loss curve for 50 steps within 1e-3 (%s)", async (memory) => {
    const path = fileURLToPath(new URL(`./reference/${name}`, import.meta.url));
    const { curve } = JSON.parse(readFileSync(`${path}/expected.json`, 'utf8')) as {
      curve: { losses: number[]; gradient_norms?: number[] };
    };
    const file = await openSafetensors(await FileSource.open(`${path}/curve.safetensors`));
    const [steps, batch, width] = file.tensors.get('batches')!.shape as [number, number, number];
    const tokens = Int32Array.from(await file.readInts('batches'));
    await file.close();
    const opened = await openModel(path);
    const seq = width - 1;
    const engine = nodeEngine({ threads: 2 });
    const learner = await createLearner(engine, opened.model, { batch, seq }, { memory });
    await learner.fill((values) => readWeights(opened, values));
    await opened.checkpoint.tensors.close();
    const moments = allocateTrainable(new HostMemory(), learner.parameters);
    const optimizer = new AdamW(moments, { beta1: 0.9, beta2: 0.95, weightDecay: 0.1 });
    expect(curve.losses.length).toBe(steps);
    for (let step = 0; step < steps; step++) {
      const rows = Array.from({ length: batch }, (_, row) =>
        tokens.subarray((step * batch + row) * width, (step * batch + row + 1) * width),
      );
      const side = (shift: number) =>
        Int32Array.from(rows.flatMap((row) => [...row.subarray(shift, shift + seq)]));
      const settings = { optimizer, learningRate: 1e-3, clip: 1 };
      const { loss } = await learner.step([{ inputs: side(0), targets: side(1) }], settings);
      expect(Math.abs(loss - curve.losses[step]!), `step ${step}`).toBeLessThan(1e-3);
    }
    await learner.release();
  });
});
