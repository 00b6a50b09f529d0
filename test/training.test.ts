import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { BatchSampler, evaluationBatches, type TrainingRows } from '../src/batches.ts';
import { openModel, readWeights } from '../src/checkpoint/load.node.ts';
import { RopewalkError } from '../src/errors.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { AdamW } from '../src/training/optimizers/optimizer.ts';
import { type TrainEvent, Trainer, type TrainerSettings } from '../src/training/trainer.ts';
import { WholeGraphLearner } from '../src/training/whole-graph-learner.ts';
import { FAMILIES } from './helpers/families.ts';
import { norm } from './helpers/numbers.ts';

/** What must hold of training whatever the model: accumulation, evaluation, and the order of events. */

const engine = nodeEngine({ threads: 1 });
const reference = (name: string) => fileURLToPath(new URL(`./reference/${name}`, import.meta.url));
const VOCAB = 96;
const SEQ = 12;

async function learnerOf(name: string, batch: number): Promise<WholeGraphLearner> {
  const opened = await openModel(reference(name));
  const learner = await WholeGraphLearner.create(engine, opened.model, { batch, seq: SEQ });
  await readWeights(opened, learner.values());
  await opened.checkpoint.tensors.close();
  return learner;
}

/** Sequences of random tokens, few different ones, so that ids repeat within and between micro-batches. */
function randomBatch(
  batch: number,
  seed: number,
  counts?: (row: number, at: number) => boolean,
): TrainingRows {
  const random = new Random(seed);
  const size = batch * SEQ;
  const inputs = Int32Array.from({ length: size }, () => random.nextInt(9));
  const targets = Int32Array.from({ length: size }, () => random.nextInt(VOCAB));
  if (!counts) return { inputs, targets };
  const weights = Float32Array.from({ length: size }, (_, i) =>
    counts(Math.floor(i / SEQ), i % SEQ) ? 1 : 0,
  );
  return { inputs, targets, weights };
}

/** The rows of several batches as one. */
function joined(batches: readonly TrainingRows[]): TrainingRows {
  const weights = batches.some((batch) => batch.weights)
    ? { weights: Float32Array.from(batches.flatMap((batch) => [...batch.weights!])) }
    : {};
  return {
    inputs: Int32Array.from(batches.flatMap(({ inputs }) => [...inputs])),
    targets: Int32Array.from(batches.flatMap(({ targets }) => [...targets])),
    ...weights,
  };
}

async function gradientsOf(learner: WholeGraphLearner, batches: readonly TrainingRows[]) {
  const { loss, tokens } = await learner.computeGradients(batches);
  const gradients = new Map(learner.trainables.map(({ name, gradient }) => [name, gradient.slice()]));
  return { loss, tokens, gradients };
}

function expectSame(
  actual: Awaited<ReturnType<typeof gradientsOf>>,
  expected: Awaited<ReturnType<typeof gradientsOf>>,
) {
  expect(actual.tokens).toBe(expected.tokens);
  expect(Math.abs(actual.loss - expected.loss)).toBeLessThanOrEqual(1e-6 * Math.abs(expected.loss));
  const total = Math.hypot(...[...expected.gradients.values()].map(norm));
  for (const [name, gradient] of expected.gradients) {
    const error = norm(actual.gradients.get(name)!.map((value, i) => value - gradient[i]!));
    // Gradients of key biases are zero but for rounding: hence the share of all.
    expect(error, name).toBeLessThanOrEqual(1e-6 * norm(gradient) + 1e-7 * total);
  }
}

describe.each([...FAMILIES, 'llama-untied'])('gradient accumulation of %s', (name) => {
  it('over two batches of 2 gives the loss and gradients of one batch of 4', async () => {
    const [small, large] = [await learnerOf(name, 2), await learnerOf(name, 4)];
    const halves = [randomBatch(2, 1), randomBatch(2, 2)];
    const expected = await gradientsOf(large, [joined(halves)]);
    expect(expected.tokens).toBe(4 * SEQ);
    expectSame(await gradientsOf(small, halves), expected);
    // Again: nothing is left over from the time before.
    expectSame(await gradientsOf(small, halves), expected);
    await small.release();
    await large.release();
  });

  it('divides by the total of counted tokens, however they are spread', async () => {
    const [small, large] = [await learnerOf(name, 2), await learnerOf(name, 6)];
    const parts = [
      randomBatch(2, 3, (row, at) => row === 0 && at < 3),
      randomBatch(2, 4, () => true),
      randomBatch(2, 5, () => false),
    ];
    const expected = await gradientsOf(large, [joined(parts)]);
    expect(expected.tokens).toBe(3 + 2 * SEQ);
    const actual = await gradientsOf(small, parts);
    expectSame(actual, expected);
    // A mean of the micro-batches' means would be another number.
    const losses = [];
    for (const part of parts.slice(0, 2)) losses.push((await gradientsOf(small, [part])).loss);
    expect(Math.abs((losses[0]! + losses[1]!) / 2 - actual.loss)).toBeGreaterThan(1e-3 * actual.loss);
    await small.release();
    await large.release();
  });
});

const SETTINGS: TrainerSettings = {
  steps: 60,
  accumulate: 1,
  lr: 0.01,
  schedule: 'cosine',
  warmup: 5,
  minLrRatio: 0.1,
  clip: 1,
  evalEvery: 0,
  saveEvery: 0,
};

function trainerOf(
  learner: WholeGraphLearner,
  { training, validation }: { readonly training: Int32Array; readonly validation: Int32Array },
  settings: TrainerSettings,
): Trainer {
  const { batch, seq } = learner.shape;
  const parts = {
    learner,
    training: new BatchSampler({ tokens: training, batch, seq, seed: 1 }),
    validation: () => evaluationBatches(validation, batch, seq),
    optimizer: new AdamW(learner.trainables, { beta1: 0.9, beta2: 0.95, weightDecay: 0 }),
  };
  return new Trainer(parts, settings);
}

/** A text of one window, again and again. */
function repeating(windows: number): Int32Array {
  const random = new Random(3);
  const window = Array.from({ length: SEQ }, () => random.nextInt(VOCAB));
  return Int32Array.from({ length: windows * SEQ }, (_, i) => window[i % SEQ]!);
}

async function collect(events: AsyncIterable<TrainEvent>): Promise<TrainEvent[]> {
  const all: TrainEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

describe('a trainer', () => {
  it.each(FAMILIES)('makes %s memorize a small text', async (name) => {
    const learner = await learnerOf(name, 4);
    const tokens = repeating(12);
    const events = await collect(
      trainerOf(learner, { training: tokens, validation: tokens }, { ...SETTINGS, steps: 200 }).run(),
    );
    const last = events.find((event) => event.type === 'evaluation')!;
    // Only the first tokens of a window, with little before them, may be in doubt.
    expect(last.loss).toBeLessThan(0.4);
    expect(last.perplexity).toBeCloseTo(Math.exp(last.loss), 10);
    await learner.release();
  });

  it('yields its events in order, and one final event of each kind', async () => {
    const learner = await learnerOf('llama', 1);
    const tokens = repeating(9);
    const settings = { ...SETTINGS, steps: 7, accumulate: 3, evalEvery: 3, saveEvery: 2 };
    const data = { training: tokens.subarray(0, 80), validation: tokens.subarray(80) };
    const events = await collect(trainerOf(learner, data, settings).run());
    expect(events.map(({ type, step }) => `${type[0]}${step}`).join(' ')).toBe(
      's1 s2 c2 s3 e3 s4 c4 s5 s6 e6 c6 s7 e7 c7',
    );
    const steps = events.filter((event) => event.type === 'step');
    expect(steps.map(({ tokens }) => tokens)).toEqual([1, 2, 3, 4, 5, 6, 7].map((n) => n * 3 * SEQ));
    expect(steps.every(({ tokensPerSecond }) => tokensPerSecond > 0)).toBe(true);
    expect(steps.at(-1)!.secondsLeft).toBe(0);
    // Warm-up to the peak, then down to a tenth of it.
    const rates = steps.map(({ learningRate }) => learningRate);
    expect(rates[0]).toBeCloseTo(0.01 / 5, 10);
    expect(rates[4]).toBeCloseTo(0.01, 10);
    expect(rates[6]).toBeCloseTo(0.001, 10);
    const evaluations = events.filter((event) => event.type === 'evaluation');
    expect(evaluations.map(({ tokens }) => tokens)).toEqual(evaluations.map(() => tokens.length - 80 - 1));
    const last = events.at(-1)!;
    expect(last.type === 'checkpoint' && last.last).toBe(true);
    await learner.release();
  });

  it('evaluates the loss of the same tokens, without affecting the gradients', async () => {
    const learner = await learnerOf('gemma2', 2);
    const tokens = repeating(3).subarray(0, 2 * SEQ + 1);
    const trainer = trainerOf(learner, { training: tokens, validation: tokens }, SETTINGS);
    const batch = { inputs: tokens.slice(0, -1), targets: tokens.slice(1) };
    const before = await gradientsOf(learner, [batch]);
    const evaluation = await trainer.evaluate();
    expect(evaluation.type === 'evaluation' && evaluation.loss).toBeCloseTo(before.loss, 6);
    for (const { name, gradient } of learner.trainables) {
      expect(gradient).toEqual(before.gradients.get(name));
    }
    await learner.release();
  });

  it('stops at non-finite numbers, naming the tensor and the remedy', async () => {
    const learner = await learnerOf('llama', 1);
    const tokens = repeating(9);
    learner.trainables[3]!.value[5] = Number.NaN;
    const running = collect(trainerOf(learner, { training: tokens, validation: tokens }, SETTINGS).run());
    await expect(running).rejects.toThrow(RopewalkError);
    await expect(running).rejects.toThrow(
      `the weight ${learner.trainables[3]!.name} is not finite. Lower the learning rate`,
    );
    await learner.release();
  });

  it.each<[Partial<TrainerSettings>, RegExp]>([
    [{ steps: 0 }, /steps: give a whole number of at least 1, not 0/],
    [{ accumulate: 1.5 }, /accumulate: give a whole number of at least 1/],
    [{ minLrRatio: 2 }, /minLrRatio: give a number from 0 to 1, not 2/],
    [{ patience: -1 }, /patience: give a whole number of at least 0/],
    [{ guard: -1 }, /guard: give a number of at least 0, not -1/],
    [{ lr: Number.NaN }, /lr: give a number of at least 0, not NaN/],
  ])('refuses %o before training starts', async (settings, message) => {
    const learner = await learnerOf('llama', 1);
    const tokens = repeating(9);
    const data = { training: tokens, validation: tokens };
    expect(() => trainerOf(learner, data, { ...SETTINGS, ...settings })).toThrow(message);
    expect(() => trainerOf(learner, { ...data, training: tokens.subarray(0, SEQ) }, SETTINGS)).toThrow(
      /the text has 12 tokens, but at least 13 are needed/,
    );
    await learner.release();
  });
});
