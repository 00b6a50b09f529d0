import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModel, readWeights, tokenizerOf } from '../src/checkpoint/load.node.ts';
import { readNewTokens } from '../src/checkpoint/new-tokens.node.ts';
import { type FinetuneOptions, finetune } from '../src/finetune/finetune.node.ts';
import type { RunEvent } from '../src/training/runs/events.ts';
import { extendModel } from '../src/vocabulary/extend.node.ts';
import { ropewalk } from './helpers/cli.node.ts';
import { saveUntrained, scratch } from './helpers/models.node.ts';

const { folder, remove } = scratch('new-rows');
afterAll(remove);
let made = 0;
const place = () => join(folder, `run${made++}`);

const ADD = 30;
const FIRST = 300;
const KOREAN = '옛날 옛적에 나무꾼이 살았습니다.\n나무꾼은 숲에서 사슴을 만났습니다.\n'.repeat(12);
const data = join(folder, 'korean.txt');
const models = { tied: join(folder, 'tied'), untied: join(folder, 'untied'), gpt: join(folder, 'gpt') };
const original = join(folder, 'original');

async function extended(from: string, out: string): Promise<void> {
  const opened = await openModel(from);
  await extendModel(opened, out, [KOREAN], { add: ADD });
  await opened.checkpoint.tensors.close();
}

beforeAll(async () => {
  writeFileSync(data, KOREAN);
  await saveUntrained(original);
  await extended(original, models.tied);
  const untied = join(folder, 'original-untied');
  await saveUntrained(untied, { tie_word_embeddings: false });
  await extended(untied, models.untied);
  const gpt = join(folder, 'original-gpt');
  await saveUntrained(gpt, {}, 'gpt/tiny');
  await extended(gpt, models.gpt);
});

const OPTIONS = {
  ...{ steps: 4, batch: 2, seq: 16, lr: 1e-2, warmup: 0, validation: 0, saveEvery: 1, keep: 9, threads: 1 },
  ...{ seed: 3, guard: 0, addToken: [] },
} satisfies Partial<FinetuneOptions>;

async function run(model: string, options: Partial<FinetuneOptions> & { out: string }): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  for await (const event of finetune(model, data, { ...OPTIONS, ...options })) events.push(event);
  return events;
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

const bytes = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  Buffer.from(buffer, byteOffset, byteLength);
const same = (a: Float32Array, b: Float32Array) => bytes(a).equals(bytes(b));

/** Which rows of a table differ; of another weight, whether it does. */
function changed(before: Map<string, Float32Array>, after: Map<string, Float32Array>, rows: number) {
  const tables = new Map<string, number[]>();
  const others: string[] = [];
  for (const [name, values] of before) {
    const now = after.get(name)!;
    if (same(values, now)) continue;
    if (values.length % rows !== 0 || !/embed|lm_head|\bw\.|tokens/.test(name)) {
      others.push(name);
      continue;
    }
    const width = values.length / rows;
    const row = (all: Float32Array, id: number) => all.subarray(id * width, (id + 1) * width);
    const ids = Array.from({ length: rows }, (_, id) => id);
    tables.set(
      name,
      ids.filter((id) => !same(row(values, id), row(now, id))),
    );
  }
  return { tables, others };
}

const losses = (events: RunEvent[]) => events.flatMap((event) => (event.type === 'step' ? [event.loss] : []));

describe('training new rows first', () => {
  it.each([
    ['tied', 'fast', 'float32'],
    ['tied', 'light', 'int8'],
    ['untied', 'recompute', 'bfloat16'],
    ['untied', 'light', 'float32'],
    ['gpt', 'fast', 'int8'],
  ] as const)('leaves every other bit of a %s model (memory %s, states %s)', async (name, memory, states) => {
    const model = models[name];
    const out = place();
    await run(model, { out, trainNewRowsFirst: 3, memory, states });
    const before = await weightsOf(model);
    const rows = FIRST + ADD;
    const phase = changed(before, await weightsOf(join(out, 'checkpoints/step-00000003')), rows);
    expect(phase.others).toEqual([]);
    expect(phase.tables.size).toBe({ tied: 1, untied: 2, gpt: 2 }[name]);
    for (const ids of phase.tables.values()) {
      expect(ids.length).toBeGreaterThan(5);
      expect(Math.min(...ids)).toBeGreaterThanOrEqual(FIRST);
    }
    const { others } = changed(before, await weightsOf(out), rows);
    expect(others.length).toBeGreaterThan(5);
  });

  it.each([
    ['adamw', [1, 2, 3]],
    ['adafactor', [1]],
    ['sgd', [1]],
  ] as const)('resumes to the same bits within and after it (%s)', async (optimizer, stops) => {
    const options = { trainNewRowsFirst: 2, optimizer, accumulate: 2, memory: 'fast' as const };
    const whole = place();
    const all = losses(await run(models.untied, { ...options, out: whole }));
    const expected = await weightsOf(whole);
    for (const stop of stops) {
      const out = place();
      const controller = new AbortController();
      const begun: number[] = [];
      for await (const event of finetune(models.untied, data, {
        ...OPTIONS,
        ...options,
        out,
        signal: controller.signal,
      })) {
        if (event.type !== 'step') continue;
        begun.push(event.loss);
        if (event.step === stop) controller.abort();
      }
      const rest = losses(await run(models.untied, { ...options, out, resume: 'must' }));
      expect([...begun, ...rest]).toEqual(all);
      for (const [path, values] of await weightsOf(out))
        expect(same(values, expected.get(path)!), path).toBe(true);
    }
  });

  it('moves a row by the learning rate times its gradient, and no other', async () => {
    const [out, all] = [place(), place()];
    const options = { steps: 1, optimizer: 'sgd' as const, lr: 0.5, schedule: 'constant' as const, clip: 0 };
    await run(models.tied, { ...options, out, trainNewRowsFirst: 1 });
    await run(models.tied, { ...options, out: all });
    const [before, rows, whole] = await Promise.all([models.tied, out, all].map(weightsOf));
    const name = 'model.embed_tokens.weight';
    const width = before!.get(name)!.length / (FIRST + ADD);
    const at = FIRST * width;
    // One step from the same weights on the same batch: the rows have the same gradient, whatever else is trained.
    expect(same(rows!.get(name)!.subarray(at), whole!.get(name)!.subarray(at))).toBe(true);
    expect(same(rows!.get(name)!.subarray(0, at), before!.get(name)!.subarray(0, at))).toBe(true);
    expect(same(whole!.get(name)!.subarray(0, at), before!.get(name)!.subarray(0, at))).toBe(false);
  });

  it('is recorded in the run, which resumes with no other number, and the result keeps the record of new tokens', async () => {
    const out = place();
    await run(models.tied, { out, steps: 2, trainNewRowsFirst: 1 });
    await expect(run(models.tied, { out, steps: 2, trainNewRowsFirst: 2, resume: 'must' })).rejects.toThrow(
      '"trainNewRowsFirst" (1, now 2)',
    );
    await expect(run(models.tied, { out, steps: 2, resume: 'must' })).rejects.toThrow('"trainNewRowsFirst"');
    expect(await readNewTokens(out, FIRST + ADD)).toEqual({ first: FIRST, count: ADD, merges: ADD });
  });

  it('trains new special tokens too, with and without an extension', async () => {
    for (const [model, first] of [
      [models.tied, FIRST],
      [original, FIRST],
    ] as const) {
      const out = place();
      await run(model, { out, steps: 1, trainNewRowsFirst: 1, addToken: ['<one>', '<two>'] });
      const after = await weightsOf(out);
      const before = await weightsOf(model);
      const name = 'model.embed_tokens.weight';
      const kept = before
        .get(name)!
        .subarray(0, (first * after.get(name)!.length) / (model === original ? 302 : 332));
      expect(same(after.get(name)!.subarray(0, kept.length), kept)).toBe(true);
      for (const [path, values] of before)
        if (path !== name) expect(same(values, after.get(path)!)).toBe(true);
    }
  });

  it('is refused without new tokens, and where their rows are frozen', async () => {
    const out = place();
    await expect(run(original, { out, trainNewRowsFirst: 2 })).rejects.toThrow(
      /trainNewRowsFirst: .* has no new tokens; extend its vocabulary first/,
    );
    await expect(run(models.untied, { out, trainNewRowsFirst: 2, freeze: ['lm_head.*'] })).rejects.toThrow(
      /the rows of new tokens are in lm_head.weight, which/,
    );
  });

  it('is a flag of the command', async () => {
    const out = place();
    const args = [
      '--steps',
      '1',
      '--batch',
      '1',
      '--seq',
      '16',
      '--validation',
      '0',
      '--train-new-rows-first',
      '1',
    ];
    const { code, stderr } = await ropewalk(['finetune', models.tied, '--data', data, '--out', out, ...args]);
    expect(code, stderr).toBe(0);
    const before = await weightsOf(models.tied);
    expect(changed(before, await weightsOf(out), FIRST + ADD).others).toEqual([]);
    const bad = await ropewalk(['finetune', original, '--data', data, '--out', place(), ...args]);
    expect([bad.code, bad.stderr]).toEqual([1, expect.stringContaining('--train-new-rows-first')]);
    const opened = await openModel(out);
    const tokenizer = await tokenizerOf(opened.checkpoint);
    await opened.checkpoint.tensors.close();
    expect(Math.max(...tokenizer!.encode('나무꾼은'))).toBeGreaterThanOrEqual(FIRST);
  });
});
