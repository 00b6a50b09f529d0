import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RopewalkError } from '../src/errors.ts';
import type { FinetuneOptions } from '../src/finetune/finetune.node.ts';
import { lockRun } from '../src/training/runs/run-lock.node.ts';
import { buildProgram, ropewalk, startSignalled } from './helpers/cli.node.ts';
import { baseModel, chats, SMALL, smallFinetune } from './helpers/finetune-run.node.ts';
import { tinyTokenizer } from './helpers/tiny-tokenizer.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-runs-test-'));
const model = join(folder, 'base');
let count = 0;
const place = () => join(folder, `run${count++}`);
beforeAll(() => {
  baseModel(model);
  writeFileSync(`${model}.jsonl`, chats(60));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const refusal = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RopewalkError);
  return (error as Error).message;
};
const wild: Partial<FinetuneOptions> = {
  warmup: 0,
  clip: 0,
  guard: 0,
  samplePrompt: [],
  addToken: [],
  freeze: [],
  states: 'float32',
};

describe('a run with non-finite numbers', () => {
  it('never takes them for the lowest loss or the best model', async () => {
    const out = place();
    const options = { ...wild, out, lr: 1e10, steps: 1, evalEvery: 1 };
    expect(await refusal(smallFinetune(model, options))).toMatch(
      /^training stopped at step 1: .*the held-out loss is (NaN|Infinity).*no checkpoint was saved before/,
    );
    expect(existsSync(join(out, 'best'))).toBe(false);
    expect(readFileSync(join(out, 'metrics.jsonl'), 'utf8')).not.toContain('"loss":null');
  });

  it.each([1e10, 1e20])('leaves no model at a rate of %d without held-out data', async (lr) => {
    const out = place();
    const options = { ...wild, out, lr, steps: 3, validation: 0, evalEvery: 0, saveEvery: 0 };
    expect(await refusal(smallFinetune(model, options))).toMatch(/^training stopped at step \d: /);
    expect(existsSync(join(out, 'model.safetensors'))).toBe(false);
    expect(readdirSync(join(out, 'checkpoints'))).toEqual([]);
  });

  it('keeps its good checkpoints, and resumes from the last of these', async () => {
    const out = place();
    const options = { ...wild, out, lr: 1e20, steps: 12, saveEvery: 1, evalEvery: 0, validation: 0 };
    const text = await refusal(smallFinetune(model, options));
    const kept = readdirSync(join(out, 'checkpoints')).sort();
    const said = /the checkpoint of step (\d+) is untouched/.exec(text)?.[1];
    expect(said === undefined ? [] : [Number(said)]).toEqual(
      kept.slice(-1).map((name) => Number(name.slice(5))),
    );
    expect(await refusal(smallFinetune(model, { ...options, resume: 'must' }))).toBe(text);
  });

  it('says when the result is worse than the model before', async () => {
    const out = place();
    const events = await smallFinetune(model, { ...wild, out, lr: 50, steps: 4, evalEvery: 2 });
    const evaluations = events.filter((event) => event.type === 'evaluation');
    const base = evaluations[0]!.loss;
    const finished = events.find((event) => event.type === 'finished')!;
    expect(Math.min(...evaluations.slice(1).map(({ loss }) => loss))).toBeGreaterThan(base);
    expect(evaluations.map(({ best }) => best)).toEqual([false, false, false]);
    expect(evaluations.some(({ bestTrained }) => bestTrained)).toBe(true);
    expect(finished.base).toBe(base);
    expect(finished.loss).toBeGreaterThan(base);
    expect(readFileSync(join(out, 'README.md'), 'utf8')).toContain('worse than before fine-tuning');
    expect(readFileSync(join(out, 'report.html'), 'utf8')).toContain('worse than the model before training');
  });
});

describe('the lock of a run', () => {
  it('refuses a second process while the first is working, which it leaves alone', async () => {
    const out = place();
    const options = { ...SMALL, out, evalEvery: 0, saveEvery: 1 };
    let second: Promise<string> | undefined;
    await smallFinetune(model, options, (step) => {
      if (step === 5) second = refusal(smallFinetune(model, { ...options, resume: 'must' }));
    });
    expect(await second!).toMatch(new RegExp(`process ${process.pid} on .* is using it`));
    const steps = readFileSync(join(out, 'metrics.jsonl'), 'utf8').match(/"type":"step"/g);
    expect(steps).toHaveLength(SMALL.steps);
    expect(existsSync(join(out, 'run.lock'))).toBe(false);
  });

  const owned = (owner: object, age = 0) => {
    const out = place();
    mkdirSync(out);
    const path = join(out, 'run.lock');
    writeFileSync(path, JSON.stringify(owner));
    const time = new Date(Date.now() - age);
    utimesSync(path, time, time);
    return out;
  };
  const here = async () => {
    const out = place();
    const lock = await lockRun(out);
    const owner = JSON.parse(readFileSync(join(out, 'run.lock'), 'utf8')) as { host: string; began?: string };
    await lock.release();
    expect(existsSync(out)).toBe(false); // it was made for the lock alone
    return owner;
  };

  it('is taken over from a dead process, also when its id belongs to another process by now', async () => {
    const { host, began } = await here();
    expect(host).toContain(hostname());
    await (await lockRun(owned({ host, pid: 2 ** 30 }))).release();
    if (began) await (await lockRun(owned({ host, pid: process.pid, began: '1' }))).release();
    await (await lockRun(owned({ host: 'elsewhere', pid: 1 }, 11 * 60_000))).release();
  });

  it('is not taken over from a live process, nor when it is a fresh one of another machine', async () => {
    const { host, began } = await here();
    expect(await refusal(lockRun(owned({ host, pid: process.pid, began })))).toContain('is using it');
    const other = owned({ host: 'elsewhere', pid: 7 });
    expect(await refusal(lockRun(other))).toMatch(/process 7 on elsewhere .* remove .*run\.lock/);
    rmSync(join(other, 'run.lock'));
    await (await lockRun(other)).release();
    expect(existsSync(other)).toBe(true);
  });
});

it('Ctrl-C while data are read ends a run as interrupted, with nothing left behind', async () => {
  const data = join(folder, 'many.jsonl');
  const row = (i: number) => JSON.stringify({ prompt: `question ${i}`, completion: 'word '.repeat(20) });
  writeFileSync(data, Array.from({ length: 60_000 }, (_, i) => row(i)).join('\n'));
  const out = join(folder, 'new', 'interrupted');
  const args = ['finetune', model, '--data', data, '--seq', '24', '--out', out];
  const running = startSignalled(await buildProgram('bin/ropewalk.js'), args, /reading \d+%/);
  const { code, stderr } = await running.finished;
  expect(code, stderr).toBe(130);
  expect(stderr).toMatch(/interrupted\n$/);
  expect(stderr).not.toContain('AbortError');
  expect(existsSync(join(folder, 'new'))).toBe(false);
});

it('distill gives its model the end-of-turn token as a stop token, from scratch and from layers', async () => {
  const teacher = baseModel(join(folder, 'teacher'));
  const { tokenizer, config } = tinyTokenizer();
  const added = tokenizer.added_tokens as { id: number; content: string; special: boolean }[];
  const end = added.at(-1)!;
  const template = `{% for m in messages %}{{ m.role + ': ' + m.content + '${end.content}' }}{% endfor %}`;
  writeFileSync(join(teacher, 'tokenizer_config.json'), JSON.stringify(config));
  writeFileSync(join(teacher, 'chat_template.jinja'), template);
  const generation = JSON.parse(readFileSync(join(teacher, 'generation_config.json'), 'utf8')) as {
    eos_token_id: number | number[];
  };
  for (const student of [
    ['--student', 'llama/tiny'],
    ['--layers', '1'],
  ]) {
    const out = place();
    const steps = ['--steps', '1', '--batch', '2', '--seq', '24', '--threads', '1'];
    const args = [
      'distill',
      '--teacher',
      teacher,
      ...student,
      '--data',
      `${model}.jsonl`,
      ...steps,
      '--out',
      out,
    ];
    const { code, stderr } = await ropewalk(args);
    expect(code, stderr).toBe(0);
    const { eos_token_id: eos } = JSON.parse(readFileSync(join(out, 'generation_config.json'), 'utf8'));
    expect([eos].flat()).toEqual(expect.arrayContaining([...[generation.eos_token_id].flat(), end.id]));
    const saved = JSON.parse(readFileSync(join(out, 'tokenizer_config.json'), 'utf8'));
    expect(saved.chat_template).toBe(template);
  }
});

it('train --tokenizer copies chat_template.jinja, which takes precedence over tokenizer_config.json', async () => {
  const from = join(folder, 'tokenizer');
  mkdirSync(from);
  const { tokenizer, config } = tinyTokenizer();
  writeFileSync(join(from, 'tokenizer.json'), JSON.stringify(tokenizer));
  writeFileSync(join(from, 'tokenizer_config.json'), JSON.stringify({ ...config, chat_template: 'OLD' }));
  writeFileSync(join(from, 'chat_template.jinja'), '{{ messages[0].content }}');
  writeFileSync(join(folder, 't.txt'), 'the hen ran on the sand. '.repeat(90));
  const out = place();
  const small = ['--steps', '1', '--batch', '2', '--seq', '16', '--threads', '1', '--out', out];
  const { code, stderr } = await ropewalk([
    'train',
    '--family',
    'llama',
    '--text',
    join(folder, '*.txt'),
    '--tokenizer',
    from,
    ...small,
  ]);
  expect(code, stderr).toBe(0);
  const saved = JSON.parse(readFileSync(join(out, 'tokenizer_config.json'), 'utf8'));
  expect(saved.chat_template).toBe('{{ messages[0].content }}');
});
