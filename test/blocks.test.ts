import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { TrainingRows } from '../src/batches.ts';
import { openModel, readWeights } from '../src/checkpoint/load.node.ts';
import { add, input, mul, reduceSum, reshape, scalar, sub } from '../src/graph/operators/index.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { HostMemory } from '../src/runtime/host-memory.ts';
import { BlockLearner, type BlockLearnerOptions } from '../src/training/blocks/block-learner.ts';
import type { Learner } from '../src/training/learner.ts';
import { crossEntropy, type Loss } from '../src/training/loss.ts';
import { AdamW, allocateTrainable, Sgd } from '../src/training/optimizers/optimizer.ts';
import { WholeGraphLearner, type WholeGraphLearnerOptions } from '../src/training/whole-graph-learner.ts';
import { norm } from './helpers/numbers.ts';

/** Training block by block is training of the whole graph: the same losses, gradients and weights, in less memory. */

const engine = nodeEngine({ threads: 1 });
const reference = (name: string) => fileURLToPath(new URL(`./reference/${name}`, import.meta.url));
const cases = readdirSync(reference('')).filter((name) =>
  existsSync(`${reference(name)}/expected.safetensors`),
);
const VOCAB = 96;
const SEQ = 12;
const BATCH = 2;

interface Shape {
  readonly packed?: boolean;
}

async function withWeights<E extends Learner>(
  name: string,
  create: (model: Awaited<ReturnType<typeof openModel>>['model']) => Promise<E>,
): Promise<E> {
  const opened = await openModel(reference(name));
  const learner = await create(opened.model);
  await learner.fill((values) => readWeights(opened, values));
  await opened.checkpoint.tensors.close();
  return learner;
}

const whole = (name: string, options: WholeGraphLearnerOptions = {}, shape: Shape = {}) =>
  withWeights(name, (model) =>
    WholeGraphLearner.create(engine, model, { batch: BATCH, seq: SEQ, ...shape }, options),
  );
const blocks = (name: string, options: BlockLearnerOptions, shape: Shape = {}) =>
  withWeights(name, (model) =>
    BlockLearner.create(engine, model, { batch: BATCH, seq: SEQ, ...shape }, options),
  );

function rowsOf(seed: number, packed = false): TrainingRows {
  const random = new Random(seed);
  const size = BATCH * SEQ;
  const draw = (below: number) => Int32Array.from({ length: size }, () => random.nextInt(below));
  const inputs = draw(VOCAB);
  // Few different ones, so that embedding rows repeat.
  for (let i = 0; i < size; i += 2) inputs[i] = inputs[i]! % 5;
  const weights = Float32Array.from({ length: size }, () => (random.next() < 0.8 ? 1 : 0));
  if (!packed) return { inputs, targets: draw(VOCAB), weights };
  const first = 5;
  return {
    inputs,
    targets: draw(VOCAB),
    weights,
    positions: Int32Array.from({ length: size }, (_, i) => (i % SEQ < first ? i % SEQ : (i % SEQ) - first)),
    segments: Float32Array.from({ length: size }, (_, i) => (i % SEQ < first ? 0 : 1)),
  };
}

type Gradients = ReadonlyMap<string, Float32Array>;

async function gradientsOf(learner: WholeGraphLearner | BlockLearner, batches: readonly TrainingRows[]) {
  const { loss, tokens, trainables } =
    learner instanceof BlockLearner
      ? await learner.computeGradients(batches)
      : { ...(await learner.computeGradients(batches)), trainables: learner.trainables };
  return {
    loss,
    tokens,
    gradients: new Map(trainables.map(({ name, gradient }) => [name, gradient.slice()])),
  };
}

function expectSameGradients(actual: Gradients, expected: Gradients) {
  expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
  const total = Math.hypot(...[...expected.values()].map(norm));
  for (const [name, gradient] of expected) {
    const error = norm(actual.get(name)!.map((value, i) => value - gradient[i]!));
    expect(error, name).toBeLessThanOrEqual(1e-5 * norm(gradient) + 1e-7 * total);
  }
}

describe.each(cases)('training %s block by block', (name) => {
  it.each([
    [false, undefined, 'recomputed'],
    [true, undefined, 'recomputed'],
    [false, 40, 'recomputed'],
    [true, 96 / 2, 'kept'],
    [false, undefined, 'kept'],
    // 24 rows, in runs of the same size, and with a last one that is filled up.
    [true, { headRows: 8 }, 'recomputed'],
    [false, { headRows: 7 }, 'kept'],
  ] as const)(
    'gives the losses and gradients of the whole graph (packed %s, head in chunks of %o, activations %s)',
    async (packed, chunks, activations) => {
      const expected = await whole(name, {}, { packed });
      const actual = await blocks(
        name,
        {
          ...{ gradients: 'kept', activations },
          ...(typeof chunks === 'number' ? { headChunk: chunks } : chunks),
        },
        { packed },
      );
      const batches = [rowsOf(1, packed), rowsOf(2, packed)];
      for (const part of [batches.slice(0, 1), batches]) {
        const a = await gradientsOf(actual, part);
        const e = await gradientsOf(expected, part);
        expect(a.tokens).toBe(e.tokens);
        expect(Math.abs(a.loss - e.loss)).toBeLessThanOrEqual(1e-6);
        expectSameGradients(a.gradients, e.gradients);
      }
      const evaluated = await actual.evaluate(batches);
      const { loss, tokens } = await expected.evaluate(batches);
      expect(evaluated.tokens).toBe(tokens);
      expect(Math.abs(evaluated.loss - loss)).toBeLessThanOrEqual(1e-6);
      await actual.release();
      await expected.release();
    },
  );

  it.each([
    ['kept', 'recomputed', undefined],
    ['kept', 'kept', undefined],
    ['as you go', 'recomputed', undefined],
    ['as you go', 'kept', { headChunk: 40 }],
    ['as you go', 'recomputed', { headRows: 10 }],
  ] as const)(
    'takes the same steps as the whole graph, gradients %s, activations %s, head in chunks: %o',
    async (gradients, activations, chunks) => {
      const expected = await whole(name);
      const actual = await blocks(name, { gradients, activations, ...chunks });
      const adamw = ({ parameters }: Learner) =>
        new AdamW(allocateTrainable(new HostMemory(), parameters), { weightDecay: 0.1 });
      const optimizers = [adamw(expected), adamw(actual)] as const;
      for (let step = 0; step < 6; step++) {
        const settings = { learningRate: 1e-3, clip: 0 };
        const e = await expected.step([rowsOf(step)], { ...settings, optimizer: optimizers[0] });
        const a = await actual.step([rowsOf(step)], { ...settings, optimizer: optimizers[1] });
        // To the bit where the head is computed whole; in chunks the sums of float32 numbers come in another order.
        const bound = chunks ? 5e-7 * e.loss : 0;
        expect(Math.abs(a.loss - e.loss), `step ${step}`).toBeLessThanOrEqual(bound);
        const rounding = Math.max(5e-6, 1.5e-6 * e.gradientNorm);
        expect(Math.abs(a.gradientNorm - e.gradientNorm)).toBeLessThanOrEqual(rounding);
        expect([a.tokens, a.updated]).toEqual([e.tokens, true]);
      }
      await actual.release();
      await expected.release();
    },
  );

  it('leaves frozen weights alone, and backpropagates only to the lowest trained block', async () => {
    const opened = await openModel(reference(name));
    const paths = [...opened.model.parameters().keys()];
    await opened.checkpoint.tensors.close();
    const layer = (path: string) => Number(/\.(\d+)\./.exec(path)?.[1] ?? -1);
    const choices: readonly ((path: string) => boolean)[] = [
      (path) => layer(path) === 1,
      (path) => layer(path) === 0 && path.endsWith('weight'),
      (path) => path === paths[0],
      (path) => layer(path) < 0 && path !== paths[0],
    ];
    for (const trains of choices) {
      const expected = await whole(name, { trains });
      for (const gradients of ['kept', 'as you go'] as const) {
        const actual = await blocks(name, { gradients, trains, headChunk: 50 });
        const before = new Map([...actual.values()].map(([path, value]) => [path, value.slice()]));
        const { loss } = await expected.computeGradients([rowsOf(7)]);
        const settings = { optimizer: new Sgd(), learningRate: 0.5, clip: 0 };
        const step = await actual.step([rowsOf(7)], settings);
        expect(Math.abs(step.loss - loss)).toBeLessThanOrEqual(1e-6);
        for (const { name: path, value } of expected.parameters) {
          const { gradient } = expected.trainables.find(({ name: other }) => other === path)!;
          expect(trains(path)).toBe(true);
          const updated = value.map((number, i) => number - 0.5 * gradient[i]!);
          const error = norm(
            actual
              .values()
              .get(path)!
              .map((number, i) => number - updated[i]!),
          );
          expect(error, path).toBeLessThanOrEqual(1e-5 * norm(gradient) + 1e-6 * norm(value));
        }
        for (const [path, value] of actual.values()) {
          if (!trains(path)) expect(value).toEqual(before.get(path));
        }
        await actual.release();
      }
      await expected.release();
    }
  });
});

describe('a custom loss trained block by block', () => {
  /** Cross-entropy, and the square of the activations' distance to a place that comes with every batch. */
  const loss: Loss = (inputs) => {
    const base = crossEntropy(inputs);
    const apart = sub(inputs.hidden, input('place', 'float32', inputs.hidden.shape));
    const square = reshape(reduceSum(mul(apart, apart), [0, 1]), []);
    return { ...base, loss: add(base.loss, mul(square, scalar(0.01))) };
  };

  it.each(['recomputed', 'kept'] as const)(
    'equals that of the whole graph, activations %s',
    async (activations) => {
      const expected = await whole('gemma2', { loss });
      const actual = await blocks('gemma2', { loss, gradients: 'kept', activations, headChunk: 40 });
      const rows = rowsOf(4);
      const shape = [BATCH * SEQ, actual.model.head.weight.shape[1]!];
      const random = new Random(9);
      const data = Float32Array.from({ length: shape[0]! * shape[1]! }, () => random.next());
      const batch = { ...rows, extra: { place: { data, shape } } };
      const a = await gradientsOf(actual, [batch]);
      const e = await gradientsOf(expected, [batch]);
      expect(Math.abs(a.loss - e.loss)).toBeLessThanOrEqual(1e-6);
      expectSameGradients(a.gradients, e.gradients);
      await actual.release();
      await expected.release();
    },
  );
});

describe('updating weights during the backward pass', () => {
  it('clips each block by its own norm', async () => {
    const whole = await blocks('llama', { gradients: 'kept' });
    const { trainables } = await whole.computeGradients([rowsOf(3)]);
    const gradients = new Map(trainables.map(({ name, gradient }) => [name, gradient.slice()]));
    const learner = await blocks('llama', { gradients: 'as you go' });
    const before = new Map([...learner.values()].map(([path, value]) => [path, value.slice()]));
    const clip = 0.01;
    await learner.step([rowsOf(3)], { optimizer: new Sgd(), learningRate: 1, clip });
    const blockOf = (path: string) => /layers\.\d+/.exec(path)?.[0] ?? path;
    for (const block of new Set([...gradients.keys()].map(blockOf))) {
      const moves = [...learner.values()]
        .filter(([path]) => blockOf(path) === block)
        .map(([path, value]) => norm(value.map((number, i) => number - before.get(path)![i]!)));
      expect(Math.hypot(...moves), block).toBeCloseTo(clip, 4);
    }
    await learner.release();
    await whole.release();
  });

  it('asks for acceptance with the loss alone, and leaves the weights when refused', async () => {
    const learner = await blocks('gemma2', { gradients: 'as you go' });
    const before = new Map([...learner.values()].map(([path, value]) => [path, value.slice()]));
    const asked: unknown[] = [];
    const settings = { optimizer: new Sgd(), learningRate: 1, clip: 1 };
    const refused = await learner.step([rowsOf(3)], {
      ...settings,
      accept: (measured) => {
        asked.push(measured);
        return false;
      },
    });
    expect(asked).toEqual([{ loss: refused.loss }]);
    expect(refused.updated).toBe(false);
    for (const [path, value] of learner.values()) expect(value).toEqual(before.get(path));
    const { loss, updated } = await learner.step([rowsOf(3)], settings);
    expect([loss, updated]).toEqual([refused.loss, true]);
    await learner.release();
  });

  it('refuses several micro-batches by name', async () => {
    const learner = await blocks('gpt2', { gradients: 'as you go' });
    const settings = { optimizer: new Sgd(), learningRate: 1, clip: 1 };
    await expect(learner.step([rowsOf(1), rowsOf(2)], settings)).rejects.toThrow(/2 micro-batches.*'kept'/s);
    await expect(learner.computeGradients([rowsOf(1)])).rejects.toThrow(/gradients: 'kept'/);
    await learner.release();
  });

  it.each(['kept', 'as you go'] as const)(
    'stops at a non-finite weight and names it, gradients %s',
    async (gradients) => {
      const learner = await blocks('llama', { gradients });
      const bad = learner.parameters[3]!;
      bad.value[5] = Number.NaN;
      const settings = { optimizer: new Sgd(), learningRate: 1, clip: 1 };
      await expect(learner.step([rowsOf(1)], settings)).rejects.toThrow(
        `the weight ${bad.name} is not finite`,
      );
      await learner.release();
    },
  );
});

describe('blocks of the same kind', () => {
  // Layers and the last norm; Gemma 2's layers alternate between a window and all keys, which 12 tokens show.
  it.each([
    ['llama', 2],
    ['gpt', 2],
    ['gpt2', 2],
    ['gemma', 2],
    ['gemma2', 3],
  ])('share one compiled session: %s has %i kinds', async (name, kinds) => {
    const learner = await blocks(name, { gradients: 'kept' });
    expect(learner.kinds).toBe(kinds);
    await learner.release();
  });
});
