import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../src/random.ts';
import { buildProgram, ropewalk, startSignalled } from './helpers/cli.node.ts';
import { baseModel, chats } from './helpers/finetune-run.node.ts';

/** What ends a run before its end: Ctrl-C while it reads, numbers that are not finite. */

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-interrupted-'));
const at = (name: string) => join(folder, name);
let count = 0;
beforeAll(() => {
  baseModel(at('model'));
  writeFileSync(at('chats.jsonl'), chats(60));
  writeFileSync(at('small.txt'), 'the hen ran on the sand. '.repeat(90));
  const random = new Random(3);
  const word = () => Array.from({ length: 8 }, () => String.fromCharCode(97 + random.nextInt(26))).join('');
  writeFileSync(at('words.txt'), Array.from({ length: 150_000 }, word).join(' '));
  const row = (i: number) => JSON.stringify({ prompt: `question ${i}`, completion: 'word '.repeat(20) });
  writeFileSync(at('many.jsonl'), Array.from({ length: 60_000 }, (_, i) => row(i)).join('\n'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('Ctrl-C ends a command as interrupted, with nothing left behind:', () => {
  const train = ['train', '--family', 'llama', '--text', at('words.txt')];
  const distill = ['distill', '--teacher', at('model'), '--student', 'llama/tiny', '--seq', '24'];
  const teach = ['teach', at('model'), '--seq', '24'];
  it.each<[string, RegExp, string[]]>([
    ['train, while its tokenizer is trained', /tokenizer \d+%/, [...train, '--vocab-size', '30000']],
    ['train, while texts are encoded', /encoding \d+%/, [...train, '--tokenizer', at('model')]],
    ['distill, while texts are encoded', /encoding \d+%/, [...distill, '--text', at('words.txt')]],
    ['distill, while data are read', /reading \d+%/, [...distill, '--data', at('many.jsonl')]],
    ['teach, while texts are encoded', /encoding \d+%/, [...teach, '--text', at('words.txt')]],
    ['teach, while data are read', /reading \d+%/, [...teach, '--data', at('many.jsonl')]],
  ])('%s', async (_, seen, args) => {
    const place = at(`interrupted${count++}`);
    const temporary = join(place, 'tmp');
    mkdirSync(temporary, { recursive: true });
    const program = await buildProgram('bin/ropewalk.js');
    const options = { env: { TMPDIR: temporary } };
    const running = startSignalled(program, [...args, '--out', join(place, 'out')], seen, options);
    const { code, stderr } = await running.finished;
    expect(code, stderr).toBe(130);
    expect(stderr).toMatch(/interrupted\n$/);
    expect(stderr).not.toContain('AbortError');
    expect(readdirSync(place)).toEqual(['tmp']);
    expect(readdirSync(temporary)).toEqual([]);
  });
});

describe('a run whose numbers become non-finite leaves no model and keeps good checkpoints:', () => {
  const wild = [
    '--lr',
    '1e20',
    '--clip',
    '0',
    '--warmup',
    '0',
    '--batch',
    '2',
    '--seq',
    '16',
    '--threads',
    '1',
  ];
  const runs: [string, string[]][] = [
    ['train', ['train', '--family', 'llama', '--text', at('small.txt'), '--tokenizer', at('model')]],
    [
      'distill from scratch',
      ['distill', '--teacher', at('model'), '--student', 'llama/tiny', '--text', at('small.txt')],
    ],
    [
      'distill from layers',
      ['distill', '--teacher', at('model'), '--layers', '1', '--text', at('small.txt')],
    ],
  ];

  it.each(runs)('%s', async (_, args) => {
    const out = at(`wild${count++}`);
    const command = [
      ...args,
      ...wild,
      '--steps',
      '8',
      '--save-every',
      '1',
      '--eval-every',
      '0',
      '--out',
      out,
    ];
    const { code, stderr } = await ropewalk(command);
    expect(code, stderr).toBe(1);
    const said =
      /training stopped at step \d+: .* (?:the checkpoint of step (\d+) is untouched|no checkpoint was saved before)/.exec(
        stderr,
      );
    expect(said, stderr).not.toBeNull();
    expect(existsSync(join(out, 'model.safetensors'))).toBe(false);
    const kept = readdirSync(join(out, 'checkpoints')).sort().slice(-1);
    expect(kept.map((name) => Number(name.slice(5)))).toEqual(
      said![1] === undefined ? [] : [Number(said![1])],
    );
    if (said![1] === undefined) return;
    const again = await ropewalk([...command, '--resume']);
    expect(again.code, again.stderr).toBe(1);
    expect(again.stderr).toContain(`resumed at step ${said![1]}`);
    expect(again.stderr).toContain(said![0]);
  });

  it.each(runs)('%s, also when only the evaluation is non-finite', async (_, args) => {
    const out = at(`wild${count++}`);
    const once = ['--steps', '1', '--save-every', '0', '--eval-every', '1', '--out', out];
    const { code, stderr } = await ropewalk([...args, ...wild, '--lr', '1e10', ...once]);
    expect(code, stderr).toBe(1);
    expect(stderr).toMatch(/training stopped at step 1: /);
    expect(stderr).not.toContain('lowest');
    const metrics = join(out, 'metrics.jsonl');
    if (existsSync(metrics)) expect(readFileSync(metrics, 'utf8')).not.toContain('"loss":null');
    expect(existsSync(join(out, 'model.safetensors'))).toBe(false);
  });

  it('distill warns when the student is worse than before', async () => {
    const settings = [
      '--lr',
      '50',
      '--steps',
      '3',
      '--eval-every',
      '1',
      ...wild.slice(2),
      '--out',
      at('worse'),
    ];
    const { code, stderr } = await ropewalk([...runs[2]![1], ...settings]);
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/the result is worse than the model before training: held-out loss/);
  });
});
