import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModel } from '../src/checkpoint/load.node.ts';
import { saveModelDirectory } from '../src/checkpoint/save.node.ts';
import { RopewalkError } from '../src/errors.ts';
import { modelFromConfig } from '../src/families/registry.ts';
import { type Finished, ROOT, ropewalk } from './helpers/cli.node.ts';
import { FAMILIES } from './helpers/families.ts';
import { openWorkshop, type Workshop } from './helpers/workshop.node.ts';

/**
 * What is wrong with a user's files is said in one line that names the file, the field and the remedy. How single files
 * are damaged is tried beside the readers (src/checkpoint, src/text); here it is whole models and whole commands.
 */

let workshop: Workshop;
let count = 0;
beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.remove());

const reference = (name: string) => join(ROOT, 'test/reference', name);
const place = () => join(workshop.folder, `place${count++}`);

type Config = Record<string, unknown>;
const configOf = (directory: string) =>
  JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as Config;

/** A copy of a reference model, changed. */
function damaged(name: string, change: (directory: string) => void): string {
  const directory = place();
  mkdirSync(directory);
  for (const file of ['config.json', 'model.safetensors']) {
    cpSync(join(reference(name), file), join(directory, file));
  }
  change(directory);
  return directory;
}

/** The one line of the RopewalkError that `action` ends with. */
async function refusal(action: () => unknown): Promise<string> {
  const error: unknown = await (async () => action())().then(
    () => new Error('it was accepted'),
    (reason: unknown) => reason,
  );
  expect(error, String(error)).toBeInstanceOf(RopewalkError);
  const { message } = error as RopewalkError;
  expect(message).not.toContain('\n');
  return message;
}

const opening = (directory: string) => refusal(() => openModel(directory));

/** The last line on stderr of a command that failed; before it there may be progress. */
function lastLine({ code, stdout, stderr }: Finished): string {
  expect(code, stderr).toBe(1);
  expect(stdout).toBe('');
  const line = stderr.trimEnd().split('\n').at(-1)!;
  expect(line).toMatch(/^ropewalk: /);
  return line;
}

const ROTARY = FAMILIES.filter((name) => name !== 'gpt' && name !== 'gpt2');

/** What Hugging Face's configurations of each family must say, as transformers names it. */
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  gpt: ['vocab_size', 'n_embd', 'dff', 'n_layer', 'n_head', 'n_positions', 'layer_norm_epsilon'],
  gpt2: ['vocab_size', 'n_embd', 'n_layer', 'n_head', 'n_positions', 'layer_norm_epsilon'],
  ...Object.fromEntries(
    ROTARY.map((family) => [
      family,
      [
        'vocab_size',
        'hidden_size',
        'intermediate_size',
        'num_hidden_layers',
        'num_attention_heads',
        'max_position_embeddings',
        'rms_norm_eps',
        ...(family.startsWith('gemma') ? ['head_dim'] : []),
        ...(['gemma2', 'gemma3'].includes(family) ? ['query_pre_attn_scalar', 'sliding_window'] : []),
      ],
    ]),
  ),
};

describe.each(Object.keys(REQUIRED))('reading a config.json of %s', (family) => {
  const sound = configOf(reference(family));
  const reading = (config: Config) => refusal(() => modelFromConfig(config, 'some/config.json'));

  it.each(REQUIRED[family]!)('reports a missing %s, or the default used instead', async (field) => {
    const { [field]: _, ...config } = sound;
    // The default of transformers' class is taken and said, unless it does not fit the rest.
    let said: string;
    try {
      said = String(modelFromConfig(config, 'some/config.json').warnings);
    } catch (error) {
      expect(error).toBeInstanceOf(RopewalkError);
      said = (error as Error).message;
    }
    expect(said).toMatch(/^some\/config\.json: /);
    expect(said).toMatch(new RegExp(`${field}|layer_types|head_dim`));
    expect(await reading({ ...sound, [field]: null })).toContain(`the field "${field}"`);
  });

  it.each(REQUIRED[family]!)('refuses a wrong %s', async (field) => {
    for (const value of ['4', -1, 0, true, [], {}, [4], Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(await reading({ ...sound, [field]: value })).toContain(`some/config.json: the field "${field}"`);
    }
  });

  it('refuses more layers than are possible', async () => {
    const field = family.startsWith('gpt') ? 'n_layer' : 'num_hidden_layers';
    expect(await reading({ ...sound, [field]: 2e9, layer_types: undefined })).toMatch(
      /must be at most 10000/,
    );
  });

  it('refuses a missing or unknown model_type', async () => {
    const { model_type: _, ...config } = sound;
    expect(await reading(config)).toMatch(/the field "model_type" is missing/);
    for (const model_type of ['bert', 7, null, [], 'constructor']) {
      expect(await reading({ ...config, model_type })).toMatch(
        /model_type .* is not supported; supported are/,
      );
    }
  });

  it('accepts or refuses by name any field of any type', () => {
    for (const field of Object.keys(sound)) {
      for (const value of ['x', '', -1, 0.5, null, true, [], [null], {}, { rope_type: 3 }, Number.NaN]) {
        try {
          modelFromConfig({ ...sound, [field]: value }, 'some/config.json');
        } catch (error) {
          expect(error, `${field}: ${JSON.stringify(value)}: ${error}`).toBeInstanceOf(RopewalkError);
          expect((error as Error).message).toContain('some/config.json');
          expect((error as Error).message).toMatch(new RegExp(`${field}|rope_theta`));
        }
      }
    }
  });
});

describe('reading a config.json that contradicts itself', () => {
  const sliding = 'sliding_attention';
  const four = [sliding, sliding, sliding, 'full_attention'];
  const three = four.slice(1);
  const list = /must list sliding_attention or full_attention for each of \d+ layers/;

  it.each<[string, Config, string, RegExp]>([
    ['gemma3', { layer_types: [sliding] }, 'layer_types', list],
    ['gemma3', { layer_types: [...four, ...four].fill('chunked_attention') }, 'layer_types', list],
    ['gemma3', { sliding_window: 0 }, 'sliding_window', /at least 1, but is 0/],
    ['gemma3', { attn_logit_softcapping: 50 }, 'attn_logit_softcapping', /is 50; only null/],
    ['gemma3', { use_bidirectional_attention: true }, 'use_bidirectional_attention', /only false/],
    [
      'gemma3',
      { rope_parameters: { full_attention: { rope_theta: 1e6 } } },
      'rope_parameters',
      /"full_attention" and "sliding_attention"/,
    ],
    ['gemma3', { query_pre_attn_scalar: 0 }, 'query_pre_attn_scalar', /above zero, but is 0/],
    ['gemma3', { hidden_activation: 'silu' }, 'hidden_activation', /supported are/],
    ['exaone4', { layer_types: four }, 'layer_types', list],
    ['exaone4', { sliding_window: 0 }, 'sliding_window', /at least 1, but is 0/],
    ['exaone4', { sliding_window: null, layer_types: three }, 'layer_types', /"sliding_window" is not set/],
    [
      'exaone4',
      { layer_types: undefined, sliding_window_pattern: 'LXG' },
      'sliding_window_pattern',
      /of the letters L and G/,
    ],
    ['exaone4', { hidden_act: 'gelu' }, 'hidden_act', /supported are silu/],
    ['exaone4', { num_key_value_heads: 3 }, 'num_key_value_heads', /must divide/],
    ['qwen2', { layer_types: [] }, 'layer_types', list],
    ['qwen2-window', { sliding_window: 0 }, 'sliding_window', /at least 1, but is 0/],
    [
      'qwen2-window',
      { use_sliding_window: false },
      'layer_types',
      /"sliding_window" is not set where "use_sliding_window" is not true/,
    ],
    ['qwen2', { use_sliding_window: 'yes' }, 'use_sliding_window', /true or false/],
    ['qwen3', { layer_types: ['full_attention'] }, 'layer_types', list],
    ['qwen3-window', { sliding_window: -4 }, 'sliding_window', /at least 1, but is -4/],
    ['qwen3', { head_dim: 7 }, 'head_dim', /must be even/],
    ['mistral', { sliding_window: 0 }, 'sliding_window', /at least 1, but is 0/],
    ['mistral', { attention_bias: true }, 'attention_bias', /only false/],
    ['hyperclovax', { residual_multiplier: 0 }, 'residual_multiplier', /above zero, but is 0/],
    ['hyperclovax', { logits_scaling: 'x' }, 'logits_scaling', /must be a number/],
    ['hyperclovax', { use_post_norm: 1 }, 'use_post_norm', /true or false/],
  ])('is refused by the field: %s with %o', async (name, change, field, problem) => {
    const config = { ...configOf(reference(name)), ...change };
    const said = await refusal(() => modelFromConfig(config, 'some/config.json'));
    expect(said).toContain('some/config.json');
    expect(said).toContain(`the field "${field}"`);
    expect(said).toMatch(problem);
  });

  it.each(['gemma3_text', 'qwen3', 'exaone4'])('is refused for %s with experts', async (model_type) => {
    const base = configOf(reference(model_type.replace('_text', '')));
    const config = { ...base, num_experts: 8 };
    expect(await refusal(() => modelFromConfig(config, 'some/config.json'))).toMatch(/mixture of experts/);
  });
});

describe('reading RoPE settings', () => {
  const sound = configOf(reference('llama-rope-scaled'));
  const parameters = sound.rope_parameters as Config;
  const reading = (rope_parameters: unknown) =>
    refusal(() => modelFromConfig({ ...sound, rope_parameters }, 'some/config.json'));

  it.each([
    'rope_theta',
    'factor',
    'low_freq_factor',
    'high_freq_factor',
    'original_max_position_embeddings',
  ])('reports a missing %s, or uses the default of transformers', async (field) => {
    const { [field]: _, ...rest } = parameters;
    if (['rope_theta', 'original_max_position_embeddings'].includes(field)) {
      const config = { ...sound, rope_parameters: rest };
      // These have defaults in transformers; a base is never taken silently.
      const { warnings } = modelFromConfig(config, 'some/config.json');
      expect(warnings).toEqual(
        field === 'rope_theta' ? [expect.stringMatching(/no "rope_theta"; 10000 is used/)] : [],
      );
    } else {
      expect(await reading(rest)).toMatch(
        new RegExp(`some/config\\.json, rope_parameters: the field "${field}" is missing`),
      );
    }
    expect(await reading({ ...parameters, [field]: 'x' })).toContain(`"${field}"`);
  });

  it('refuses an unsupported kind and a value that is not an object', async () => {
    for (const rope_type of ['longrope', 'mrope', 'proportional']) {
      expect(await reading({ ...parameters, rope_type })).toContain(
        `"rope_type" is "${rope_type}"; supported are default, linear, dynamic, llama3, yarn`,
      );
    }
    expect(await reading({ full_attention: parameters })).toMatch(/differs between kinds of layers/);
    expect(await reading({ ...parameters, partial_rotary_factor: 0.5 })).toMatch(
      /"partial_rotary_factor" is 0.5/,
    );
    expect(modelFromConfig({ ...sound, rope_parameters: null }, 'some/config.json').warnings).toEqual([
      expect.stringMatching(/no "rope_theta"; 10000 is used/),
    ]);
    expect(await reading('llama3')).toMatch(/"rope_parameters" must be an object/);
  });
});

describe('opening a model directory', () => {
  /** Rewrites a reference model's weights. */
  async function rewritten(
    name: string,
    change: (tensors: Map<string, { shape: readonly number[]; data: Float32Array }>) => void,
  ) {
    const opened = await openModel(reference(name));
    const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
    for (const [, tensor] of opened.names) {
      const { shape } = opened.checkpoint.tensors.info(tensor);
      tensors.set(tensor, { shape, data: await opened.checkpoint.tensors.readFloat32(tensor) });
    }
    await opened.checkpoint.tensors.close();
    change(tensors);
    const directory = place();
    await saveModelDirectory(directory, {
      config: configOf(reference(name)),
      tensors: [...tensors].map(([tensor, entry]) => ({ name: tensor, ...entry })),
    });
    return directory;
  }

  it.each(Object.keys(REQUIRED))('of %s names any weight that is missing', async (family) => {
    const opened = await openModel(reference(family));
    const names = [...opened.names];
    await opened.checkpoint.tensors.close();
    for (const [path, tensor] of [names[0]!, names[Math.floor(names.length / 2)]!, names.at(-1)!]) {
      const directory = await rewritten(family, (tensors) => tensors.delete(tensor));
      expect(await opening(directory)).toContain(
        `${directory}: the weight "${path}" is missing from the checkpoint`,
      );
    }
  });

  it('refuses a weight of the wrong shape, also with the right number of elements', async () => {
    const name = 'model.layers.1.mlp.up_proj.weight';
    for (const shape of [[32, 64], [2048], [64, 16], [1, 64, 32]]) {
      const directory = await rewritten('llama', (tensors) => {
        const { data } = tensors.get(name)!;
        const elements = shape.reduce((product, size) => product * size, 1);
        tensors.set(name, { shape, data: data.subarray(0, elements) });
      });
      expect(await opening(directory)).toMatch(
        /model\.safetensors: the weight "model\.layers\.1\.mlp\.up_proj\.weight" has shape \[[\d, ]+\], but .*config\.json requires \[64, 32\]/,
      );
    }
  });

  it('refuses a config.json of another size', async () => {
    const directory = damaged('llama', (path) =>
      writeFileSync(join(path, 'config.json'), JSON.stringify({ ...configOf(path), intermediate_size: 65 })),
    );
    expect(await opening(directory)).toMatch(/has shape \[64, 32\], but .*config\.json requires \[65, 32\]/);
  });

  it('refuses integer weights', async () => {
    const directory = damaged('llama', (path) => {
      const file = join(path, 'model.safetensors');
      const bytes = readFileSync(file);
      // The same bytes under another name of the same width.
      const text = bytes.toString('latin1').replace('"dtype":"F32"', '"dtype":"I32"');
      writeFileSync(file, Buffer.from(text, 'latin1'));
    });
    const { stdout, stderr, code } = await ropewalk(['score', directory, '--ids', '1,2,3']);
    expect({ stdout, code }).toEqual({ stdout: '', code: 1 });
    expect(stderr).toMatch(/model\.safetensors: tensor ".*" has dtype I32; weights are read from F32/);
  });
});

describe('the command line reports bad input in one line:', () => {
  const llama = reference('llama');
  const text = () => {
    const path = place();
    writeFileSync(path, 'Some words that can be learned. '.repeat(40));
    return path;
  };
  const train = (...args: string[]) =>
    ropewalk(['train', '--family', 'llama', '--vocab-size', '270', '--steps', '2', '--batch', '1', ...args]);

  it.concurrent('a truncated checkpoint', async () => {
    const directory = damaged('llama', (path) => {
      const file = join(path, 'model.safetensors');
      writeFileSync(file, readFileSync(file).subarray(0, -1000));
    });
    for (const command of [
      ['generate', directory, '--ids', '1', '--max-tokens', '2'],
      ['score', directory, '--ids', '1,2'],
    ]) {
      const line = lastLine(await ropewalk(command));
      expect(line).toMatch(/model\.safetensors: tensor ".*lie outside the file.*download or write it again/);
    }
  });

  it.concurrent('a shard index that leads out of its folder', async () => {
    const directory = damaged('llama', (path) => {
      renameSync(join(path, 'model.safetensors'), join(path, '..', 'outside.safetensors'));
      writeFileSync(
        join(path, 'model.safetensors.index.json'),
        JSON.stringify({ weight_map: { 'model.norm.weight': '../outside.safetensors' } }),
      );
    });
    expect(lastLine(await ropewalk(['score', directory, '--ids', '1,2']))).toMatch(
      /index\.json: tensor "model\.norm\.weight" is listed in "\.\.\/outside\.safetensors".*refused/,
    );
  });

  it.concurrent('token ids that the vocabulary does not have', async () => {
    const wanted = /token id 96 at position 1 is outside the vocabulary of 96/;
    expect(lastLine(await ropewalk(['generate', llama, '--ids', '1,96', '--max-tokens', '1']))).toMatch(
      wanted,
    );
    expect(lastLine(await ropewalk(['score', llama, '--ids', '1,96,3']))).toMatch(wanted);
    expect(lastLine(await ropewalk(['score', llama, '--ids', '1,96,3', '--chunk', '2']))).toMatch(wanted);
  });

  it.concurrent('a prompt that is longer than the positions', async () => {
    const ids = new Array<number>(70).fill(3).join(',');
    expect(lastLine(await ropewalk(['generate', llama, '--ids', ids, '--max-tokens', '1']))).toMatch(
      /70 prompt tokens and 1 new ones do not fit into the model's 64 positions\. Shorten the prompt/,
    );
    // Scoring goes in windows; what needs one window says so.
    expect(lastLine(await ropewalk(['score', llama, '--ids', ids, '--logits', place()]))).toMatch(
      /70 tokens need 2; .*the model has 64 positions/,
    );
  });

  it.concurrent('a text that is missing, empty, a folder, not UTF-8, or too short', async () => {
    const [out, file] = [place(), place()];
    const training = (path: string, ...more: string[]) => train('--text', path, '--out', out, ...more);
    expect(lastLine(await training(join(workshop.folder, 'none')))).toMatch(
      /none cannot be read: there is no/,
    );
    expect(lastLine(await training(workshop.folder))).toMatch(/is a folder without text files/);
    writeFileSync(file, '');
    expect(lastLine(await training(file))).toContain(`${file} is empty`);
    writeFileSync(file, Buffer.from([0x61, 0x62, 0xb9, 0xe4, 0xc1, 0xd9])); // 밧줄 in CP949 after "ab"
    expect(lastLine(await training(file))).toMatch(/is not UTF-8: byte 0xb9 at offset 2 .*iconv -f CP949/);
    expect(lastLine(await ropewalk(['score', llama, '--text', file]))).toMatch(/has no tokenizer\.json/);
    writeFileSync(file, 'This is too short for windows of 128 tokens and one more.');
    expect(lastLine(await training(file))).toMatch(/the text has \d+ tokens, but at least 129 are needed/);
    writeFileSync(file, 'too short');
    expect(lastLine(await training(file))).toMatch(
      /tokens are too few to hold out 0\.05 of them; give more text/,
    );
    expect(lastLine(await training(text(), '--seq', '300'))).toMatch(
      /--seq: 300 is longer than the model's 256 positions; choose a smaller one/,
    );
    expect(lastLine(await training(text(), '--seq', '8', '--min-lr-ratio', '3'))).toMatch(
      /option '--min-lr-ratio <r>' argument '3' is invalid\. Give a number from 0 to 1/,
    );
    // None of them has left a run behind, which would stand in the way of the next try.
    expect(existsSync(out)).toBe(false);
  });

  it.concurrent('a tokenizer.json that is not a tokenizer', async () => {
    const file = place();
    for (const [content, message] of [
      ['{', /not valid JSON/],
      ['{}', /tokenizer|model/],
      ['[]', /tokenizer|object/],
    ] as const) {
      writeFileSync(file, content);
      const args = ['train', '--family', 'gpt', '--text', text(), '--out', place(), '--tokenizer', file];
      const line = lastLine(await ropewalk(args));
      expect(line).toContain(file);
      expect(line).toMatch(message);
    }
  });

  it.concurrent('an output below a file', async () => {
    const file = text();
    const below = join(file, 'out');
    expect(lastLine(await train('--text', file, '--out', below))).toMatch(
      /cannot write .*out: part of the path is a file, not a folder/,
    );
    const logits = ['score', llama, '--ids', '1,2,3', '--logits', join(file, 'x.npy')];
    expect(lastLine(await ropewalk(logits))).toMatch(/cannot write .*x\.npy: part of the path is a file/);
    const gradients = ['score', llama, '--ids', '1,2,3', '--gradients', workshop.folder];
    expect(lastLine(await ropewalk(gradients))).toMatch(/cannot write .*: it is a folder; name a file/);
    const tokenizer = ['tokenizer', 'train', '--text', file, '--vocab-size', '260', '--out', below];
    expect(lastLine(await ropewalk(tokenizer))).toMatch(/cannot write .*out: part of the path is a file/);
  });

  it('an output on a disk that is read-only', async ({ skip }) => {
    const disk = workshop.mount('1m');
    if (!disk) return skip('this process may not mount a disk');
    disk.readOnly();
    const out = join(disk.path, 'run');
    expect(lastLine(await train('--text', text(), '--out', out, '--seq', '8'))).toMatch(
      /cannot write .*run: the file system is read-only/,
    );
  });

  it('a disk that fills up during training, which keeps the last checkpoint to resume from', async ({
    skip,
  }) => {
    // A checkpoint of the tiny model takes 5.5 MB: the first fits, the second does not beside it.
    const disk = workshop.mount('8m');
    if (!disk) return skip('this process may not mount a small disk');
    const out = join(disk.path, 'run');
    const args = ['--text', text(), '--out', out, '--seq', '8', '--steps', '3', '--save-every', '1'];
    expect(lastLine(await train(...args))).toMatch(
      /cannot write .*\/run\/checkpoints\/step-00000002\/\w+\.safetensors: the disk is full \(ENOSPC\); free some space or choose another disk/,
    );
    expect(readdirSync(join(out, 'checkpoints'))).toEqual(['step-00000001']);
    const opened = await openModel(join(out, 'checkpoints/step-00000001'));
    await opened.checkpoint.tensors.close();
    expect(spawnSync('mount', ['-o', 'remount,size=100m', disk.path]).status).toBe(0);
    const { code, stderr } = await train(...args, '--resume');
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/resumed at step 1/);
    expect(readdirSync(join(out, 'checkpoints'))).toEqual(['step-00000002', 'step-00000003']);
  });

  it('a disk that is too small for the logits', async ({ skip }) => {
    const disk = workshop.mount('8k');
    if (!disk) return skip('this process may not mount a small disk');
    const ids = new Array<number>(60).fill(3).join(',');
    const path = join(disk.path, 'logits.npy');
    expect(lastLine(await ropewalk(['score', llama, '--ids', ids, '--logits', path]))).toMatch(
      /cannot write .*logits\.npy: the disk is full/,
    );
    expect(readdirSync(disk.path)).toEqual([]);
  });
});
