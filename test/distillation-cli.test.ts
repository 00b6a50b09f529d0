import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModel } from '../src/checkpoint/load.node.ts';
import { Random } from '../src/random.ts';
import { buildProgram, type Finished, ropewalk } from './helpers/cli.node.ts';
import { tinyTokenizer } from './helpers/tiny-tokenizer.ts';

/** `ropewalk teach` and `ropewalk distill`, as a user calls them. */

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-distil-'));
const at = (name: string) => join(folder, name);
const teacher = at('teacher');

beforeAll(async () => {
  await buildProgram('src/cli/main.ts');
  cpSync(fileURLToPath(new URL('./reference/gemma2', import.meta.url)), teacher, { recursive: true });
  const { tokenizer, config } = tinyTokenizer();
  writeFileSync(join(teacher, 'tokenizer.json'), JSON.stringify(tokenizer));
  writeFileSync(join(teacher, 'tokenizer_config.json'), JSON.stringify(config));
  const random = new Random(2);
  const word = () => ['the', 'hen', 'ran', 'on', 'and', 'sand', 'in', 'a'][random.nextInt(8)]!;
  writeFileSync(at('text.txt'), `${Array.from({ length: 900 }, word).join(' ')}.`);
  const chats = Array.from({ length: 40 }, () => ({ prompt: `${word()} ${word()}`, completion: word() }));
  writeFileSync(at('pairs.jsonl'), chats.map((chat) => JSON.stringify(chat)).join('\n'));
  writeFileSync(
    at('student.json'),
    JSON.stringify({
      ...{ model_type: 'llama', vocab_size: 7, hidden_size: 16, intermediate_size: 32 },
      ...{ num_hidden_layers: 1, num_attention_heads: 2, max_position_embeddings: 64 },
      ...{ rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: true },
    }),
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const line = ({ stdout, stderr, code }: Finished): Record<string, unknown> => {
  expect(stderr).not.toMatch(/^ropewalk:/m);
  expect(code).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
};
const refusal = ({ stderr, code }: Finished) => {
  expect(code).toBe(1);
  expect(stderr.trim().split('\n').at(-1)).toMatch(/^ropewalk: /);
  return stderr;
};
const small = ['--seq', '16', '--batch', '2', '--threads', '1', '--json'];
const rows = small.slice(2);
const steps = ['--steps', '4', '--eval-every', '2', '--save-every', '2'];

describe('ropewalk distill from a text', () => {
  it('trains a student from scratch on stored outputs of a teacher alone', async () => {
    const file = at('text.taught');
    const taught = line(
      await ropewalk(['teach', teacher, '--text', at('text.txt'), '--out', file, '--k', '8', ...small]),
    );
    expect(taught).toMatchObject({ type: 'finished', out: file });
    expect(existsSync(file)).toBe(true);
    const out = at('offline');
    const learn = ['distill', '--taught', file, '--teacher', teacher, '--student', at('student.json')];
    const done = line(await ropewalk([...learn, '--out', out, ...rows, ...steps]));
    expect(done).toMatchObject({ out, step: 4, interrupted: false });
    expect(done.validationLoss).toBeGreaterThan(0);
    const { family, config, checkpoint } = await openModel(out);
    expect(family.name).toBe('llama');
    // The teacher's, not the file's.
    expect(config.vocab_size).toBe(96);
    expect(await checkpoint.tokenizerFiles()).toBeDefined();
    await checkpoint.tensors.close();
    expect(refusal(await ropewalk([...learn, '--out', at('x'), '--text', at('text.txt')]))).toMatch(
      /--text: that was determined when the file of --taught was written; leave it out/,
    );
  });

  it("trains a student made of half of the teacher's layers, and continues with --resume", async () => {
    const out = at('online');
    const learn = [
      'distill',
      '--teacher',
      teacher,
      '--layers',
      '1,3',
      '--text',
      at('text.txt'),
      '--out',
      out,
    ];
    const rest = [...small, ...steps, '--ratio', '0.5', '--temperature', '2', '--optimizer', 'adafactor'];
    expect(line(await ropewalk([...learn, ...rest]))).toMatchObject({ step: 4 });
    expect(line(await ropewalk([...learn, ...rest, '--resume']))).toMatchObject({ step: 4 });
    expect(refusal(await ropewalk([...learn, ...rest]))).toMatch(/already holds a run/);
    const { config, checkpoint } = await openModel(out);
    expect(config).toMatchObject({ num_hidden_layers: 2 });
    await checkpoint.tensors.close();
  });
});

it('ropewalk distill trains only on answers of packed instructions', async () => {
  const file = at('pairs.taught');
  const data = ['--data', at('pairs.jsonl'), '--template', 'plain'];
  line(await ropewalk(['teach', teacher, ...data, '--out', file, '--k', '8', ...small, '--seq', '48']));
  const learn = ['distill', '--taught', file, '--teacher', teacher, '--layers', '1'];
  expect(line(await ropewalk([...learn, '--out', at('pairs'), ...rows, ...steps]))).toMatchObject({
    step: 4,
  });
  const texts = await ropewalk(['teach', teacher, '--text', at('text.txt'), '--no-pack', '--out', at('y')]);
  expect(refusal(texts)).toMatch(/--no-pack: it is for examples: plain text has no turns; leave it out/);
  const online = ['distill', '--teacher', teacher, '--layers', '1', ...data];
  expect(
    line(await ropewalk([...online, '--out', at('pairs2'), ...small, '--seq', '48', ...steps])),
  ).toMatchObject({ step: 4 });
  const { checkpoint } = await openModel(at('pairs2'));
  expect((await checkpoint.tokenizerFiles())!.config.chat_template).toContain("'Assistant'");
  await checkpoint.tensors.close();
});

describe('ropewalk distill with wrong options', () => {
  it.each([
    [['--student', 'llama/tiny'], /choose a teacher with --teacher/],
    [['--teacher', teacher], /choose a student with --student/],
    [['--teacher', teacher, '--student', 'llama/tiny'], /use either --text or --data/],
    [['--teacher', teacher, '--layers', '9', '--text', at('text.txt')], /9 layers cannot be taken/],
    [['--teacher', teacher, '--layers', '4,', '--text', at('text.txt')], /there is no layer 4/],
    [['--taught', at('nothing'), '--student', 'llama/tiny'], /no such file/],
    [['--teacher', teacher, '--student', 'llama/tiny', '--ratio', '0'], /--ratio/],
  ])('names them: %j', async (options, message) => {
    const result = await ropewalk(['distill', '--out', at('refused'), ...options]);
    expect(refusal(result)).toMatch(message);
    expect(existsSync(at('refused'))).toBe(false);
  });
});
