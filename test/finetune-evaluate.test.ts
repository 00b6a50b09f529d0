import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { evaluatePath } from '../src/evaluate/evaluate-path.node.ts';
import { selectTasks } from '../src/evaluate/tasks/select.node.ts';
import type { TasksEvent } from '../src/training/runs/events.ts';
import { baseModel, chats, SMALL, smallFinetune } from './helpers/finetune-run.node.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-finetune-evaluate-'));
const model = join(folder, 'model');
const task = join(folder, 'letters.yaml');
const data = join(folder, 'letters.jsonl');

const TASK = `
task: letters
dataset_path: my/letters
output_type: multiple_choice
test_split: test
doc_to_text: "{{prompt}}"
doc_to_target: label
doc_to_choice: choices
metric_list: [{metric: acc}, {metric: acc_norm}]
`;

beforeAll(() => {
  baseModel(model);
  writeFileSync(`${model}.jsonl`, chats(80));
  writeFileSync(task, TASK);
  const rows = chats(12).trimEnd().split('\n');
  const choices = rows.map((row) => (JSON.parse(row) as { completion: string }).completion);
  const lines = rows.map((row, i) => {
    const { prompt } = JSON.parse(row) as { prompt: string };
    return JSON.stringify({ prompt, choices: [choices[i], choices[(i + 5) % 12]], label: 0 });
  });
  writeFileSync(data, `${lines.join('\n')}\n`);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const OPTIONS = { ...SMALL, evaluate: [task], evaluateData: [`my/letters=${data}`], evaluateLimit: 8 };

describe('fine-tuning with tasks', () => {
  it('evaluates them before, during and after, and says in report and card what changed', async () => {
    const out = join(folder, 'run');
    const events = await smallFinetune(model, { ...OPTIONS, out });
    const scored = events.filter((event): event is TasksEvent => event.type === 'tasks');
    const evaluated = events.flatMap((event) => (event.type === 'evaluation' ? [event.step] : []));
    expect(scored.map(({ step }) => step)).toEqual(evaluated);
    expect(scored[0]!.step).toBe(0);
    expect(scored[0]!.tasks.map(({ task: name, items }) => [name, items])).toEqual([
      ['letters', 8],
      ['forgetting_english', 6],
      ['forgetting_korean', 6],
    ]);
    const last = events.find((event) => event.type === 'finished')!;
    const after = scored.findLast(({ step }) => step === last.resultStep)!.tasks;
    // The result, opened anew, has the numbers that the run had in memory.
    const selected = await selectTasks([task, 'forgetting']);
    const { result } = await evaluatePath(out, selected, {
      ...{ limit: 8, data: new Map([['my/letters', data]]), bootstrap: 0, threads: 1 },
    });
    for (const [i, one] of result.tasks.entries()) {
      expect(after[i]!.metrics.map(({ value }) => value)).toEqual(
        one.metrics.map(({ value }) => expect.closeTo(value, 3)),
      );
    }
    const card = readFileSync(join(out, 'README.md'), 'utf8');
    expect(card).toContain('## Tasks');
    expect(card).toMatch(/\| letters \| acc ↑ \| 8 \|/);
    expect(card).toMatch(/\| forgetting_korean \| bits_per_byte ↓ \| 6 \|/);
    const report = readFileSync(join(out, 'report.html'), 'utf8');
    expect(report).toContain('Tasks before and after');
  });

  it('keeps the weights that are the best by a named metric', async () => {
    for (const [bestBy, sign] of [
      ['letters/acc', -1],
      ['forgetting_korean/bits_per_byte', 1],
    ] as const) {
      const out = join(folder, bestBy.replace('/', '-'));
      const options = { ...OPTIONS, steps: 8, evalEvery: 2, bestBy };
      const events = await smallFinetune(model, { ...options, out });
      const [task, metric] = bestBy.split('/');
      const scores = events.flatMap((event) => {
        if (event.type !== 'tasks') return [];
        const { metrics } = event.tasks.find((one) => one.task === task)!;
        return [{ step: event.step, score: sign * metrics.find((one) => one.metric === metric)!.value }];
      });
      expect(scores.map(({ step }) => step)).toEqual([0, 2, 4, 6, 8]);
      const trained = scores.slice(1);
      const best = trained.find(({ score }) => score === Math.min(...trained.map((one) => one.score)))!;
      expect(events.find((event) => event.type === 'finished')).toMatchObject({ resultStep: best.step });
      const evaluations = events.filter((event) => event.type === 'evaluation');
      expect(evaluations.map(({ score }) => score)).toEqual(scores.map(({ score }) => score));
      // Resumed, the finished run keeps its result.
      const again = await smallFinetune(model, { ...options, out, resume: 'must' });
      expect(again.find((event) => event.type === 'finished')).toMatchObject({ resultStep: best.step });
    }
  });

  it('refuses a metric that cannot decide before anything is trained', async () => {
    const out = join(folder, 'refused');
    const run = (options: object) => smallFinetune(model, { ...OPTIONS, ...options, out });
    await expect(run({ bestBy: 'letters/f1' })).rejects.toThrow(
      /bestBy: there is no metric "letters\/f1" among these tasks; name one of: letters\/acc; letters\/acc_norm; forgetting_english/,
    );
    await expect(run({ bestBy: 'letters/acc', validation: 0, evalEvery: undefined })).rejects.toThrow(
      /bestBy: .*validation is 0/,
    );
    await expect(run({ bestBy: 'letters/acc', evaluate: [], evaluateData: [] })).rejects.toThrow(
      /bestBy: there are no tasks to evaluate; name some with evaluate/,
    );
  });

  it('refuses tasks and data that cannot be evaluated before anything is trained', async () => {
    const out = join(folder, 'refused');
    const run = (options: object) => smallFinetune(model, { ...OPTIONS, ...options, out });
    await expect(run({ evaluate: ['nowhere.yaml'] })).rejects.toThrow(/"nowhere\.yaml": no such file/);
    await expect(run({ evaluateData: ['my/letters=/nowhere'] })).rejects.toThrow(/task "letters".*\/nowhere/);
    await expect(run({ evaluateData: ['nonsense'] })).rejects.toThrow(/evaluateData: give NAME=PATH/);
    await expect(run({ evaluate: [] })).rejects.toThrow(/evaluateData: there are no tasks/);
  });
});
