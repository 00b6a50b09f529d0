import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FileSource } from '../src/checkpoint/file.node.ts';
import { openModel, readWeights } from '../src/checkpoint/load.node.ts';
import { openSafetensors } from '../src/checkpoint/safetensors.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { clipCoefficient, globalNorm } from '../src/training/clip.ts';
import { AdamW } from '../src/training/optimizer.ts';
import { TrainingSession } from '../src/training/session.ts';

/** Fifty steps from the same weights and batches as PyTorch: forward, backward, clipping and AdamW together. */
describe.each(['gpt', 'gpt2', 'gemma', 'gemma2', 'llama'])('%s', (name) => {
  it("follows PyTorch's loss curve for 50 steps within 1e-3", async () => {
    const path = new URL(`./reference/${name}`, import.meta.url).pathname;
    const { curve } = JSON.parse(readFileSync(`${path}/expected.json`, 'utf8')) as {
      curve: { losses: number[]; gradient_norms?: number[] };
    };
    const file = await openSafetensors(await FileSource.open(`${path}/curve.safetensors`));
    const [steps, batch, width] = file.tensors.get('batches')!.shape as [number, number, number];
    const tokens = Int32Array.from(await file.readInts('batches'));
    await file.close();
    const opened = await openModel(path);
    const seq = width - 1;
    const session = await TrainingSession.create(nodeEngine({ threads: 2 }), opened.model, { batch, seq });
    await readWeights(opened, session.values());
    await opened.checkpoint.tensors.close();
    const optimizer = new AdamW(session.trainables, { betas: [0.9, 0.95], weightDecay: 0.1 });
    expect(curve.losses.length).toBe(steps);
    for (let step = 0; step < steps; step++) {
      const rows = Array.from({ length: batch }, (_, row) =>
        tokens.subarray((step * batch + row) * width, (step * batch + row + 1) * width),
      );
      const side = (shift: number) =>
        Int32Array.from(rows.flatMap((row) => [...row.subarray(shift, shift + seq)]));
      const { loss } = await session.computeGradients([{ inputs: side(0), targets: side(1) }]);
      expect(Math.abs(loss - curve.losses[step]!), `step ${step}`).toBeLessThan(1e-3);
      const norm = globalNorm(session.trainables.map(({ gradient }) => gradient));
      optimizer.step(session.trainables, { learningRate: 1e-3, gradientScale: clipCoefficient(norm, 1) });
    }
    await session.release();
  });
});
