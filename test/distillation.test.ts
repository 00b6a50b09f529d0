import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { BatchSampler, evaluationBatches } from '../src/batches.ts';
import { openModel, readWeights } from '../src/checkpoint/load.node.ts';
import { openSafetensors } from '../src/checkpoint/safetensors/safetensors-file.ts';
import { type DistillationOptions, distill, type TeachingSource } from '../src/distillation/distill.node.ts';
import { layerPaths } from '../src/distillation/layers.ts';
import { offlineLoss, onlineLoss } from '../src/distillation/losses.ts';
import { OnlineSource } from '../src/distillation/online-source.ts';
import { openTeacher, startTeacher } from '../src/distillation/open-teacher.node.ts';
import type { DistillInput } from '../src/distillation/settings.ts';
import { openStudent, type StudentOrigin } from '../src/distillation/student.node.ts';
import { OfflineSource, TaughtFile } from '../src/distillation/taught-file.node.ts';
import { type TeachEvent, type TeachOptions, teach } from '../src/distillation/teach.node.ts';
import { RopewalkError } from '../src/errors.ts';
import { llama } from '../src/families/llama.ts';
import { FileSource } from '../src/files/file.node.ts';
import { Random } from '../src/random.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { createLearner } from '../src/training/create-learner.ts';
import { AdamW, type Optimizer } from '../src/training/optimizers/optimizer.ts';
import type { RunOptions } from '../src/training/runs/run-job.node.ts';
import { WholeGraphLearner } from '../src/training/whole-graph-learner.ts';
import { FAMILIES } from './helpers/families.ts';
import { tinyTokenizer } from './helpers/tiny-tokenizer.ts';
import { leftBehind } from './helpers/training-run.node.ts';

const engine = nodeEngine({ threads: 1 });
const folder = mkdtempSync(join(tmpdir(), 'ropewalk-distillation-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;
const place = (ending = '') => join(folder, `${count++}${ending}`);
const reference = (name: string) => fileURLToPath(new URL(`./reference/${name}`, import.meta.url));
const VOCAB = 96;

/** A reference model with a tokenizer beside it, of which one token may be another. */
function modelWithTokenizer(name: string, change?: { from: string; to: string }): string {
  const path = place();
  cpSync(reference(name), path, { recursive: true });
  const { tokenizer, config } = tinyTokenizer();
  let text = JSON.stringify(tokenizer);
  if (change) text = text.replaceAll(JSON.stringify(change.from), JSON.stringify(change.to));
  writeFileSync(join(path, 'tokenizer.json'), text);
  writeFileSync(join(path, 'tokenizer_config.json'), JSON.stringify(config));
  return path;
}

/** What transformers gives for its rows: ids `[batch, seq]`, logits `[batch · seq, vocab]`. */
async function expectedOf(name: string) {
  const file = await openSafetensors(await FileSource.open(`${reference(name)}/expected.safetensors`));
  const [batch, seq] = file.tensors.get('ids')!.shape as [number, number];
  const ids = Int32Array.from(await file.readInts('ids'));
  const logits = await file.readFloat32('logits');
  await file.close();
  return { batch, seq, ids, logits };
}

/** log softmax(logits / T) of a row, in float64. */
function logProbabilities(logits: Float32Array, row: number, temperature: number): number[] {
  const values = Array.from(logits.subarray(row * VOCAB, (row + 1) * VOCAB), (x) => x / temperature);
  const most = Math.max(...values);
  const sum = Math.log(values.reduce((total, value) => total + Math.exp(value - most), 0)) + most;
  return values.map((value) => value - sum);
}

const teacherPath = modelWithTokenizer('gemma2');

async function withTeacher<T>(
  path: string,
  shape: { batch: number; seq: number; packed?: boolean },
  use: (teacher: Awaited<ReturnType<typeof startTeacher>>['teacher']) => Promise<T>,
): Promise<T> {
  const opened = await openTeacher(path);
  const { teacher, release } = await startTeacher(engine, opened, shape);
  await opened.close();
  try {
    return await use(teacher);
  } finally {
    await release();
  }
}

describe('the teacher', () => {
  it.each(FAMILIES)("gives the probabilities of transformers' logits: %s", async (name) => {
    const { batch, seq, ids, logits } = await expectedOf(name);
    await withTeacher(modelWithTokenizer(name), { batch, seq }, async (teacher) => {
      const hidden = await teacher.hiddenStates({ inputs: ids, targets: ids });
      for (const temperature of [1, 2.5]) {
        let rows = 0;
        for await (const piece of teacher.probabilities(hidden, temperature)) {
          for (let row = 0; row < piece.rows; row++, rows++) {
            const expected = logProbabilities(logits, piece.start + row, temperature);
            expected.forEach((logP, id) => {
              expect(Math.abs(piece.data[row * VOCAB + id]! - Math.exp(logP))).toBeLessThan(2e-5);
            });
          }
        }
        expect(rows).toBe(batch * seq);
      }
    });
  });
});

interface Case {
  readonly temperature: number;
  readonly ratio: number;
  readonly loss: number;
  readonly gradients: Readonly<Record<string, { readonly norm: number; readonly first: readonly number[] }>>;
}

/** By transformers and autograd in float64: test/reference/make_distillation.py. */
const { cases } = JSON.parse(readFileSync(reference('distillation.json'), 'utf8')) as { cases: Case[] };

/** Gradients of a llama that a gemma2 teaches on the llama's own reference rows. */
async function studentGradients(settings: { temperature: number; ratio: number }, blocks: boolean) {
  const { batch, seq, ids } = await expectedOf('llama');
  const shape = { batch, seq };
  const weights = Float32Array.from(ids, (_, i) => (i % seq === seq - 1 ? 0 : 1));
  return withTeacher(teacherPath, shape, async (teacher) => {
    const opened = await openModel(reference('llama'));
    const loss = onlineLoss(teacher.head, settings);
    const memory = blocks ? 'recompute' : 'fast';
    const session = await createLearner(engine, opened.model, shape, { loss, memory });
    await session.fill((values) => readWeights(opened, values));
    await opened.checkpoint.tensors.close();
    // The last target of a row does not count, so which one it is does not matter.
    const targets = ids.map((_, i) => ids[(i + 1) % ids.length]!);
    const rows = await teacher.teach({ inputs: ids, targets, weights }, VOCAB);
    const gradients = new Map<string, Float32Array>();
    const optimizer: Optimizer = {
      step: (parameters) => {
        for (const { name, gradient } of parameters) gradients.set(name, gradient.slice());
      },
      state: () => ({ steps: {}, tensors: new Map() }),
      restore: () => {},
    };
    const { loss: mean } = await session.step([rows], { optimizer, learningRate: 0, clip: 0 });
    await session.release();
    return { loss: mean, gradients };
  });
}

describe.each(cases)(
  'a distillation step at temperature $temperature, ratio $ratio',
  ({ loss, gradients, ...settings }) => {
    it.each(['as one graph', 'block by block'])(
      'has the loss and gradients of transformers, %s',
      async (way) => {
        const ours = await studentGradients(settings, way === 'block by block');
        expect(Math.abs(ours.loss - loss)).toBeLessThan(2e-5);
        expect([...ours.gradients.keys()].sort()).toEqual(Object.keys(gradients).sort());
        for (const [name, { norm, first }] of Object.entries(gradients)) {
          const gradient = ours.gradients.get(name)!;
          expect(Math.abs(Math.hypot(...gradient) - norm)).toBeLessThan(1e-4 * norm);
          first.forEach((value, i) => {
            expect(Math.abs(gradient[i]! - value)).toBeLessThan(1e-4 * norm);
          });
        }
      },
    );
  },
);

/** Ids that follow one another by a rule, but for some. */
function tokens(size: number): Int32Array {
  const random = new Random(7);
  const ids = new Int32Array(size);
  for (let i = 1; i < size; i++) {
    // Special tokens aside.
    ids[i] = random.next() < 0.2 ? 8 + random.nextInt(40) : 8 + ((3 * ids[i - 1]! + 1) % 40);
  }
  return ids;
}

const SHAPE = { batch: 2, seq: 8 };
const all = tokens(400);
const training = all.subarray(0, 300);
const validation = all.subarray(300);

async function said(options: Partial<TeachOptions> = {}, signal?: AbortSignal): Promise<TeachEvent[]> {
  const teacher = await openTeacher(teacherPath);
  const events: TeachEvent[] = [];
  try {
    const data = {
      training: () => evaluationBatches(training, SHAPE.batch, SHAPE.seq),
      heldOut: () => evaluationBatches(validation, SHAPE.batch, SHAPE.seq),
      identity: 'the text',
    };
    const given = { k: 5, method: 'sampled', temperature: 1, seed: 3, out: place('.taught') } as const;
    for await (const event of teach(
      engine,
      { teacher: { ...teacher, name: 'gemma2' }, data, shape: SHAPE, ...given, ...options },
      signal,
    ))
      events.push(event);
  } finally {
    await teacher.close();
  }
  return events;
}

describe('the stored outputs of a teacher', () => {
  it('contain every row of the text, and the held-out part', async () => {
    const out = place('.taught');
    const last = (await said({ out })).at(-1)!;
    expect(last).toMatchObject({ type: 'finished', rows: 38, heldOut: 13 });
    const file = await TaughtFile.open(out);
    const read: number[] = [];
    for (let i = 0; i < file.header.rows; i++) {
      const { inputs, weights } = await file.row(i);
      read.push(...inputs.filter((_, at) => weights[at] === 1));
    }
    expect(read).toEqual([...training.subarray(0, 299)]);
    await file.close();
  });

  it('are written by one process at a time: another is refused, and changes nothing', async () => {
    const out = place('.taught');
    const both = await Promise.allSettled([said({ out }), said({ out })]);
    const [done] = both.filter((one) => one.status === 'fulfilled');
    const [refused] = both.filter((one) => one.status === 'rejected');
    expect(done!.value.at(-1)).toMatchObject({ type: 'finished', rows: 38, heldOut: 13 });
    expect(refused!.reason).toBeInstanceOf(RopewalkError);
    expect((refused!.reason as Error).message).toMatch(
      new RegExp(`process ${process.pid} on .* is using it`),
    );
    expect(readdirSync(folder).filter((name) => name.startsWith(`.${basename(out)}.`))).toEqual([]);
    const file = await TaughtFile.open(out);
    expect(file.header.rows).toBe(38);
    await file.close();
  });

  it('contain with the whole vocabulary what the teacher computes directly', async () => {
    const out = place('.taught');
    const last = (await said({ out, k: VOCAB, method: 'largest' })).at(-1)!;
    expect(last.type === 'finished' && last.covered).toBeCloseTo(1, 5);
    const file = await TaughtFile.open(out);
    const source = new OfflineSource(file, { ...SHAPE, seed: 1, vocabSize: VOCAB });
    const settings = { temperature: 1, ratio: 0.5 };
    await withTeacher(teacherPath, SHAPE, async (teacher) => {
      const steps = async (loss: ReturnType<typeof onlineLoss>, online: boolean) => {
        const opened = await openModel(reference('llama'));
        const session = await WholeGraphLearner.create(engine, opened.model, SHAPE, { loss });
        await session.fill((values) => readWeights(opened, values));
        await opened.checkpoint.tensors.close();
        const optimizer = new AdamW(session.trainables);
        source.restore({ ...source.state(), epoch: 0, position: 0 });
        const losses: number[] = [];
        for (let step = 0; step < 5; step++) {
          const { extra, ...rows } = await source.next();
          const batch = online ? await teacher.teach(rows, VOCAB) : { ...rows, extra: extra! };
          losses.push((await session.step([batch], { optimizer, learningRate: 1e-2, clip: 1 })).loss);
        }
        await session.release();
        return losses;
      };
      const online = await steps(onlineLoss(teacher.head, settings), true);
      const offline = await steps(offlineLoss(VOCAB, settings), false);
      // Shares of 65,535 are what differs.
      online.forEach((loss, i) => {
        expect(Math.abs(loss - offline[i]!)).toBeLessThan(1e-3);
      });
    });
    await file.close();
  });

  it.each([
    [0, 12],
    [1, 11],
    // A record of 8 tokens and 5 entries has 4 + 8 · 5 + 4 + 8 · 5 · 4 = 208 bytes.
    [209, 10],
  ])('are the same after an interruption that lost the last %i bytes', async (lost, kept) => {
    const whole = place('.taught');
    await said({ out: whole });
    const out = place('.taught');
    const controller = new AbortController();
    const teacher = await openTeacher(teacherPath);
    let asked = 0;
    const data = {
      *training() {
        for (const batch of evaluationBatches(training, SHAPE.batch, SHAPE.seq)) {
          // The first pass counts the rows.
          if (++asked === 19 + 7) controller.abort();
          yield batch;
        }
      },
      heldOut: () => evaluationBatches(validation, SHAPE.batch, SHAPE.seq),
      identity: 'the text',
    };
    const first = await said({ out, data }, controller.signal);
    await teacher.close();
    expect(first.at(-1)).toEqual({ type: 'interrupted', rows: 12 });
    const partial = join(folder, `.${basename(out)}.teaching`);
    const { length } = readFileSync(partial);
    truncateSync(partial, length - lost);
    const second = await said({ out });
    expect(second[0]).toEqual({ type: 'resumed', rows: kept });
    expect(readFileSync(out)).toEqual(readFileSync(whole));
    // What an interruption left of other options is not gone on with.
    const other = place('.taught');
    writeFileSync(join(folder, `.${basename(other)}.teaching`), 'RWTAUGHT and no more');
    expect((await said({ out: other }))[0]!.type).toBe('progress');
    expect(readFileSync(other)).toEqual(readFileSync(whole));
  });

  it('never overwrite a file, nor keep more entries than the vocabulary has', async () => {
    const out = place('.taught');
    await said({ out });
    await expect(said({ out })).rejects.toThrow(/already exists; choose another file/);
    await expect(said({ k: VOCAB + 1 })).rejects.toThrow(/k is 97, but the vocabulary has 96/);
    await expect(said({ k: 0 })).rejects.toThrow(/with this k/);
  });
});

const SETTINGS: DistillInput = {
  ...{ batch: SHAPE.batch, seq: SHAPE.seq, steps: 12, lr: 0.01, warmup: 2, evalEvery: 4, saveEvery: 3 },
  ...{ seed: 5, ratio: 0.8, result: 'last' },
};

const fromScratch: StudentOrigin = {
  kind: 'scratch',
  family: llama,
  config: { ...llama.presets.tiny!.config, vocab_size: VOCAB },
};

async function online(): Promise<TeachingSource> {
  return {
    kind: 'online',
    teacher: await openTeacher(teacherPath),
    training: () => new BatchSampler({ tokens: training, ...SHAPE, seed: 5 }),
    validation: () => evaluationBatches(validation, SHAPE.batch, SHAPE.seq),
    dataIdentity: 'the text',
    size: { tokens: training.length, trainedTokens: training.length, batchesPerEpoch: training.length / 32 },
  };
}

async function run(
  teaching: TeachingSource,
  rest: Partial<DistillationOptions & RunOptions> & { origin?: StudentOrigin; stopAt?: number },
) {
  const { origin = fromScratch, stopAt, ...options } = rest;
  const controller = new AbortController();
  const events = [];
  const student = await openStudent(origin);
  const files = [{ name: 'tokenizer.json', data: '{}' }];
  try {
    const { signal } = controller;
    // What a file settles is left out.
    const { seq: _, ...settings } = SETTINGS;
    const given = teaching.kind === 'online' ? SETTINGS : settings;
    const made = { ...given, student, teaching, files, engine, out: place(), signal, ...options };
    for await (const event of distill(made)) {
      events.push(event);
      if (event.type === 'step' && event.step === stopAt) controller.abort();
    }
  } finally {
    await (teaching.kind === 'online' ? teaching.teacher.close() : teaching.file.close());
  }
  return events;
}

describe('a distillation run', () => {
  const taught = place('.taught');
  const written = said({ out: taught });

  it.each(['online', 'offline'])(
    'lowers the loss, and resumes to the same bits after an interruption: %s',
    async (way) => {
      await written;
      const teaching = async (): Promise<TeachingSource> =>
        way === 'online' ? online() : { kind: 'offline', file: await TaughtFile.open(taught) };
      const whole = place();
      const events = await run(await teaching(), { out: whole });
      const losses = events.flatMap((event) => (event.type === 'step' ? [event.loss] : []));
      expect(losses.at(-1)).toBeLessThan(losses[0]!);
      expect(events.filter(({ type }) => type === 'evaluation').length).toBe(3);
      const out = place();
      await run(await teaching(), { out, stopAt: 5 });
      const rest = await run(await teaching(), { out, resume: 'must' });
      expect(rest.find(({ type }) => type === 'resumed')).toEqual({ type: 'resumed', step: 5, changes: [] });
      const steps = (path: string) => {
        const { 'metrics.jsonl': metrics, ...files } = leftBehind(path);
        // Checkpoints are made at other steps, too, where a run was stopped.
        return Object.fromEntries(
          Object.entries({ ...files, metrics: metrics! }).filter(([name]) => !name.includes('step-')),
        );
      };
      expect(steps(out)).toEqual(steps(whole));
      await expect(run(await teaching(), { out, resume: 'must', ratio: 0.7 })).rejects.toThrow(
        /started with another "ratio" \(0\.8, now 0\.7\)/,
      );
    },
  );

  it('is evaluated by next-token prediction alone', async () => {
    const out = place();
    const events = await run(await online(), { out });
    const last = events.findLast((event) => event.type === 'evaluation')!;
    const opened = await openModel(out);
    const session = await WholeGraphLearner.create(engine, opened.model, SHAPE);
    await session.fill((values) => readWeights(opened, values));
    await opened.checkpoint.tensors.close();
    const { loss } = await session.evaluate(evaluationBatches(validation, SHAPE.batch, SHAPE.seq));
    await session.release();
    expect(last.loss).toBeCloseTo(loss, 5);
  });

  it('accepts packed rows', async () => {
    const shape = { ...SHAPE, packed: true };
    await withTeacher(teacherPath, shape, async (teacher) => {
      const inputs = training.slice(0, 16);
      const positions = Int32Array.from(inputs, (_, i) => i % 4);
      const segments = Float32Array.from(inputs, (_, i) => Math.floor((i % 8) / 4));
      const rows = { inputs, targets: inputs, positions, segments, epoch: 0 };
      const source = { next: () => rows, state: () => 0, restore: () => {} };
      const taughtRows = await new OnlineSource(source, teacher, VOCAB).next();
      const packed = Object.values(taughtRows.extra!)[0]!.data as Float32Array;
      // Each text of four tokens is to the teacher what it is alone.
      await withTeacher(teacherPath, { batch: 4, seq: 4 }, async (other) => {
        const alone = await other.hiddenStates({ inputs, targets: inputs });
        alone.forEach((value, i) => {
          expect(Math.abs(value - packed[i]!)).toBeLessThan(1e-4);
        });
      });
    });
  });
});

describe('the student of a distillation', () => {
  const weightsOf = async (origin: StudentOrigin) => {
    const student = await openStudent(origin);
    const values = new Map(
      [...student.model.parameters()].map(([path, { size }]) => [path, new Float32Array(size)]),
    );
    await student.begin(values, 1);
    return { student, values };
  };

  it.each(FAMILIES)("starts with some of its teacher's layers: %s", async (name) => {
    const path = modelWithTokenizer(name);
    const whole = await weightsOf({ kind: 'checkpoint', path });
    const size = layerPaths(whole.student.model).length;
    const layers = [size - 1, 0, 0];
    const { student, values } = await weightsOf({ kind: 'layers', path, layers });
    const [from, to] = [layerPaths(whole.student.model), layerPaths(student.model)];
    expect(to.length).toBe(3);
    for (const [parameter, value] of values) {
      const layer = to.findIndex((beginning) => parameter.startsWith(beginning));
      const source = layer < 0 ? parameter : from[layers[layer]!]! + parameter.slice(to[layer]!.length);
      expect(value).toEqual(whole.values.get(source));
    }
  });

  it('is refused with another tokenizer, naming the first token that differs', async () => {
    const path = modelWithTokenizer('llama', { from: 'q', to: 'ŋ' });
    const out = place();
    await expect(run(await online(), { origin: { kind: 'checkpoint', path }, out })).rejects.toThrow(
      /id 28 is "q" for the teacher, but "ŋ" for the student/,
    );
    const file = place('.taught');
    await said({ out: file });
    await expect(
      run({ kind: 'offline', file: await TaughtFile.open(file) }, { origin: { kind: 'checkpoint', path } }),
    ).rejects.toThrow(/whose tokenizer differs from the student's/);
  });

  it('may be of another family with the same tokenizer', async () => {
    const origin = { kind: 'checkpoint', path: modelWithTokenizer('llama') } as const;
    const events = await run(await online(), { origin, steps: 2 });
    expect(events.at(-1)).toMatchObject({ type: 'finished', step: 2 });
  });

  it.each([
    [{ seq: 9 }, /seq: .* was written with 8; leave the option out, or write another file/],
    [
      { validation: 0.2 },
      /validation: the held-out data was chosen when .* was written; leave the option out/,
    ],
    [{ temperature: 2 }, /temperature: .* was written with 1; leave the option out, or write another file/],
    [
      { origin: { ...fromScratch, config: { ...llama.presets.tiny!.config, vocab_size: 97 } } },
      /vocabulary has 97 entries, but the teacher's 96/,
    ],
    [{ ratio: 0 }, /ratio: give the teacher's share of the loss, above 0 and at most 1; .* not 0/],
  ])('is refused when it does not fit the stored outputs: %o', async (options, message) => {
    const file = place('.taught');
    await said({ out: file });
    const taught = { kind: 'offline', file: await TaughtFile.open(file) } as const;
    const attempt = run(taught, options as Parameters<typeof run>[1]);
    await expect(attempt).rejects.toThrow(message);
    await expect(attempt).rejects.toThrow(RopewalkError);
  });
});
