import type { TrainingRows } from '../../src/batches.ts';
import type { CausalLM } from '../../src/families/family.ts';
import { initializeWeights } from '../../src/families/initialize.ts';
import { findPreset } from '../../src/families/registry.ts';
import { Random } from '../../src/random.ts';
import type { Precision } from '../../src/runtime/devices.ts';
import type { Engine } from '../../src/runtime/engine.ts';
import { BlockLearner } from '../../src/training/blocks/block-learner.ts';
import type { MemoryMode } from '../../src/training/create-learner.ts';
import type { SequenceShape } from '../../src/training/graph.ts';
import { createDeviceOptimizer } from '../../src/training/on-device/create-device-optimizer.ts';
import { estimateOnDevice } from '../../src/training/on-device/device-estimate.ts';
import { DeviceLearner } from '../../src/training/on-device/device-learner.ts';
import { createOptimizer } from '../../src/training/optimizers/create-optimizer.ts';
import type { OptimizerState } from '../../src/training/optimizers/optimizer.ts';
import { copies, difference, sameBits } from './compared-weights.ts';

const VOCAB = 67;
const SHAPE = { batch: 2, seq: 6 };

/** A family in a memory mode, with two layers: one of each kind where layers differ. */
export interface TrainingCase {
  readonly preset: string;
  readonly memory: MemoryMode;
  readonly accumulate: number;
  readonly packed?: boolean;
  /** The most bytes of a part of the embedding, if it is to have several. */
  readonly tableBytes?: number;
  /** Of the products on the device. Default float32. */
  readonly precision?: Precision;
}

export interface Engines {
  readonly cpu: Engine;
  readonly device: Engine;
}

/** Trains a case on the CPU and on a device, and reports how they differ. */
export async function compareTraining(
  { cpu, device: engine }: Engines,
  { preset: name, memory, accumulate, packed = false, tableBytes, precision = 'float32' }: TrainingCase,
  steps: number,
  report: (check: string, value: number | boolean) => void,
): Promise<void> {
  const { family, preset } = findPreset(name)!;
  const layers = 'n_layer' in preset.config ? { n_layer: 2 } : { num_hidden_layers: 2 };
  const model = family.build({ ...preset.config, vocab_size: VOCAB, ...layers } as never);
  const how = {
    gradients: memory === 'light' ? ('as you go' as const) : ('kept' as const),
    activations: memory === 'fast' ? ('kept' as const) : ('recomputed' as const),
  };
  const shape = { ...SHAPE, packed };
  const expected = await BlockLearner.create(cpu, model, shape, how);
  initializeWeights(model.parameters(), expected.values(), new Random(1));
  const begun = new Map([...expected.values()].map(([path, data]) => [path, data.slice()]));
  const reference = createOptimizer('adamw', expected.parameters);
  const make = async (weights: ReadonlyMap<string, Float32Array>, state?: OptimizerState) => {
    const learner = await DeviceLearner.create(engine, model, shape, {
      ...how,
      precision,
      ...(tableBytes !== undefined && { tableBytes }),
    });
    await learner.fill((values) => {
      for (const [path, data] of weights) values.get(path)!.set(data);
    });
    const { memory: device, parameters, updates } = learner.onDevice;
    const optimizer = await createDeviceOptimizer(engine, device, 'adamw', parameters);
    await optimizer.prepare(updates);
    if (state) optimizer.restore(state);
    return { learner, optimizer, device };
  };
  const label = `${name}, ${tableBytes === undefined ? memory : 'parted'}`;
  let { learner, optimizer, device } = await make(begun);
  const settings = { learningRate: 3e-3, clip: 0.5 };
  let worst = 0;
  let worstNorm = 0;
  let bytes = 0;
  let saved: { readonly weights: Map<string, Float32Array>; readonly state: OptimizerState } | undefined;
  const held: number[] = [];
  for (let step = 0; step < steps; step++) {
    const batches = Array.from({ length: accumulate }, (_, i) => rows(step * accumulate + i, packed));
    const right = await expected.step(batches, { ...settings, optimizer: reference });
    const before = { ...device.traffic };
    const got = await learner.step(batches, { ...settings, optimizer });
    bytes = device.traffic.written - before.written + device.traffic.read - before.read;
    held.push(device.byteLength);
    worst = Math.max(worst, Math.abs(got.loss - right.loss));
    worstNorm = Math.max(worstNorm, Math.abs(got.gradientNorm / right.gradientNorm - 1));
    if (step === steps - 2)
      saved = { weights: copies(await learner.values()), state: copyOf(await optimizer.stateToSave()) };
  }
  report(`${label}: loss`, worst);
  report(`${label}: norm`, worstNorm);
  report(`${label}: weights`, difference(expected.values(), await learner.values()));
  const perRow = packed ? 5 : 3;
  report(`${label}: bytes beyond ids and masks`, bytes - 4 * perRow * accumulate * SHAPE.batch * SHAPE.seq);
  report(
    `${label}: planned memory`,
    device.byteLength / planned(model, shape, memory, accumulate, precision),
  );
  report(`${label}: memory`, new Set(held.slice(1)).size);
  const held0 = rows(99, packed);
  const [{ loss: right }, { loss: got }] = [
    await expected.evaluate([held0]),
    await learner.evaluate([held0]),
  ];
  report(`${label}: held-out loss`, Math.abs(got - right));

  // Resumed from its state before the last step, in a learner of its own.
  const finished = copies(await learner.values());
  await optimizer.release();
  await learner.release();
  ({ learner, optimizer, device } = await make(saved!.weights, saved!.state));
  const last = Array.from({ length: accumulate }, (_, i) => rows((steps - 1) * accumulate + i, packed));
  await learner.step(last, { ...settings, optimizer });
  report(`${label}: resumed`, sameBits(finished, await learner.values()));

  const kept = copies(await learner.values());
  const refused = await learner.step(last, { ...settings, optimizer, accept: () => false });
  report(`${label}: refused`, !refused.updated && sameBits(kept, await learner.values()));
  await optimizer.release();
  await learner.release();
  await expected.release();
}

/** What a plan says is allocated, in float32 states. */
function planned(
  model: CausalLM,
  shape: SequenceShape,
  memory: MemoryMode,
  accumulate: number,
  precision: Precision,
): number {
  const { total, scratch } = estimateOnDevice(model, shape, {
    ...{ memory, accumulate, precision, trains: () => true },
    stateBytes: (dims) => 8 * dims.reduce((size, dim) => size * dim, 1),
  });
  return total - scratch;
}

/** Ids repeat, within a row and between rows: their gradients are added up. */
function rows(index: number, packed: boolean): TrainingRows {
  const random = new Random(100 + index);
  const size = SHAPE.batch * SHAPE.seq;
  const inputs = Int32Array.from({ length: size }, (_, i) => (i % 3 === 0 ? 5 : random.nextInt(VOCAB)));
  const targets = Int32Array.from({ length: size }, () => random.nextInt(VOCAB));
  const weights = Float32Array.from({ length: size }, (_, i) => (i % 4 === 1 ? 0 : 1));
  if (!packed) return { inputs, targets, weights };
  const cut = 4;
  const positions = Int32Array.from({ length: size }, (_, i) => (i % SHAPE.seq) % cut);
  const segments = Float32Array.from({ length: size }, (_, i) => (i % SHAPE.seq < cut ? 0 : 1));
  return { inputs, targets, weights, positions, segments };
}

function copyOf({ steps, tensors }: OptimizerState): OptimizerState {
  const copied = [...tensors].map(
    ([name, tensor]) => [name, { ...tensor, data: tensor.data.slice() }] as const,
  );
  return { steps: { ...steps }, tensors: new Map(copied) as OptimizerState['tensors'] };
}
