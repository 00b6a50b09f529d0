import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openModel, readWeights } from '../src/checkpoint/load.node.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import type { TrainingRows } from '../src/text/batches.ts';
import { Random } from '../src/text/random.ts';
import { BlockSession, type BlockSessionOptions } from '../src/training/block-session.ts';
import type { TrainingEngine } from '../src/training/engine.ts';
import { TrainingSession, type TrainingSessionOptions } from '../src/training/session.ts';
import { norm } from './helpers/numbers.ts';

/** Training block by block is training of the whole graph: the same losses, gradients and weights, in less memory. */

const engine = nodeEngine({ threads: 1 });
const reference = (name: string) => new URL(`./reference/${name}`, import.meta.url).pathname;
const cases = readdirSync(reference('')).filter((name) =>
  existsSync(`${reference(name)}/expected.safetensors`),
);
const VOCAB = 96;
const SEQ = 12;
const BATCH = 2;

interface Shape {
  readonly packed?: boolean;
}

async function withWeights<E extends TrainingEngine>(
  name: string,
  create: (model: Awaited<ReturnType<typeof openModel>>['model']) => Promise<E>,
): Promise<E> {
  const opened = await openModel(reference(name));
  const session = await create(opened.model);
  await readWeights(opened, session.values());
  await opened.checkpoint.tensors.close();
  return session;
}

const whole = (name: string, options: TrainingSessionOptions = {}, shape: Shape = {}) =>
  withWeights(name, (model) =>
    TrainingSession.create(engine, model, { batch: BATCH, seq: SEQ, ...shape }, options),
  );
const blocks = (name: string, options: BlockSessionOptions, shape: Shape = {}) =>
  withWeights(name, (model) =>
    BlockSession.create(engine, model, { batch: BATCH, seq: SEQ, ...shape }, options),
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
  const [first] = [5];
  return {
    inputs,
    targets: draw(VOCAB),
    weights,
    positions: Int32Array.from({ length: size }, (_, i) => (i % SEQ < first! ? i % SEQ : (i % SEQ) - first!)),
    segments: Float32Array.from({ length: size }, (_, i) => (i % SEQ < first! ? 0 : 1)),
  };
}

type Gradients = ReadonlyMap<string, Float32Array>;

async function gradientsOf(session: TrainingSession | BlockSession, batches: readonly TrainingRows[]) {
  const { loss, tokens } = await session.computeGradients(batches);
  const trainables =
    session instanceof TrainingSession
      ? session.trainables
      : (await session.computeGradients(batches)).trainables;
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

describe.each(cases)('%s block by block', (name) => {
  it.each([false, true])('has the losses and gradients of the whole graph (packed %s)', async (packed) => {
    const expected = await whole(name, {}, { packed });
    const actual = await blocks(name, { gradients: 'kept' }, { packed });
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
  });
});
