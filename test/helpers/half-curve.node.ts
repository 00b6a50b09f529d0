import { readFileSync } from 'node:fs';
import type { TrainingRows } from '../../src/batches.ts';
import { openModel, readWeights } from '../../src/checkpoint/load.node.ts';
import { openSafetensors } from '../../src/checkpoint/safetensors/safetensors-file.ts';
import { FileSource } from '../../src/files/file.node.ts';
import { nodeEngine } from '../../src/runtime/engine.node.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { createLearner, type MemoryMode } from '../../src/training/create-learner.ts';
import type { Learner } from '../../src/training/learner.ts';
import { createDeviceOptimizer } from '../../src/training/on-device/create-device-optimizer.ts';
import { createOptimizer } from '../../src/training/optimizers/create-optimizer.ts';
import type { Optimizer } from '../../src/training/optimizers/optimizer.ts';
import { copies, difference, sameBits } from './compared-weights.ts';

const OPTIONS = { beta1: 0.9, beta2: 0.95, weightDecay: 0.1 };
/** Small enough that no step of these curves is skipped, as in `half.json`. */
const FACTOR = 1024;

/**
 * Trains a reference case in float16 on a device, and reports how far it is from float32.
 *
 * @param path a folder of test/reference.
 */
export async function halfCurve(
  engine: Engine,
  path: string,
  memory: MemoryMode,
  report: (check: string, value: unknown) => void,
): Promise<void> {
  const { curve } = JSON.parse(readFileSync(`${path}/expected.json`, 'utf8')) as {
    curve: { losses: number[]; grad_norms: number[] };
  };
  const { batches, shape } = await readBatches(path);
  const make = async (on: Engine) => {
    const opened = await openModel(path);
    const learner = await createLearner(on, opened.model, shape, { memory });
    await learner.fill((values) => readWeights(opened, values));
    await opened.checkpoint.tensors.close();
    return { learner, optimizer: await optimizerOf(on, learner) };
  };
  const { learner, optimizer } = await make(engine);
  const plain = await make(nodeEngine({ threads: 1 }));
  const scale = learner.lossScale!;
  scale.restore({ factor: FACTOR, good: 0, skipped: 0 });
  const settings = { learningRate: 1e-3, clip: 1 };
  let [worst, worstNorm, skipped] = [0, 0, 0];
  for (const [step, batch] of batches.entries()) {
    const { loss, gradientNorm, overflowed } = await learner.step([batch], { ...settings, optimizer });
    const float32 = await plain.learner.step([batch], { ...settings, optimizer: plain.optimizer });
    // Where blocks are clipped by their own norms, PyTorch's curve is another one.
    const right = memory === 'light' ? float32.loss : curve.losses[step]!;
    const rightNorm = memory === 'light' ? float32.gradientNorm : curve.grad_norms[step]!;
    worst = Math.max(worst, Math.abs(loss - right));
    worstNorm = Math.max(worstNorm, Math.abs(gradientNorm / rightNorm - 1));
    if (overflowed !== undefined) skipped++;
  }
  report('loss', worst);
  report('norm', worstNorm);
  report('skipped', skipped);
  report('weights', difference(await plain.learner.values(), await learner.values()));
  await plain.learner.release();

  // Continued from its state, in a learner of its own.
  const weights = copies(await learner.values());
  const { steps, tensors } = optimizer.state();
  const saved = [...tensors].map(([key, tensor]) => [key, { ...tensor, data: tensor.data.slice() }] as const);
  const state = { steps: { ...steps }, tensors: new Map(saved) as typeof tensors };
  const loss = scale.state();
  await learner.step(batches.slice(0, 1), { ...settings, optimizer });
  const resumed = await make(engine);
  await resumed.learner.fill((values) => {
    for (const [key, data] of weights) values.get(key)!.set(data);
  });
  resumed.optimizer.restore(state);
  resumed.learner.lossScale!.restore(loss);
  await resumed.learner.step(batches.slice(0, 1), { ...settings, optimizer: resumed.optimizer });
  const finished = copies(await learner.values());
  report('resumed', sameBits(finished, await resumed.learner.values()));
  await resumed.learner.release();

  // Far too large a factor: steps are skipped until it is small enough.
  scale.restore({ factor: 2 ** 24, good: 7, skipped: 0 });
  const first = await learner.step(batches.slice(0, 1), { ...settings, optimizer });
  // Blocks that are updated one by one are skipped by their own gradients.
  const unchanged = memory === 'light' || sameBits(finished, await learner.values());
  report('skips', !first.updated && first.overflowed === 2 ** 24 && scale.factor === 2 ** 23 && unchanged);
  let tries = 1;
  while (!(await learner.step(batches.slice(0, 1), { ...settings, optimizer })).updated) tries++;
  const { data } = [...optimizer.state().tensors.values()][0]! as { data: Float32Array };
  report('recovers', tries < 20 && data.every(Number.isFinite) && scale.state().skipped === 0);
  scale.restore({ factor: 2 ** 60, good: 0, skipped: 0 });
  try {
    for (let i = 0; i < 30; i++) await learner.step(batches.slice(0, 1), { ...settings, optimizer });
    report('gives up', 'never');
  } catch (error) {
    report('gives up', String(error));
  }
  await learner.release();
}

async function optimizerOf(engine: Engine, { onDevice, parameters }: Learner): Promise<Optimizer> {
  if (!onDevice) return createOptimizer('adamw', parameters, OPTIONS);
  const { memory, parameters: trained, updates } = onDevice;
  const optimizer = await createDeviceOptimizer(engine, memory, 'adamw', trained, OPTIONS);
  await optimizer.prepare(updates);
  return optimizer;
}

async function readBatches(path: string) {
  const file = await openSafetensors(await FileSource.open(`${path}/curve.safetensors`));
  const [steps, batch, width] = file.tensors.get('batches')!.shape as [number, number, number];
  const tokens = Int32Array.from(await file.readInts('batches'));
  await file.close();
  const seq = width - 1;
  const batches = Array.from({ length: steps }, (_, step): TrainingRows => {
    const rows = Array.from({ length: batch }, (_, row) => (step * batch + row) * width);
    const side = (shift: number) =>
      Int32Array.from(rows.flatMap((at) => [...tokens.subarray(at + shift, at + shift + seq)]));
    return { inputs: side(0), targets: side(1) };
  });
  return { batches, shape: { batch, seq } };
}
