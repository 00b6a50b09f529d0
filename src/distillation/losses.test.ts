import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { RopewalkError } from '../errors.ts';
import { differentiate } from '../graph/differentiate.ts';
import { evaluate } from '../graph/evaluate.ts';
import { input } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import { nodeEngine } from '../runtime/engine.node.ts';
import { Executable, type HostTensor } from '../runtime/executable.ts';
import { checkDistillation, offlineLoss, onlineLoss, TEACHER_INPUTS } from './losses.ts';

interface Case {
  readonly name: string;
  readonly settings: { readonly temperature: number; readonly ratio: number };
  readonly softcap: number | null;
  readonly teacherSoftcap: number | null;
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  readonly expected: { readonly loss: number } & Readonly<
    Record<'perToken' | 'dHidden' | 'dWeight', readonly number[]>
  > & { readonly dBias?: readonly number[] };
}

/** PyTorch's, in float64: fixtures/make_losses.py. */
const { sizes, cases } = JSON.parse(
  readFileSync(new URL('./fixtures/losses.json', import.meta.url), 'utf8'),
) as {
  sizes: { rows: number; width: number; teacherWidth: number; vocab: number; k: number };
  cases: Case[];
};
const { rows, width, teacherWidth, vocab, k } = sizes;
const engine = nodeEngine({ threads: 2 });

function build({ settings, softcap, teacherSoftcap, inputs }: Case) {
  const offline = inputs.ids !== undefined;
  const bias = inputs.bias ? input('bias', 'float32', [vocab]) : undefined;
  const parts = {
    hidden: input('hidden', 'float32', [rows, width]),
    head: { weight: input('weight', 'float32', [vocab, width]), bias, softcap },
    targets: input('targets', 'int32', [rows]),
    weights: input('weights', 'float32', [rows]),
    ...{ rows, vocabSize: vocab },
  };
  const lossOf = offline
    ? offlineLoss(k, settings)
    : onlineLoss({ width: teacherWidth, softcap: teacherSoftcap, bias: !!bias }, settings);
  const { loss, perToken } = lossOf(parts);
  const sources = [parts.hidden, parts.head.weight, ...(bias ? [bias] : [])];
  return [loss, perToken, ...differentiate(loss, sources).map((gradient) => gradient!)];
}

/** Every input of the graph by name, with its values. */
function feedsOf({ inputs }: Case): Map<string, { shape: number[]; data: readonly number[] }> {
  const named: [string, number[], readonly number[] | undefined][] = [
    ['hidden', [rows, width], inputs.hidden],
    ['weight', [vocab, width], inputs.weight],
    ['bias', [vocab], inputs.bias],
    ['targets', [rows], inputs.targets],
    ['weights', [rows], inputs.weights],
    [TEACHER_INPUTS.hidden, [rows, teacherWidth], inputs.teacherHidden],
    [TEACHER_INPUTS.weight, [vocab, teacherWidth], inputs.teacherWeight],
    [TEACHER_INPUTS.bias, [vocab], inputs.teacherBias],
    [TEACHER_INPUTS.ids, [rows, k], inputs.ids],
    [TEACHER_INPUTS.probabilities, [rows, k], inputs.probabilities],
  ];
  return new Map(named.flatMap(([name, shape, data]) => (data ? [[name, { shape, data }]] : [])));
}

function inputsOf(outputs: readonly Tensor[]): Map<string, Tensor> {
  const found = new Map<string, Tensor>();
  const seen = new Set<Tensor>();
  const visit = (tensor: Tensor) => {
    if (seen.has(tensor)) return;
    seen.add(tensor);
    const { operator, attributes, inputs } = tensor.node;
    if (operator.name === 'input') found.set((attributes as { name: string }).name, tensor);
    inputs.forEach(visit);
  };
  outputs.forEach(visit);
  return found;
}

function worst(actual: ArrayLike<number>, expected: readonly number[]): number {
  expect(actual.length).toBe(expected.length);
  const size = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-3);
  return expected.reduce((most, value, i) => Math.max(most, Math.abs(value - actual[i]!) / size), 0);
}

describe.each(cases)('the distillation loss $name', (one) => {
  const { loss, perToken, dHidden, dWeight, dBias } = one.expected;
  const wanted = [[loss], perToken, dHidden, dWeight, ...(dBias ? [dBias] : [])];

  it("has PyTorch's value and gradients in float64", () => {
    const outputs = build(one);
    const feeds = feedsOf(one);
    const given = new Map(
      [...inputsOf(outputs)].map(([name, tensor]) => {
        const { shape, data } = feeds.get(name)!;
        return [tensor, { shape, data: Float64Array.from(data) }];
      }),
    );
    const values = evaluate(outputs, given);
    values.forEach(({ data }, i) => {
      expect(worst(data, wanted[i]!)).toBeLessThan(1e-7);
    });
  });

  it('has the same on the engine, in float32', async () => {
    const outputs = build(one);
    const executable = await Executable.compile(
      engine,
      new Map(outputs.map((output, i) => [`y${i}`, output])),
    );
    const feeds: Record<string, HostTensor> = {};
    for (const [name, { shape, data }] of feedsOf(one)) {
      const integers = name === 'targets' || name === TEACHER_INPUTS.ids;
      feeds[name] = { shape, data: integers ? Int32Array.from(data) : Float32Array.from(data) };
    }
    const results = await executable.run(feeds);
    await executable.release();
    wanted.forEach((expected, i) => {
      expect(worst(results[`y${i}`]!.data as Float32Array, expected)).toBeLessThan(5e-6);
    });
  });
});

describe('checking the settings of distillation', () => {
  it.each([
    [{ temperature: 0, ratio: 1 }, /temperature .* is 0/],
    [{ temperature: Number.NaN, ratio: 1 }, /temperature/],
    [{ temperature: 1, ratio: 0 }, /ratio .* is 0; .*"train"/],
    [{ temperature: 1, ratio: 1.5 }, /at most 1/],
  ])('refuses %o', (settings, message) => {
    expect(() => checkDistillation(settings)).toThrow(RopewalkError);
    expect(() => checkDistillation(settings)).toThrow(message);
  });
});
