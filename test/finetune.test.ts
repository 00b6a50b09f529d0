import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { labelSmoothing } from '../examples/label-smoothing.ts';
import { Lion } from '../examples/lion.ts';
import { openModel, readWeights, tokenizerOf } from '../src/checkpoint/load.node.ts';
import { openSafetensors } from '../src/checkpoint/safetensors/safetensors-file.ts';
import { RopewalkError } from '../src/errors.ts';
import { FileSource } from '../src/files/file.node.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { createLearner } from '../src/training/create-learner.ts';
import { firstNotFinite } from '../src/training/diagnose.ts';
import { FAMILIES } from './helpers/families.ts';
import { baseModel, chats, SMALL, smallFinetune } from './helpers/finetune-run.node.ts';

const MEMORY_MODES = ['fast', 'recompute', 'light'] as const;
const folder = mkdtempSync(join(tmpdir(), 'ropewalk-finetune-'));
let count = 0;
const place = () => join(folder, `run${count++}`);
const bases = new Map<string, string>();

/** A reference model with a tokenizer, and its data beside it. */
function base(name: string): string {
  const path = join(folder, name);
  if (!bases.has(name)) {
    baseModel(path, name);
    writeFileSync(`${path}.jsonl`, chats(80));
    bases.set(name, path);
  }
  return path;
}

async function weightsOf(path: string): Promise<Map<string, Float32Array>> {
  const opened = await openModel(path);
  const targets = new Map(
    [...opened.model.parameters()].map(([name, { size }]) => [name, new Float32Array(size)]),
  );
  await readWeights(opened, targets);
  await opened.checkpoint.tensors.close();
  return targets;
}

type Events = Awaited<ReturnType<typeof smallFinetune>>;
const losses = (events: Events) => events.flatMap((event) => (event.type === 'step' ? [event.loss] : []));

async function refusal(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => new Error('it ran'),
    (reason: unknown) => reason,
  );
  expect(error, String(error)).toBeInstanceOf(RopewalkError);
  return (error as Error).message;
}

beforeAll(() => base('llama'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a fine-tuning run', () => {
  it('reports its plan, evaluates before and after, keeps the best, and leaves a model, a card and a report', async () => {
    const out = place();
    const events = await smallFinetune(base('llama'), {
      out,
      dtype: 'bfloat16',
      freeze: [],
      steps: 40,
      saveEvery: 10,
    });
    expect(events[0]).toMatchObject({ type: 'plan', plan: { steps: 40, fits: true } });
    const evaluations = events.filter((event) => event.type === 'evaluation');
    expect(evaluations.at(-1)!.loss).toBeLessThan(evaluations[0]!.loss - 1);
    const best = evaluations.filter(({ best }) => best).at(-1)!;
    expect(best.loss).toBe(Math.min(...evaluations.slice(1).map(({ loss }) => loss)));
    expect(events.at(-1)).toMatchObject({ type: 'finished', step: 40, resultStep: best.step });
    for (const event of events) {
      if (event.type === 'step') expect(event.engineShare).toBeGreaterThan(0);
    }
    const opened = await openModel(out);
    expect(opened.checkpoint.config).toMatchObject({ dtype: 'bfloat16', torch_dtype: 'bfloat16' });
    // The turn's end of the template ends texts too, wherever the model goes.
    expect(opened.stopTokens).toContain(7);
    await opened.checkpoint.tensors.close();
    // bfloat16 keeps 8 bits of each of the best weights.
    const [kept, result] = [await weightsOf(join(out, 'best')), await weightsOf(out)];
    for (const [name, values] of kept) {
      result.get(name)!.forEach((value, i) => {
        expect(Math.abs(value - values[i]!)).toBeLessThanOrEqual(2 ** -8 * Math.abs(values[i]!));
      });
    }
    const card = readFileSync(join(out, 'README.md'), 'utf8');
    expect(card).toMatch(/^---\nlibrary_name: transformers/);
    expect(card).toContain(`| before | ${evaluations[0]!.loss.toFixed(4)} |`);
    expect(card).toContain('stored in bfloat16');
    const report = readFileSync(join(out, 'report.html'), 'utf8');
    for (const text of ['fine-tuned', '미세 조정', 'Before', '학습 전과 후의 글', best.loss.toFixed(4)]) {
      expect(report).toContain(text);
    }
    expect(report).not.toMatch(/NaN|undefined|https?:\/\/(?!www\.w3\.org)/);
  });

  it.each(FAMILIES)('trains %s in every memory mode, with the same losses', async (name) => {
    const options = { freeze: [], addToken: [], samplePrompt: [], steps: 12, states: 'float32' as const };
    const [fast, recompute, light] = await Promise.all(
      MEMORY_MODES.map(async (memory) =>
        losses(await smallFinetune(base(name), { out: place(), ...options, memory, accumulate: 1, clip: 0 })),
      ),
    );
    expect(fast).toHaveLength(12);
    expect(fast!.at(-1)).toBeLessThan(fast![0]!);
    for (const other of [recompute!, light!])
      for (const [i, loss] of fast!.entries()) expect(Math.abs(other[i]! - loss)).toBeLessThan(5e-6 * loss);
  });

  it('has the same losses whether activations are kept or recomputed', async () => {
    const options = {
      freeze: [] as string[],
      states: 'float32' as const,
      samplePrompt: [] as string[],
    };
    const fast = losses(await smallFinetune(base('llama'), { out: place(), ...options }));
    const again = losses(
      await smallFinetune(base('llama'), { out: place(), ...options, memory: 'recompute' }),
    );
    expect(fast).toHaveLength(SMALL.steps);
    for (const [i, loss] of again.entries()) expect(Math.abs(loss - fast[i]!)).toBeLessThan(2e-6 * fast[i]!);
  });

  it.each(['adamw', 'adafactor', 'sgd'] as const)(
    'updates weights during the backward pass with %s',
    async (optimizer) => {
      const lr = { adamw: 3e-3, adafactor: 3e-3, sgd: 0.1 }[optimizer];
      // What AdamW's states are kept in is no option of the others.
      const states = optimizer === 'adamw' ? 'float32' : (undefined as never);
      const options = { optimizer, lr, memory: 'light', accumulate: 1, states } as const;
      const events = losses(await smallFinetune(base('llama'), { out: place(), ...options, steps: 40 }));
      expect(events.at(-1)).toBeLessThan(events[0]! - 0.3);
    },
  );

  it('leaves frozen weights unchanged, and trains the others', async () => {
    const out = place();
    await smallFinetune(base('llama'), {
      out,
      freeze: ['model.layers.0.*', '*norm.weight'],
      addToken: [],
      result: 'last',
    });
    const [before, after] = [await weightsOf(base('llama')), await weightsOf(out)];
    for (const [name, values] of before) {
      const frozen = name.startsWith('model.layers.0.') || name.endsWith('norm.weight');
      expect(
        values.every((value, i) => value === after.get(name)![i]),
        name,
      ).toBe(frozen);
    }
  });

  it('stops early when the held-out loss no longer falls, and keeps the best weights', async () => {
    const out = place();
    // Far too large a rate: the loss rises, and never falls below that of its first evaluation again.
    const options = {
      out,
      lr: 0.3,
      clip: 0,
      schedule: 'constant',
      warmup: 0,
      patience: 2,
      evalEvery: 2,
      steps: 60,
      guard: 0,
    } as const;
    const events = await smallFinetune(base('llama'), options);
    const stopped = events.find((event) => event.type === 'stopped')!;
    expect(stopped.step).toBe(stopped.best.step + 4);
    expect(stopped.step).toBeLessThan(60);
    expect(events.at(-1)).toMatchObject({
      type: 'finished',
      step: stopped.step,
      resultStep: stopped.best.step,
    });
    const [best, result] = [await weightsOf(join(out, 'best')), await weightsOf(out)];
    for (const [name, values] of best) expect(result.get(name)).toEqual(values);
  });
});

describe('tokens added for fine-tuning', () => {
  it('get the next ids and the mean embedding, in a vocabulary that grows when needed', async () => {
    const out = place();
    const path = base('llama-untied');
    // A rate so small that nothing moves: what is saved is what training began with.
    const options = {
      out,
      lr: 1e-30,
      weightDecay: 0,
      steps: 1,
      states: 'float32' as const,
      freeze: [] as string[],
      result: 'last' as const,
    };
    const { tokenizer: json } = JSON.parse(
      `{"tokenizer":${readFileSync(join(path, 'tokenizer.json'), 'utf8')}}`,
    ) as {
      tokenizer: { model: { vocab: Record<string, number> } };
    };
    const known = Object.keys(json.model.vocab).length;
    const more = Array.from({ length: 96 - known + 2 }, (_, i) => `<new ${i}>`);
    await smallFinetune(path, { ...options, addToken: more });
    const opened = await openModel(out);
    const tokenizer = (await tokenizerOf(opened.checkpoint))!;
    expect(tokenizer.encode(`a${more[0]}b${more.at(-1)}`)).toEqual([
      ...tokenizer.encode('a'),
      known,
      ...tokenizer.encode('b'),
      known + more.length - 1,
    ]);
    expect(tokenizer.isSpecial(known)).toBe(true);
    expect(opened.config.vocab_size).toBe(98);
    await opened.checkpoint.tensors.close();
    const [before, after] = [await weightsOf(path), await weightsOf(out)];
    for (const name of ['model.embed_tokens.weight', 'lm_head.weight']) {
      const [old, grown] = [before.get(name)!, after.get(name)!];
      const width = old.length / 96;
      expect(grown.length).toBe(98 * width);
      expect(grown.subarray(0, known * width)).toEqual(old.subarray(0, known * width));
      for (let i = 0; i < width; i++) {
        let mean = 0;
        for (let row = 0; row < known; row++) mean += old[row * width + i]! / known;
        for (let row = known; row < 98; row++) expect(grown[row * width + i]).toBeCloseTo(mean, 6);
      }
    }
    for (const [name, values] of before) {
      if (!/embed_tokens|lm_head/.test(name)) expect(after.get(name), name).toEqual(values);
    }
  });

  it('are refused when they already exist', async () => {
    const options = { out: place(), addToken: ['<turn>'] };
    expect(await refusal(smallFinetune(base('llama'), options))).toMatch(
      /"<turn>": the tokenizer already has this token/,
    );
  });
});

describe('fine-tuning that cannot succeed', () => {
  it.each<[Parameters<typeof smallFinetune>[1], RegExp]>([
    [
      { out: '', freeze: ['model.layers.9.*'] },
      /freeze: "model\.layers\.9\.\*" matches none .*model\.embed_tokens\.weight/,
    ],
    [{ out: '', freeze: ['*'] }, /freeze: it leaves nothing to train/],
    [{ out: '', memory: 'light' }, /memory: light .* allows one micro-batch per step, but accumulate is 2/],
    [
      { out: '', optimizer: 'sgd' },
      /states: the optimizer sgd has no such option; leave it out, or choose optimizer: 'adamw'/,
    ],
    [{ out: '', seq: 65 }, /seq: 65 is longer than the 64 positions/],
    [{ out: '', epochs: -1 }, /epochs: give a number above 0, not -1/],
    [{ out: '', epochs: 2 }, /epochs: steps also sets the length of the run; leave one of the two out/],
    [{ out: '', validation: 0 }, /evalEvery: validation is 0, so there is no held-out data to evaluate/],
    [{ out: '', validation: 80 }, /80 of 80 examples for validation leave none/],
  ])('is refused: %o', async (options, message) => {
    expect(await refusal(smallFinetune(base('llama'), { ...options, out: place() }))).toMatch(message);
  });

  it('traces non-finite numbers to the first tensor that has one', async () => {
    const engine = nodeEngine({ threads: 1 });
    const opened = await openModel(base('llama'));
    const training = await createLearner(engine, opened.model, { batch: 1, seq: 8 });
    await training.fill((values) => readWeights(opened, values));
    await opened.checkpoint.tensors.close();
    const rows = { inputs: new Int32Array(8).fill(9), targets: new Int32Array(8).fill(10) };
    expect(await firstNotFinite(engine, training, [rows])).toBeUndefined();
    (await training.values()).get('model.layers.1.mlp.down_proj.weight')!.fill(3e38);
    expect(await firstNotFinite(engine, training, [rows])).toMatch(/is the output of layer 1$/);
    (await training.values()).get('model.layers.0.mlp.up_proj.weight')![3] = Number.NaN;
    expect(await firstNotFinite(engine, training, [rows])).toMatch(
      /the weight model\.layers\.0\.mlp\.up_proj\.weight$/,
    );
    await training.release();
  });

  it('stops at non-finite numbers, and says where', async () => {
    const options = { out: place(), lr: 1e30, clip: 0, guard: 0, warmup: 0, samplePrompt: [], evalEvery: 0 };
    expect(await refusal(smallFinetune(base('llama'), options))).toMatch(
      /training stopped at step \d+: the first tensor that is not finite is (the output of|the weight) /,
    );
  });
});

describe('the examples of extensions', () => {
  it('compute label smoothing as (1 − ε) · nll + ε · the mean over the vocabulary, of the logits of transformers', async () => {
    const path = fileURLToPath(new URL('./reference/gemma2', import.meta.url));
    const file = await openSafetensors(await FileSource.open(`${path}/expected.safetensors`));
    const inputs = Int32Array.from(await file.readInts('ids'));
    const logits = await file.readFloat32('logits');
    const [batch, seq] = file.entry('ids').shape as [number, number];
    await file.close();
    const targets = inputs.map((id, i) => (5 * id + i) % 96);
    const epsilon = 0.1;
    let expected = 0;
    targets.forEach((target, row) => {
      const own = Array.from(logits.subarray(96 * row, 96 * (row + 1)));
      const total = Math.log(own.reduce((sum, each) => sum + Math.exp(each), 0));
      const mean = own.reduce((sum, each) => sum + total - each, 0) / 96;
      expected += ((1 - epsilon) * (total - own[target]!) + epsilon * mean) / targets.length;
    });
    const opened = await openModel(path);
    const loss = labelSmoothing(epsilon);
    const training = await createLearner(nodeEngine({ threads: 1 }), opened.model, { batch, seq }, { loss });
    await training.fill((values) => readWeights(opened, values));
    await opened.checkpoint.tensors.close();
    expect((await training.evaluate([{ inputs, targets }])).loss).toBeCloseTo(expected, 4);
    await training.release();
    const options = { out: place(), addToken: [], freeze: [], loss };
    const smooth = losses(await smallFinetune(base('gemma2'), options));
    expect(smooth.at(-1)).toBeLessThan(smooth[0]!);
  });

  it('train with Lion, and resume to the same bits', async () => {
    const createOptimizer = (parameters: ConstructorParameters<typeof Lion>[0]) => new Lion(parameters);
    const options = { createOptimizer, lr: 5e-4, result: 'last' } as const;
    const [whole, stopped] = [place(), place()];
    const events = losses(await smallFinetune(base('llama'), { out: whole, ...options }));
    expect(events.at(-1)).toBeLessThan(events[0]!);
    const controller = new AbortController();
    await smallFinetune(base('llama'), { out: stopped, ...options, signal: controller.signal }, (step) => {
      if (step === 8) controller.abort();
    });
    await smallFinetune(base('llama'), { out: stopped, ...options, resume: 'must' });
    const [a, b] = [await weightsOf(whole), await weightsOf(stopped)];
    for (const [name, values] of a) expect(b.get(name), name).toEqual(values);
  });
});
