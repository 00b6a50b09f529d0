import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSafetensors } from '../src/checkpoint/safetensors/safetensors-file.ts';
import { FileSource } from '../src/files/file.node.ts';
import { loadTokenizer } from '../src/tokenizer/tokenizer.node.ts';
import { buildProgram, type Finished, ROOT, ropewalk, start, startSignalled } from './helpers/cli.node.ts';
import { FAMILIES } from './helpers/families.ts';
import { parseNpy } from './helpers/npy.ts';
import { norm, relativeError } from './helpers/numbers.ts';

/** The command line as a user runs it: a process of its own, with stdout, stderr and an exit code. */

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-cli-'));
const file = (name: string) => join(folder, name);
const reference = (name: string) => join(ROOT, 'test/reference', name);
const LLAMA = reference('llama');

const text = file('text.txt');
writeFileSync(text, 'The rope goes round the walk, and the walk goes round the rope. '.repeat(60));

/** What may move a terminal's cursor or rename its window; line breaks and tabs may pass. */
const CONTROL = /(?![\n\t])\p{Cc}/u;

/** A model with a tokenizer, trained by the command itself: six steps are enough to be a model. */
const model = file('model');
const TRAIN = ['train', '--family', 'llama', '--text', text, '--steps', '6', '--batch', '2', '--seq', '16'];
let trained: Finished;

beforeAll(async () => {
  trained = await ropewalk([...TRAIN, '--vocab-size', '300', '--out', model, '--json']);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** JSON alone, with nothing around it. */
function json<T>({ stdout, code, stderr }: Finished): T {
  expect(code, stderr).toBe(0);
  expect(stdout.trimEnd()).not.toContain('\n');
  return JSON.parse(stdout) as T;
}

/** One readable line on stderr, nothing on stdout, and a failure. Returns the line. */
function refusal({ stdout, stderr, code }: Finished): string {
  expect(stdout).toBe('');
  expect(code).toBe(1);
  expect(stderr).toMatch(/^ropewalk: [^\n]+\n$/);
  return stderr;
}

describe('the help of the command line', () => {
  /** The commands that a help text lists. */
  const commandsIn = (help: string) =>
    [...help.slice(help.indexOf('\nCommands:\n')).matchAll(/^ {2}([a-z]\w*)/gm)].flatMap(([, name]) =>
      name === 'help' || name === 'ropewalk' ? [] : [name!],
    );

  it('shows usage, options and examples for every command', async () => {
    const found: string[][] = [];
    const check = async (command: string[]): Promise<void> => {
      const { code, stdout, stderr } = await ropewalk([...command, '--help']);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain(`Usage: ${['ropewalk', ...command].join(' ')}`);
      expect(stdout).toContain('--help');
      expect(stdout, command.join(' ')).toMatch(/Examples?:\n {2}ropewalk/);
      found.push(command);
      if (stdout.includes('\nCommands:\n')) {
        await Promise.all(commandsIn(stdout).map((name) => check([...command, name])));
      }
    };
    await check([]);
    const names = found.map((command) => command.join(' '));
    for (const name of ['train', 'generate', 'score', 'tokenizer train', 'compare', 'inspect', 'start']) {
      expect(names).toContain(name);
    }
  });

  it('comes with --version, which prints the version of the package', async () => {
    const { stdout } = await ropewalk(['--version']);
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(stdout).toBe(`${version}\n`);
  });
});

describe.concurrent('the command line', () => {
  it.each([
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['trian'], /unknown command 'trian'.*Did you mean train\?/],
    [['generate', LLAMA, '--max-tokens', '3', '--ids', '1', '--bogus'], /unknown option '--bogus'/],
    [['generate', LLAMA, '--max-tokens', '3', '--ids', '1', 'more'], /too many arguments/],
    [['generate', LLAMA, '--ids', '1', '--temperature', '-1'], /'--temperature <t>' argument '-1'/],
    [
      ['generate', LLAMA, '--ids', '1', '--max-tokens', 'few'],
      /'--max-tokens <n>' argument 'few' is invalid/,
    ],
    [['generate', LLAMA, '--ids', '1,x', '--max-tokens', '3'], /'--ids <list>' argument '1,x' is invalid/],
    [['score', LLAMA, '--ids', '1,2', '--chunk', '0'], /'--chunk <n>' argument '0' .* at least 1/],
    [
      ['train', '--family', 'bert', '--text', text, '--out', 'x'],
      /no family "bert"; the families are gpt, gpt2/,
    ],
    [
      ['train', '--family', 'llama', '--preset', 'huge', '--text', text, '--out', 'x'],
      /llama has no preset "huge"; there are .*tiny/,
    ],
    [
      ['train', '--family', 'llama', '--preset', 'toString', '--text', text, '--out', 'x'],
      /no preset "toString"/,
    ],
    [
      ['train', '--family', 'llama', '--text', text, '--out', 'x', '--lr', '-1'],
      /'--lr <rate>' argument '-1'/,
    ],
    [['train', '--family', 'llama', '--text', text, '--out', 'x', '--schedule', 'up'], /choices are cosine/],
  ])('refuses wrong commands and options: %j', async (args, message) => {
    expect(refusal(await ropewalk(args))).toMatch(message);
  });

  it.each([
    [['generate', LLAMA, '--ids', '1', '--batch', '2'], /--batch needs --prompts FILE/],
    [['generate', LLAMA, '--ids', '1', '--out', 'x'], /--out needs --prompts FILE/],
    [['generate', LLAMA, '--max-tokens', '3'], /one of --prompt TEXT, --prompt-file FILE, --ids/],
    [
      ['generate', LLAMA, '--max-tokens', '3', '--prompt', 'a', '--ids', '1'],
      /one of --prompt TEXT, --prompt-file FILE, --ids/,
    ],
    [
      ['generate', LLAMA, '--max-tokens', '3', '--ids', '1', '--greedy', '--temperature', '2'],
      /--greedy .* cannot be combined/,
    ],
    [
      ['generate', LLAMA, '--max-tokens', '3', '--ids', '1', '--stop-ids', '2', '--ignore-eos'],
      /--stop-ids .* cannot be combined with --ignore-eos/,
    ],
    [
      ['generate', LLAMA, '--max-tokens', '3', '--ids', '1', '--stop', 'x'],
      /--stop needs text, but .* no tokenizer/,
    ],
    [['generate', LLAMA, '--max-tokens', '3', '--ids', '1', '--stop', ''], /a stop string is empty/],
    [['generate', LLAMA, '--max-tokens', '3', '--ids', '1', '--top-p', '1.5'], /top-p must be .*but is 1.5/],
    [['score', LLAMA], /either --text FILE or --ids/],
    [['score', LLAMA, '--ids', '1,2', '--text', text], /either --text FILE or --ids/],
    [['score', LLAMA, '--ids', '1'], /at least two tokens/],
    [
      ['score', LLAMA, '--ids', '1,2,3,4', '--window', '2', '--logits', 'x.npy'],
      /one window, but 4 tokens need 3/,
    ],
    [
      [
        'train',
        '--family',
        'llama',
        '--text',
        text,
        '--out',
        'x',
        '--tokenizer',
        LLAMA,
        '--vocab-size',
        '300',
      ],
      /--vocab-size: .* cannot be combined with --tokenizer/,
    ],
  ])('refuses contradictory or useless options: %j', async (args, message) => {
    expect(refusal(await ropewalk(args))).toMatch(message);
  });

  it('prints no control characters from arguments and file names', async () => {
    const line = refusal(
      await ropewalk(['generate', '\x1b]0;pwned\x07\x9b31m\r', '--ids', '1', '--max-tokens', '1']),
    );
    expect(line).toContain('␛]0;pwned␇');
    expect(line.trimEnd()).not.toMatch(CONTROL);
  });
});

describe('ropewalk train', () => {
  it('prints only JSON on stdout and progress on stderr', () => {
    const result = json<Record<string, number>>(trained);
    expect(result).toMatchObject({ out: model, interrupted: false, step: 6 });
    expect(result.perplexity).toBeCloseTo(Math.exp(result.validationLoss!), 6);
    expect(trained.stderr).toMatch(/training 100% {2}step 6\/6/);
  });

  it('leaves a model directory, metrics and a checkpoint', () => {
    expect(readdirSync(model).sort()).toEqual([
      'best',
      'checkpoints',
      'config.json',
      'generation_config.json',
      'metrics.jsonl',
      'model.safetensors',
      'run.json',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    expect(readdirSync(join(model, 'checkpoints'))).toEqual(['step-00000006']);
    const events = readFileSync(join(model, 'metrics.jsonl'), 'utf8').trim().split('\n');
    expect(events.map((line) => (JSON.parse(line) as { type: string }).type)).toEqual([
      ...new Array<string>(6).fill('step'),
      'evaluation',
    ]);
  });

  it('refuses a folder that holds a run before it reads the text', async () => {
    expect(refusal(await ropewalk([...TRAIN, '--out', model]))).toMatch(
      /already holds a run\. Continue it with --resume, or name another folder/,
    );
  });

  it('copies a given tokenizer along with its configuration', async () => {
    const given = file('given');
    const out = file('with-given-tokenizer');
    mkdirSync(given);
    const tokenizer = readFileSync(join(model, 'tokenizer.json'), 'utf8');
    const configuration = {
      tokenizer_class: 'PreTrainedTokenizerFast',
      eos_token: '<|endoftext|>',
      chat_template: 'x',
    };
    writeFileSync(join(given, 'tokenizer.json'), tokenizer);
    writeFileSync(join(given, 'tokenizer_config.json'), JSON.stringify(configuration));
    const { code, stderr } = await ropewalk([...TRAIN, '--steps', '1', '--tokenizer', given, '--out', out]);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(readFileSync(join(out, 'tokenizer.json'), 'utf8'))).toEqual(JSON.parse(tokenizer));
    expect(JSON.parse(readFileSync(join(out, 'tokenizer_config.json'), 'utf8'))).toEqual(configuration);
  });
});

describe.concurrent('ropewalk generate', () => {
  interface Generated {
    ids: number[];
    text: string;
    tokensPerSecond: number;
  }

  it('prints only the new tokens as {ids, text, tokensPerSecond, warnings}', async () => {
    const args = [
      'generate',
      model,
      '--prompt',
      'The rope',
      '--max-tokens',
      '8',
      '--seed',
      '3',
      '--ignore-eos',
    ];
    const result = json<Generated>(await ropewalk([...args, '--json']));
    expect(Object.keys(result).sort()).toEqual(['ids', 'text', 'tokensPerSecond', 'warnings']);
    expect(result.ids).toHaveLength(8);
    expect(result.tokensPerSecond).toBeGreaterThan(0);
    // The text is that of the ids, and without --json it is what is printed.
    expect(loadTokenizer(model).decode(result.ids, { skipSpecialTokens: true })).toBe(result.text);
    const plain = await ropewalk(args);
    expect(plain.stdout).toBe(`${result.text}\n`);
    expect(plain.stderr).toBe('');
  });

  it('continues the prompts of a file, each as alone with its own seed', async () => {
    const prompts = ['The rope', 'A "walk"', 'The rope is', 'It', 'In the', 'The rope'];
    const path = file('prompts.jsonl');
    writeFileSync(path, prompts.map((prompt) => `${JSON.stringify({ prompt, other: 1 })}\n`).join('\n'));
    const more = ['--max-tokens', '7', '--temperature', '0.8'];
    const { code, stdout, stderr } = await ropewalk([
      ...['generate', model, '--prompts', path, ...more, '--seed', '5', '--batch', '2'],
    ]);
    expect(code, stderr).toBe(0);
    const rows = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Generated & { prompt: string; end: string });
    expect(rows.map(({ prompt }) => prompt)).toEqual(prompts);
    expect(Object.keys(rows[0]!)).toEqual(['prompt', 'ids', 'text', 'end']);
    const alone = await Promise.all(
      prompts
        .slice(0, 3)
        .map((prompt, i) =>
          ropewalk(['generate', model, '--prompt', prompt, ...more, '--seed', String(5 + i), '--json']),
        ),
    );
    expect(rows.slice(0, 3).map(({ ids, text }) => ({ ids, text }))).toEqual(
      alone.map((one) => json<Generated>(one)).map(({ ids, text }) => ({ ids, text })),
    );
    for (const { ids, end } of rows) expect(end).toBe(ids.length < 7 ? 'stop' : 'length');
    // One prompt in each line.
    writeFileSync(file('prompts.txt'), `${prompts.join('\n')}\n`);
    const out = file('texts.jsonl');
    const lines = await ropewalk([
      ...['generate', model, '--prompts', file('prompts.txt'), ...more, '--seed', '5', '--batch', '2'],
      ...['--out', out],
    ]);
    expect(lines.stdout).toBe('');
    expect(readFileSync(out, 'utf8')).toBe(stdout);
    // Ids, for a model without a tokenizer.
    writeFileSync(path, '{"ids": [1, 2, 3]}\n{"ids": [4]}\n');
    const ids = await ropewalk([
      'generate',
      LLAMA,
      '--prompts',
      path,
      '--max-tokens',
      '4',
      '--greedy',
      '--ignore-eos',
    ]);
    const wanted = json<Generated>(
      await ropewalk([
        'generate',
        LLAMA,
        '--ids',
        '1,2,3',
        '--max-tokens',
        '4',
        '--greedy',
        '--ignore-eos',
        '--json',
      ]),
    );
    expect(JSON.parse(ids.stdout.split('\n')[0]!)).toEqual({ ids: wanted.ids, text: '', end: 'length' });
  });

  it.each([
    [['--ids', '1'], /--ids cannot be combined with --prompts/],
    [['--speculate', 'lookup'], /--speculate cannot be combined with --prompts: texts run together/],
    [['--max-tokens', '99999999'], /refused\.jsonl:2: \d+ prompt tokens and 99999999 new ones do not fit/],
  ])('refuses %j with many prompts', async (more, message) => {
    writeFileSync(file('refused.jsonl'), '\n{"prompt": "a"}\n');
    const given = ['generate', model, '--prompts', file('refused.jsonl'), ...more];
    expect(refusal(await ropewalk(given))).toMatch(message);
  });

  it('prints ids when there is no tokenizer', async () => {
    const args = ['generate', LLAMA, '--ids', '1,2,3', '--max-tokens', '4', '--greedy', '--ignore-eos'];
    const { ids, text } = json<Generated>(await ropewalk([...args, '--json']));
    expect(ids).toHaveLength(4);
    expect(text).toBe('');
    expect((await ropewalk(args)).stdout).toBe(`${ids.join(',')}\n`);
  });

  it('reads a prompt from a file and from standard input', async () => {
    const path = file('prompt.txt');
    const more = ['--max-tokens', '6', '--temperature', '0', '--json'];
    const idsOf = (finished: Finished) => json<Generated>(finished).ids;
    const wanted = idsOf(
      await ropewalk(['generate', model, '--prompt', 'The rope\nis', '--greedy', ...more]),
    );
    writeFileSync(path, '\ufeffThe rope\nis\r\n');
    expect(idsOf(await ropewalk(['generate', model, '--prompt-file', path, ...more]))).toEqual(wanted);
    for (const option of ['--prompt', '--prompt-file']) {
      const running = start(
        await buildProgram('bin/ropewalk.js'),
        ['generate', model, option, '-', ...more],
        {
          stdio: ['pipe', 'pipe', 'pipe'],
        },
      );
      running.process.stdin!.end('The rope\nis\n');
      expect(idsOf(await running.finished)).toEqual(wanted);
    }
    writeFileSync(path, Buffer.from([0xc7, 0xd1, 0xb1, 0xdb]));
    expect(refusal(await ropewalk(['generate', model, '--prompt-file', path]))).toMatch(/is not UTF-8/);
    expect(refusal(await ropewalk(['generate', model, '--prompt-file', `${path}.no`]))).toMatch(/ENOENT/);
    // Megabytes are read and counted before they are refused.
    writeFileSync(path, 'The rope is long. '.repeat(120_000));
    expect(refusal(await ropewalk(['generate', model, '--prompt-file', path]))).toMatch(
      /\d{6} prompt tokens and 1 new ones do not fit/,
    );
  });

  it('continues without --max-tokens to the end of the text or of the context', async () => {
    const args = ['generate', LLAMA, '--ids', '9,8,7', '--seed', '1', '--json'];
    const { max_position_embeddings: positions } = JSON.parse(
      readFileSync(join(LLAMA, 'config.json'), 'utf8'),
    ) as { max_position_embeddings: number };
    const { ids } = json<Generated>(await ropewalk([...args, '--ignore-eos']));
    expect(ids).toHaveLength(positions - 3);
    const stopped = json<Generated>(await ropewalk([...args, '--stop-ids', String(ids[5])]));
    expect(stopped.ids).toEqual(ids.slice(0, ids.indexOf(ids[5]!) + 1));
  });

  it('ends at the given stop token, and not before', async () => {
    const args = ['generate', LLAMA, '--ids', '9,8,7', '--max-tokens', '12', '--seed', '1', '--json'];
    const free = json<Generated>(await ropewalk([...args, '--ignore-eos'])).ids;
    expect(free).toHaveLength(12);
    const stop = free[5]!;
    const unused = Array.from({ length: 96 }, (_, id) => id).find((id) => !free.includes(id));
    const { ids } = json<Generated>(await ropewalk([...args, '--stop-ids', `${unused},${stop}`]));
    expect(ids).toEqual(free.slice(0, free.indexOf(stop) + 1));
  });

  it('ends before a stop string that spans tokens', async () => {
    const args = ['generate', model, '--prompt', 'The rope', '--max-tokens', '40', '--seed', '5', '--json'];
    const { text: free } = json<Generated>(await ropewalk(args));
    const word = /\w{3,}/.exec(free)![0];
    const stop = word.slice(1); // begins inside a token or between two
    expect(free).toContain(stop);
    const { text: stopped } = json<Generated>(
      await ropewalk([...args, '--stop', 'not there', '--stop', stop]),
    );
    expect(stopped).toBe(free.slice(0, free.indexOf(stop)));
  });

  it('writes control characters unchanged into a pipe, and escaped into JSON', async () => {
    // A vocabulary of bytes has them all, and at this temperature every token is as likely as another.
    const args = [
      'generate',
      model,
      '--prompt',
      'x',
      '--max-tokens',
      '200',
      '--temperature',
      '50',
      '--ignore-eos',
    ];
    const [plain, structured] = await Promise.all([ropewalk(args), ropewalk([...args, '--json'])]);
    const { text: raw } = json<Generated>(structured);
    expect(raw).toMatch(CONTROL);
    expect(plain.stdout).toBe(`${raw}\n`);
  });

  it('exits with 130 when interrupted, and prints what it has so far', async () => {
    const program = await buildProgram('bin/ropewalk.js');
    const args = ['generate', model, '--prompt', 'The', '--max-tokens', '200', '--ignore-eos', '--seed', '2'];
    const { code, stdout, stderr } = await startSignalled(program, args, /\S/).finished;
    expect(code).toBe(130);
    expect(stdout).toMatch(/\n$/);
    expect(stderr).toBe('');
  });

  it('accepts a prompt of 100 kB as an argument', async () => {
    const prompt = 'long '.repeat(20_000);
    const { code, stderr } = await ropewalk(['generate', model, '--prompt', prompt, '--max-tokens', '3']);
    expect(stderr).toMatch(/do not fit into the model's \d+ positions/);
    expect(code).toBe(1);
  });

  it('exits cleanly when its reader closes the pipe', async () => {
    const program = await buildProgram('bin/ropewalk.js');
    const running = start(program, [
      'generate',
      model,
      '--prompt',
      'The',
      '--max-tokens',
      '200',
      '--ignore-eos',
    ]);
    running.process.stdout!.destroy();
    const { code, stderr } = await running.finished;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });
});

describe.concurrent.each([...FAMILIES, 'llama-untied'])('ropewalk score of %s', (name) => {
  const directory = reference(name);
  interface Scored {
    tokens: number;
    meanNegativeLogLikelihood: number;
    perplexity: number;
  }
  const opening = (async () => {
    const expected = await openSafetensors(await FileSource.open(`${directory}/expected.safetensors`));
    const [rows, seq] = expected.tensors.get('ids')!.shape as [number, number];
    const ids = Array.from(await expected.readInts('ids'));
    const logits = await expected.readFloat32('logits');
    const json = JSON.parse(readFileSync(`${directory}/expected.json`, 'utf8')) as { row_losses: number[] };
    return {
      expected,
      rows,
      seq,
      ids,
      logits,
      vocab: logits.length / (rows * seq),
      losses: json.row_losses,
    };
  })();
  afterAll(async () => (await opening).expected.close());

  it('gives the logits, losses and gradients of the reference', async () => {
    const { expected, rows, seq, ids, logits, vocab, losses } = await opening;
    const sums = new Map<string, Float64Array>();
    for (let row = 0; row < rows; row++) {
      const list = ids.slice(row * seq, (row + 1) * seq).join(',');
      const [npy, gradients, cached] = ['logits.npy', 'gradients.safetensors', 'cached.npy'].map((end) =>
        file(`${name}-${row}-${end}`),
      ) as [string, string, string];
      const args = ['score', directory, '--ids', list, '--json'];
      const [full, chunked] = await Promise.all([
        ropewalk([...args, '--logits', npy, '--gradients', gradients]),
        ropewalk([...args, '--logits', cached, '--chunk', String(3 + row * 4)]),
      ]);
      const wanted = logits.subarray(row * seq * vocab, (row + 1) * seq * vocab);
      for (const [result, path] of [
        [json<Scored>(full), npy],
        [json<Scored>(chunked), cached],
      ] as const) {
        expect(Object.keys(result).sort()).toEqual([
          'meanNegativeLogLikelihood',
          'perplexity',
          'tokens',
          'warnings',
        ]);
        expect(result.tokens).toBe(seq - 1);
        expect(Math.abs(result.meanNegativeLogLikelihood - losses[row]!)).toBeLessThan(1e-5 * losses[row]!);
        expect(result.perplexity).toBeCloseTo(Math.exp(result.meanNegativeLogLikelihood), 6);
        const { shape, data } = parseNpy(readFileSync(path));
        expect(shape).toEqual([seq, vocab]);
        expect(relativeError(data, wanted)).toBeLessThanOrEqual(2e-5);
      }
      const written = await openSafetensors(await FileSource.open(gradients));
      for (const parameter of written.tensors.keys()) {
        const values = await written.readFloat32(parameter);
        const sum = sums.get(parameter) ?? new Float64Array(values.length);
        sums.set(
          parameter,
          sum.map((value, i) => value + values[i]! / rows),
        );
      }
      await written.close();
    }
    // The reference is the gradient of the mean over all rows, which are equally long.
    const names = [...expected.tensors.keys()].flatMap((key) =>
      key.startsWith('grad.') ? [key.slice(5)] : [],
    );
    expect([...sums.keys()].sort()).toEqual(names.sort());
    const exact = new Map<string, Float32Array>();
    for (const parameter of names) exact.set(parameter, await expected.readFloat32(`grad.${parameter}`));
    const total = Math.hypot(...[...exact.values()].map(norm));
    for (const [parameter, gradient] of exact) {
      const error = norm(sums.get(parameter)!.map((value, i) => value - gradient[i]!));
      expect(error, parameter).toBeLessThanOrEqual(1e-4 * norm(gradient) + 1e-7 * total);
    }
  });
});

describe('ropewalk score of a text', () => {
  interface Scored {
    tokens: number;
    meanNegativeLogLikelihood: number;
  }

  it('gives the same with and without the cache, and in windows predicts every token but the first once', async () => {
    const part = file('part.txt');
    writeFileSync(part, readFileSync(text, 'utf8').slice(0, 300));
    const [whole, chunked, windows] = await Promise.all([
      ropewalk(['score', model, '--text', part, '--json']),
      ropewalk(['score', model, '--text', part, '--json', '--chunk', '7']),
      ropewalk(['score', model, '--text', part, '--json', '--window', '20']),
    ]);
    const [a, b, c] = [json<Scored>(whole), json<Scored>(chunked), json<Scored>(windows)];
    expect(b.tokens).toBe(a.tokens);
    expect(b.meanNegativeLogLikelihood).toBeCloseTo(a.meanNegativeLogLikelihood, 5);
    expect(c.tokens).toBe(a.tokens);
    expect(Math.abs(c.meanNegativeLogLikelihood - a.meanNegativeLogLikelihood)).toBeLessThan(0.5);
    expect((await ropewalk(['score', model, '--text', part])).stdout).toMatch(
      /^\d+ tokens {2}mean negative log-likelihood \d+\.\d+ {2}perplexity \d+\.\d+\n$/,
    );
  });
});

describe('ropewalk tokenizer train', () => {
  it('writes a tokenizer.json and reports it as JSON', async () => {
    const out = file('tokenizer.json');
    const args = ['tokenizer', 'train', '--text', text, '--vocab-size', '270', '--out', out, '--json'];
    expect(json(await ropewalk(args))).toEqual({ out, vocabSize: 270, merges: 270 - 257 });
    const tokenizer = loadTokenizer(out);
    expect(tokenizer.vocabSize).toBe(270);
    expect(tokenizer.decode(tokenizer.encode('밧줄 🪢 rope'))).toBe('밧줄 🪢 rope');
  });
});

describe('ropewalk tokenizer encode and decode', () => {
  /** A folder that holds a tokenizer and nothing else. */
  const only = file('tokenizer-only');
  const sample = 'A rope,\n밧줄 🪢 <|endoftext|>';

  beforeAll(() => {
    mkdirSync(only);
    writeFileSync(join(only, 'tokenizer.json'), readFileSync(join(model, 'tokenizer.json')));
  });

  it('give the ids and tokens of a text and the text of ids, wherever the tokenizer is', async () => {
    const expected = loadTokenizer(only);
    const ids = expected.encode(sample);
    const tokens = ids.map((id) => expected.idToToken(id));
    const source = file('sample.txt');
    writeFileSync(source, sample);
    for (const place of [model, only, join(only, 'tokenizer.json')]) {
      const encode = ['tokenizer', 'encode', place, '--text', sample, '--json'];
      expect(json(await ropewalk(encode))).toEqual({ ids, tokens });
    }
    expect(json(await ropewalk(['tokenizer', 'encode', only, '--file', source, '--json']))).toEqual({
      ids,
      tokens,
    });
    const decode = ['tokenizer', 'decode', only, '--ids', ids.join()];
    expect(json(await ropewalk([...decode, '--json']))).toEqual({ text: sample });
    expect((await ropewalk(decode)).stdout).toBe(`${sample}\n`);
  });

  it('read the tokenizer of a GGUF file', async () => {
    const gguf = file('encode.gguf');
    expect((await ropewalk(['export', model, '--to', 'gguf', '--out', gguf])).code).toBe(0);
    const args = ['tokenizer', 'encode', gguf, '--text', sample, '--json'];
    expect(json<{ ids: number[] }>(await ropewalk(args)).ids).toEqual(loadTokenizer(only).encode(sample));
  });

  it('add the special tokens of the tokenizer unless told not to', async () => {
    const folder = file('with-bos');
    mkdirSync(folder);
    const raw = JSON.parse(readFileSync(join(only, 'tokenizer.json'), 'utf8')) as Record<string, unknown>;
    const bos = loadTokenizer(only).tokenToId('<|endoftext|>')!;
    raw.post_processor = {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<|endoftext|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 0 } }],
      special_tokens: { '<|endoftext|>': { id: '<|endoftext|>', ids: [bos], tokens: ['<|endoftext|>'] } },
    };
    writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(raw));
    const args = ['tokenizer', 'encode', folder, '--text', 'rope', '--json'];
    const { ids: plain } = json<{ ids: number[] }>(await ropewalk([...args, '--no-special']));
    expect(json<{ ids: number[] }>(await ropewalk(args)).ids).toEqual([bos, ...plain]);
  });

  it('print a line for each token, without terminal control characters', async () => {
    const { stdout, code } = await ropewalk(['tokenizer', 'encode', only, '--text', 'a\nb']);
    expect(code).toBe(0);
    const ids = loadTokenizer(only).encode('a\nb');
    expect(stdout.split('\n').map((line) => line.split('\t')[0])).toEqual([...ids.map(String), '']);
    expect(stdout).not.toMatch(CONTROL);
  });

  it('refuse in one line what they cannot do', async () => {
    const encode = ['tokenizer', 'encode', only];
    expect(refusal(await ropewalk(encode))).toMatch(/--text TEXT or --file FILE/);
    expect(refusal(await ropewalk([...encode, '--text', 'a', '--file', text]))).toMatch(/give one of them/);
    expect(refusal(await ropewalk([...encode, '--file', file('absent.txt')]))).toMatch(/absent\.txt/);
    expect(refusal(await ropewalk(['tokenizer', 'decode', only, '--ids', '1,99999']))).toMatch(
      /the id 99999/,
    );
    expect(refusal(await ropewalk(['tokenizer', 'encode', LLAMA, '--text', 'a']))).toMatch(/no tokenizer/);
    const bad = await ropewalk(['tokenizer', 'decode', only, '--ids', '1,x']);
    expect(bad.code).not.toBe(0);
    expect(bad.stderr).toMatch(/Give comma-separated token ids/);
  });
});
