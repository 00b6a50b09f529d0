import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { scoreTask } from './score-task.ts';
import { readTaskData } from './tasks/data.ts';
import { readSplit } from './tasks/data-files.node.ts';
import { prepareTask } from './tasks/items.ts';
import { selectTasks } from './tasks/select.node.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-bad-tasks-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ROW = { q: 'One?', choices: ['a', 'b'], label: 1, answer: 'b' };
const CHOICE = {
  ...{ task: 'bad', dataset_path: 'x/y', test_split: 'test', output_type: 'multiple_choice' },
  ...{ doc_to_text: 'q', doc_to_target: 'label', doc_to_choice: 'choices' },
};
const GENERATE = { ...CHOICE, output_type: 'generate_until', doc_to_target: 'answer', doc_to_choice: null };

let count = 0;

/** What becomes of a task with changed fields and rows, with answers that a model could have given. */
async function evaluate(fields: object, rows: readonly object[] = [ROW], answer: unknown = undefined) {
  const own = join(folder, String(count++));
  mkdirSync(own);
  const file = join(own, 'bad.yaml');
  // JSON is YAML, but for tags.
  const text = JSON.stringify({ ...CHOICE, ...fields }).replace(/"(!function [^"]*)"/g, '$1');
  writeFileSync(file, text);
  writeFileSync(join(own, 'test.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const { tasks } = await selectTasks([file]);
  const config = tasks[0]!;
  const read = (split: string) => readSplit(config, split, new Map([['x/y', own]]));
  const task = prepareTask(config, await readTaskData(config, read, true), {});
  const usual = { loglikelihood: -1, greedy: false };
  return scoreTask(
    task,
    task.items.map(({ requests }) => requests.map(() => (answer ?? usual) as typeof usual)),
  );
}

describe('a task that cannot be evaluated', () => {
  it.each([
    ['no name', { task: null }, /field "task" is missing/],
    ['no question', { doc_to_text: null }, /task "bad".*"doc_to_text" is missing/],
    ['no answer', { doc_to_target: null }, /task "bad".*"doc_to_target" is missing/],
    ['no choices', { doc_to_choice: null }, /task "bad".*"doc_to_choice" is missing/],
    ['no split', { test_split: null }, /task "bad".*"test_split".*"validation_split"/],
    ['an unknown field', { doc_to_txt: 'x' }, /task "bad".*"doc_to_txt" is unknown/],
    ['an unknown type', { output_type: 'guess' }, /task "bad".*"output_type" must be loglikelihood/],
    ['a Python function', { doc_to_text: '!function utils.text' }, /task "bad".*"doc_to_text".*utils\.text/],
    ['rows made by Python', { process_docs: '!function utils.p' }, /task "bad".*"process_docs".*utils\.p/],
    ['scores by Python', { process_results: '!function u.s' }, /task "bad".*"process_results".*u\.s/],
    ['a metric by Python', { metric_list: [{ metric: '!function u.m' }] }, /task "bad".*"metric_list".*u\.m/],
    ['an unknown metric', { metric_list: [{ metric: 'rouge' }] }, /task "bad".*no metric rouge/],
    ['a metric of another type', { metric_list: [{ metric: 'perplexity' }] }, /perplexity is not for tasks/],
    [
      'an unknown filter',
      { ...GENERATE, filter_list: [{ name: 'f', filter: [{ function: 'x' }] }] },
      /no filter x/,
    ],
    [
      'a filter with an unknown setting',
      { ...GENERATE, filter_list: [{ name: 'f', filter: [{ function: 'take_first', n: 1 }] }] },
      /function 1: the field "n" is unknown/,
    ],
    [
      'a pattern that is none',
      { ...GENERATE, filter_list: [{ name: 'f', filter: [{ function: 'regex', regex_pattern: '(' }] }] },
      /"regex_pattern".*missing \)/,
    ],
    [
      'beams',
      { ...GENERATE, generation_kwargs: { num_beams: 4 } },
      /"num_beams".*beam search is not supported/,
    ],
    [
      'an unknown setting',
      { ...GENERATE, generation_kwargs: { min_p: 0.1 } },
      /generation_kwargs.*"min_p" is unknown/,
    ],
    ['images', { doc_to_image: 'image' }, /"doc_to_image".*images/],
    ['an unknown sampler', { fewshot_config: { sampler: 'mine' } }, /"sampler" must be default, first_n/],
    ['a template that is none', { doc_to_text: '{{ q' }, /task "bad", field "doc_to_text".*not valid/],
    [
      'a column that is not there',
      { doc_to_text: '{{ nope }}' },
      /task "bad", field "doc_to_text", item 0.*nope/,
    ],
    [
      'a template that loops',
      { doc_to_text: '{% for a in range(99999) %}{% for b in range(99999) %}.{% endfor %}{% endfor %}' },
      /task "bad", field "doc_to_text", item 0: the template .* was stopped/,
    ],
    [
      'an expression in a template that explodes',
      { doc_to_text: `{{ ('a' * 50 + '!') | regex_replace('(a+)+$', '') }}` },
      /task "bad", field "doc_to_text", item 0.*steps/,
    ],
    ['choices that are no list', { doc_to_choice: '{{ q }}' }, /"doc_to_choice", item 0.*Python list/],
    [
      'a question that is no text',
      { doc_to_text: 'choices' },
      /"doc_to_text", item 0: the question must be a text/,
    ],
    ['too many shots', { num_fewshot: 3 }, /task "bad": 3 examples.*1 rows/],
  ])('says what is wrong with %s', async (_, fields, message) => {
    await expect(evaluate(fields)).rejects.toThrow(message);
  });

  it.each([
    ['a label out of range', { label: 2 }],
    ['a negative label', { label: -1 }],
    ['a label that is no choice', { label: 'c' }],
    ['no label', { label: null }],
  ])('names task, field and item for %s', async (_, row) => {
    await expect(evaluate({}, [ROW, { ...ROW, ...row }])).rejects.toThrow(
      /^task "bad", field "doc_to_target", item 1: .*not one of the 2 choices/,
    );
  });

  it('stops a filter whose expression explodes on what a model wrote, naming the item', async () => {
    const filter_list = [
      { name: 'f', filter: [{ function: 'regex', regex_pattern: '(a+)+$' }, { function: 'take_first' }] },
    ];
    await expect(evaluate({ ...GENERATE, filter_list }, [ROW], `${'a'.repeat(60)}!`)).rejects.toThrow(
      /^task "bad", after the filters "f", item 0: a regular expression explodes/,
    );
  });

  it('says that a split is empty, or not there, with its name', async () => {
    await expect(evaluate({}, [])).rejects.toThrow(/task "bad": the split "test" of its dataset has no rows/);
    await expect(evaluate({ test_split: 'held-out' })).rejects.toThrow(
      /task "bad": .* has no file for the split "held-out".*test\.jsonl/,
    );
  });

  it('says which line of its rows is damaged', async () => {
    const own = join(folder, 'damaged');
    mkdirSync(own);
    writeFileSync(join(own, 'bad.yaml'), JSON.stringify(CHOICE));
    writeFileSync(join(own, 'test.jsonl'), `${JSON.stringify(ROW)}\n{"q":\n`);
    const config = (await selectTasks([join(own, 'bad.yaml')])).tasks[0]!;
    await expect(readSplit(config, 'test', new Map([['x/y', own]]))).rejects.toThrow(
      /task "bad", split "test": .*test\.jsonl:2: not valid JSON/,
    );
  });

  it('refuses a file that includes itself, a group that contains itself, and YAML that is none', async () => {
    const file = (name: string, text: string) => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    await expect(selectTasks([file('circle.yaml', 'include: circle.yaml\ntask: x')])).rejects.toThrow(
      /includes itself/,
    );
    await expect(selectTasks([file('group.yaml', 'group: g\ntask: [g]')])).rejects.toThrow(/contains itself/);
    await expect(selectTasks([file('list.yaml', '- a')])).rejects.toThrow(/list\.yaml: not a task file/);
    await expect(selectTasks([file('broken.yaml', 'a: [')])).rejects.toThrow(/broken\.yaml: not a task file/);
    await expect(selectTasks(['nowhere.yaml'])).rejects.toThrow(/"nowhere\.yaml": no such file/);
  });

  it('is not disturbed by fields that change nothing', async () => {
    const { result } = await evaluate({ tag: 'x', metadata: { version: 1 }, should_decontaminate: true });
    expect(result.metrics.map(({ metric }) => metric)).toEqual(['acc', 'acc_norm']);
  });
});
