import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { BatchSampler } from '../src/batches.ts';
import { option, RopewalkError, said } from '../src/errors.ts';
import { initializeWeights } from '../src/families/initialize.ts';
import { findPreset } from '../src/families/registry.ts';
import { differentiate } from '../src/graph/differentiate.ts';
import { evaluate } from '../src/graph/evaluate.ts';
import { halfProducts, MOST_TERMS } from '../src/graph/half-products.ts';
import { roundToHalf } from '../src/graph/lowerings/half.ts';
import { attention, input, matmul, matmulOp, rmsNorm } from '../src/graph/operators/index.ts';
import { isNodeOf, type Tensor } from '../src/graph/tensor.ts';
import { topologicalOrder } from '../src/graph/traverse.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { createLearner } from '../src/training/create-learner.ts';
import type { Learner } from '../src/training/learner.ts';
import { LossScale, LossScaleError } from '../src/training/loss-scale.ts';
import { createOptimizer } from '../src/training/optimizers/create-optimizer.ts';
import { readCheckpoint, writeCheckpoint } from '../src/training/runs/checkpoint.node.ts';
import type { TrainEvent } from '../src/training/train-event.ts';
import { Trainer } from '../src/training/trainer.ts';
import { buildProgram, type Finished, ropewalk, start } from './helpers/cli.node.ts';
import { saveUntrained, scratch } from './helpers/models.node.ts';
import { relativeError } from './helpers/numbers.ts';
import { float16Vulkan, softwareVulkan } from './helpers/vulkan.node.ts';

/** Of PyTorch: test/reference/make_half.py. */
const expected = JSON.parse(
  readFileSync(fileURLToPath(new URL('./reference/half.json', import.meta.url)), 'utf8'),
) as {
  rounded: [string, string][];
  scale: { finite: number[]; factor: number[] };
};

it('rounds to float16 as PyTorch does', () => {
  const number = (hex: string) => Buffer.from(hex, 'hex').readFloatBE(0);
  for (const [x, rounded] of expected.rounded) expect(roundToHalf(number(x)), x).toBe(number(rounded));
});

describe('a loss scale', () => {
  it("adapts as PyTorch's GradScaler does", () => {
    const scale = new LossScale();
    const { finite, factor } = expected.scale;
    expect(scale.factor).toBe(65_536);
    finite.forEach((steps, i) => {
      for (let step = 0; step < steps; step++) scale.update(true);
      scale.update(false);
      expect(scale.factor).toBe(factor[i]);
    });
  });

  it('continues from its state', () => {
    const [whole, before, after] = [new LossScale(), new LossScale(), new LossScale()];
    for (let step = 0; step < 2500; step++) whole.update(step !== 100);
    for (let step = 0; step < 1500; step++) before.update(step !== 100);
    after.restore(JSON.parse(JSON.stringify(before.state())));
    for (let step = 1500; step < 2500; step++) after.update(step !== 100);
    expect(after.state()).toEqual(whole.state());
  });

  it('is an error after 20 skipped steps in a row, with what to do', () => {
    const scale = new LossScale();
    for (let step = 0; step < 19; step++) scale.update(false);
    scale.update(true);
    for (let step = 0; step < 19; step++) scale.update(false);
    expect(() => scale.update(false)).toThrow(
      /20 steps in a row .* train in float32 \(precision: 'float32'\)/,
    );
  });
});

describe('a run with a loss scale', () => {
  /** A learner on the processor that claims to have a loss scale, and the third step of which overflows. */
  async function scaledLearner() {
    const { family, preset } = findPreset('gpt/tiny')!;
    const config = { ...preset.config, vocab_size: 31, n_layer: 1 } as never;
    const model = family.build(config);
    const inner = await createLearner(nodeEngine({ threads: 1 }), model, { batch: 1, seq: 4 });
    await inner.fill((values) => initializeWeights(model.parameters(), values, new Random(1)));
    const lossScale = new LossScale();
    let steps = 0;
    const learner: Learner = {
      ...{ model, shape: inner.shape, parameters: inner.parameters, lossScale },
      values: () => inner.values(),
      fill: (write) => inner.fill(write),
      evaluate: (batches) => inner.evaluate(batches),
      release: () => inner.release(),
      async step(batches, settings) {
        if (++steps !== 3) {
          lossScale.update(true);
          return inner.step(batches, settings);
        }
        const overflowed = lossScale.factor;
        lossScale.update(false);
        return { loss: 3, tokens: 4, gradientNorm: Number.NaN, updated: false, overflowed };
      },
    };
    const tokens = Int32Array.from({ length: 40 }, (_, i) => i % 31);
    const training = new BatchSampler({ tokens, batch: 1, seq: 4, seed: 1 });
    const optimizer = createOptimizer('adamw', inner.parameters);
    const settings = { steps: 4, accumulate: 1, lr: 0.01, schedule: 'constant' } as const;
    const every = { warmup: 0, clip: 1, evalEvery: 0, saveEvery: 0 };
    const trainer = new Trainer({ learner, training, optimizer }, { ...settings, ...every });
    return { learner, trainer, identity: { family, config, files: [] } };
  }

  it('reports skipped steps, and has the factor in its checkpoint', async () => {
    const { folder, remove } = scratch('half-checkpoint');
    try {
      const { learner, trainer, identity } = await scaledLearner();
      const events: TrainEvent[] = [];
      for await (const event of trainer.run()) events.push(event);
      const steps = events.filter((event) => event.type === 'step');
      expect(steps.map(({ overflowed }) => overflowed)).toEqual([undefined, undefined, 65_536, undefined]);
      expect(steps[2]).toMatchObject({ gradientNorm: null });
      expect(steps.every(({ skipped }) => skipped === undefined)).toBe(true);
      const state = { factor: 32_768, good: 1, skipped: 0 };
      expect(trainer.state().lossScale).toEqual(state);
      const path = join(folder, 'checkpoint');
      await writeCheckpoint(path, learner, identity as never, trainer.state());
      const other = await scaledLearner();
      await readCheckpoint(path, other.learner, other.trainer);
      expect(other.learner.lossScale!.state()).toEqual(state);

      const file = join(path, 'trainer.json');
      writeFileSync(file, readFileSync(file, 'utf8').replace('"factor":32768', '"factor":-1'));
      await expect(readCheckpoint(path, other.learner, other.trainer)).rejects.toThrow(
        /trainer\.json: the field "lossScale\.factor" is damaged/,
      );
      await learner.release();
      await other.learner.release();
    } finally {
      remove();
    }
  });

  it('spells the remedy as the command line does', async () => {
    const { learner, trainer } = await scaledLearner();
    const failing = {
      ...learner,
      step: () => Promise.reject(new LossScaleError(said`use ${option('precision', 'float32')}`)),
    };
    Object.assign(learner, failing);
    const error = await trainer
      .run()
      .next()
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RopewalkError);
    expect((error as RopewalkError).options).toEqual(['precision']);
    await learner.release();
  });
});

describe('products in float16', () => {
  const products = (outputs: readonly Tensor[]) =>
    topologicalOrder(outputs).filter((node) => isNodeOf(node, matmulOp));
  const value = (tensor: Tensor, random: Random) => {
    const shape = tensor.shape as number[];
    const size = shape.reduce((all, dim) => all * dim, 1);
    return { shape, data: Float64Array.from({ length: size }, () => Math.fround(random.nextGaussian())) };
  };

  it.each([
    [false, false],
    [false, true],
    [true, false],
    [true, true],
  ])('add up no more than their limit in float16: transposed %s, %s', (transA, transB) => {
    const inner = 2 * MOST_TERMS + 2;
    const a = input('a', 'float32', transA ? [inner, 3] : [3, inner]);
    const b = input('b', 'float32', transB ? [4, inner] : [inner, 4]);
    const y = matmul(a, b, { transA, transB, alpha: 0.5 });
    const [half] = halfProducts([y], 'webgpu') as [Tensor];
    const parts = products([half]);
    expect(parts).toHaveLength(3);
    for (const { inputs, outputs } of parts) {
      expect([...inputs, ...outputs].map(({ dtype }) => dtype)).toEqual(['float16', 'float16', 'float16']);
      expect(inputs[0]!.shape[transA ? 0 : 1]).toBeLessThanOrEqual(MOST_TERMS);
    }
    expect(half.dtype).toBe('float32');
    const random = new Random(3);
    const feeds = new Map([a, b].map((tensor) => [tensor, value(tensor, random)]));
    const [[right], [got]] = [evaluate([y], feeds), evaluate([half], feeds)];
    const error = relativeError(got!.data, right!.data);
    expect(error).toBeLessThan(1e-3);
    expect(error).toBeGreaterThan(0);
  });

  it('are those of attention and its derivative, and not the sums inside a norm', () => {
    const [x, weight] = [input('x', 'float32', [1, 2, 3, 8]), input('w', 'float32', [8])];
    const q = rmsNorm(x, weight, 1e-5);
    const y = attention(q, x, x, input('mask', 'float32', [3, 3]), { scale: 0.25, softcap: null });
    const gradients = differentiate(y, [x, weight], input('dy', 'float32', [1, 2, 3, 8]));
    const found = products(halfProducts([y, ...gradients.map((each) => each!)], 'webgpu'));
    const columns = found.filter(({ outputs }) => outputs[0]!.shape.at(-1) === 1);
    const others = found.filter(({ outputs }) => outputs[0]!.shape.at(-1) !== 1);
    expect(columns.length).toBeGreaterThan(0);
    for (const { outputs } of columns) expect(outputs[0]!.dtype).toBe('float32');
    // q·k, p·v; dP, dq, dk, dv.
    expect(others).toHaveLength(6);
    for (const { outputs } of others) expect(outputs[0]!.dtype).toBe('float16');
  });
});

it.each([
  ['cpu', 'float16', /precision: 'float16' needs a device that computes in it.*cpu computes in float32\./],
  ['webgpu', 'bfloat16', /precision: 'bfloat16' needs .*webgpu computes in float32 and float16\./],
] as const)('%s refuses %s', (provider, precision, message) => {
  expect(() => nodeEngine({ provider, precision })).toThrow(message);
});

const software = softwareVulkan();
if (!software) {
  console.log('skipped: there is no WebGPU in software of a Chromium in /usr/lib/chromium or CHROMIUM_PATH');
}

/** SwiftShader has no float16. */
describe.runIf(software)('a device without float16', () => {
  it.each(['train', 'finetune', 'generate', 'score'])('is refused by name: %s', async (command) => {
    const { folder, remove } = scratch('half');
    try {
      const [model, run, text] = ['model', 'run', 'text.txt'].map((name) => join(folder, name)) as [
        string,
        string,
        string,
      ];
      await saveUntrained(model);
      writeFileSync(text, 'Once upon a time there was a rope. '.repeat(60));
      const training = ['--seq', '16', '--batch', '2', '--steps', '1', '--out', run];
      const args = {
        train: ['--family', 'llama', '--text', text, '--tokenizer', model, ...training],
        finetune: [model, '--data', text, ...training],
        generate: [model, '--ids', '1,2'],
        score: [model, '--ids', '1,2'],
      }[command]!;
      const half = ['--device', 'webgpu', '--precision', 'float16'];
      const { code, stderr } = await ropewalk([command, ...args, ...half], { env: software! });
      expect(stderr).toMatch(/--precision float16 is not possible here: .*shader-f16.*--precision float32/);
      expect(code).toBe(1);
      const written = existsSync(run) ? readdirSync(run) : [];
      expect(written.filter((name) => /checkpoint|safetensors/.test(name))).toEqual([]);
    } finally {
      remove();
    }
  });
});

/** On a driver in software with float16, if there is one: Mesa's lavapipe from 24 on. */
describe('a device with float16', async () => {
  const env = float16Vulkan();
  const cases = ['llama', 'llama:fast', 'gemma2:recompute', 'gpt:light'];
  const child = await buildProgram('test/helpers/half-child.node.ts');
  const probed = env && (await start(child, [], { env }).finished);
  const has = probed?.stdout.includes('{"check":"float16","value":true}') ?? false;
  if (!has) {
    console.log(
      "skipped: no WebGPU in software with float16; name a Vulkan driver that has it in ROPEWALK_FLOAT16_VULKAN (Mesa's lavapipe from 24 on)",
    );
  }
  let finished: Finished;
  let checks: Map<string, unknown>;
  beforeAll(async () => {
    if (!has) return;
    finished = await start(child, cases, { env: env! }).finished;
    const lines = finished.stdout.split('\n').filter((line) => line.startsWith('{'));
    checks = new Map(
      lines.map((line) => {
        const { check, value } = JSON.parse(line) as { check: string; value: unknown };
        return [check, value];
      }),
    );
  }, 300_000);
  const result = (check: string) => checks.get(check) ?? `not reached: ${finished.stderr}`;

  it.runIf(has)('adds up long sums in float32', () => {
    // A sum of equal terms in float16 stops at 2,048.
    expect(result('sum of 8192 ones')).toBe(8192);
    expect(result('product of 8192 terms')).toBeLessThanOrEqual(0.008);
  });

  it.runIf(has)('gives the logits of transformers within 1 %', () => {
    expect(result('llama: logits')).toBeLessThanOrEqual(0.01);
    expect(result('llama: logits with a cache')).toBeLessThanOrEqual(0.01);
  });

  describe.runIf(has).each(cases.slice(1))('%s', (name) => {
    it("follows PyTorch's float32 for 50 steps", () => {
      expect(result(`${name}: loss`)).toBeLessThanOrEqual(0.01);
      expect(result(`${name}: norm`)).toBeLessThanOrEqual(0.02);
      expect(result(`${name}: weights`)).toBeLessThanOrEqual(0.005);
      expect(result(`${name}: skipped`)).toBe(0);
    });

    it('continues to the same bits', () => {
      expect(result(`${name}: resumed`)).toBe(true);
    });

    it('skips steps whose gradients are not finite, halves the factor, and goes on', () => {
      expect(result(`${name}: skips`)).toBe(true);
      expect(result(`${name}: recovers`)).toBe(true);
    });

    it('is an error where no factor helps', () => {
      expect(result(`${name}: gives up`)).toMatch(/20 steps in a row/);
    });
  });
});
