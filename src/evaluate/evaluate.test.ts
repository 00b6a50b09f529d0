import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChatTemplate } from '../chat/template.ts';
import { openModel, tokenizerOf } from '../checkpoint/load.node.ts';
import { createDecoder } from '../generation/decoder.node.ts';
import { type EvaluateOptions, type Evaluation, evaluateModel } from './evaluate.ts';
import { AnsweringModel } from './model/answering-model.ts';
import { readSplit } from './tasks/data-files.node.ts';
import { selectTasks } from './tasks/select.node.ts';

const reference = fileURLToPath(new URL('../../test/reference/evaluate/', import.meta.url));
const MODEL = fileURLToPath(new URL('../../test/fixtures/stories260K', import.meta.url));
const places = new Map([['local/stories', join(reference, 'data')]]);

/** What test/reference/make_evaluate.py writes, run by run. */
interface ExpectedRun {
  readonly results: Readonly<Record<string, Readonly<Record<string, number | string>>>>;
  readonly samples: Readonly<Record<string, readonly ExpectedSample[]>>;
}
interface ExpectedSample {
  readonly item: number;
  readonly filter: string;
  readonly arguments: readonly (readonly string[])[];
  readonly answers: readonly (string | number | readonly [number, boolean])[];
  readonly filtered: readonly unknown[];
  readonly scores: Readonly<Record<string, number | readonly [number, unknown]>>;
}
const expected = JSON.parse(readFileSync(join(reference, 'expected.json'), 'utf8')) as Record<
  string,
  ExpectedRun
>;

const RUNS: Readonly<Record<string, EvaluateOptions>> = {
  plain: {},
  shots: { limit: 4, shots: 2 },
  chat: { limit: 5, shots: 2, chat: true },
  'chat-single': { limit: 3, shots: 2, chat: true, singleTurn: true, system: 'Be kind.' },
};

let model: AnsweringModel;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ropewalk-evaluate-'));
  const opened = await openModel(MODEL);
  const tokenizer = (await tokenizerOf(opened.checkpoint))!;
  const decoder = await createDecoder(opened);
  await opened.checkpoint.tensors.close();
  const template = new ChatTemplate(readFileSync(join(reference, 'chat_template.jinja'), 'utf8'));
  model = new AnsweringModel({ decoder, tokenizer, stopTokens: opened.stopTokens, sampling: {}, template });
});

afterAll(async () => {
  await model.parts.decoder.release();
  await rm(folder, { recursive: true, force: true });
});

async function evaluate(names: readonly string[], options: EvaluateOptions): Promise<Evaluation> {
  const selected = await selectTasks(names, join(reference, 'tasks'));
  const read = (config: (typeof selected.tasks)[number]) => (split: string) =>
    readSplit(config, split, places);
  return evaluateModel('stories260K', model, selected, read, { bootstrap: 1000, ...options });
}

describe.each(Object.entries(expected))(
  'the run "%s" of lm-evaluation-harness',
  (run, { results, samples }) => {
    let evaluation: Evaluation;
    beforeAll(async () => {
      evaluation = await evaluate(
        Object.keys(results).filter((name) => !/^grouped|::/.test(name)),
        RUNS[run]!,
      );
    });

    it('has the same prompts and answers, item by item', () => {
      for (const [task, own] of Object.entries(samples)) {
        const { items } = evaluation.tasks.find(({ result }) => result.task === task)!;
        for (const sample of own) {
          const item = items[sample.item]!;
          const where = `${task}, item ${sample.item}`;
          const asked = item.requests.map((request) => {
            const { context, continuation, text } = request as Record<string, string>;
            return [context ?? text, ...(continuation === undefined ? [] : [continuation])];
          });
          expect(asked, where).toEqual(sample.arguments);
          sample.answers.forEach((answer, i) => {
            const ours = item.answers[i] as string | { loglikelihood: number; greedy: boolean };
            if (typeof answer === 'string') expect(ours, where).toBe(answer);
            else {
              const { loglikelihood, greedy } = ours as { loglikelihood: number; greedy: boolean };
              const [value, isGreedy] = typeof answer === 'number' ? [answer, greedy] : answer;
              expect(Math.abs(loglikelihood - value), `${where}: ${loglikelihood} for ${value}`).toBeLessThan(
                1e-3,
              );
              expect(greedy, where).toBe(isGreedy);
            }
          });
          if (item.filtered) expect([item.filtered[sample.filter]], where).toEqual(sample.filtered);
          for (const [metric, value] of Object.entries(sample.scores)) {
            const score = item.scores[`${metric},${sample.filter}`];
            if (typeof value === 'number' && metric !== 'perplexity')
              expect(score, `${where}: ${metric}`).toBe(value);
          }
        }
      }
    });

    it('has the same metrics and standard errors', () => {
      const ours = new Map<string, { value: number; standardError: number | null }>();
      const { tasks, groups } = evaluation.result;
      const all = [
        ...tasks.map(({ task, metrics }) => [task, metrics] as const),
        ...groups.map(({ group, metrics }) => [group, metrics] as const),
      ];
      for (const [name, metrics] of all) {
        for (const one of metrics) ours.set(`${name} ${one.metric},${one.filter}`, one);
      }
      for (const [name, values] of Object.entries(results)) {
        for (const [key, value] of Object.entries(values)) {
          const [metric, filter] = key.split(',') as [string, string?];
          if (filter === undefined) continue;
          const isError = metric.endsWith('_stderr');
          const found = ours.get(`${name} ${metric.replace(/_stderr$/, '')},${filter}`);
          const where = `${name}: ${key}`;
          expect(found, where).toBeDefined();
          const own = isError ? found!.standardError : found!.value;
          if (value === 'N/A') expect(own, where).toBeNull();
          else
            expect(
              Math.abs(own! - (value as number)) / Math.max(1, Math.abs(value as number)),
              where,
            ).toBeLessThan(1e-4);
        }
      }
    });
  },
);
