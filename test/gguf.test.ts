import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { ggufForm } from '../src/checkpoint/gguf/forms.ts';
import { toGguf } from '../src/checkpoint/gguf/names.ts';
import { type GgufFile, openGguf } from '../src/checkpoint/gguf/reading/reader.ts';
import type { WritableGgmlType } from '../src/checkpoint/gguf/types.ts';
import { quantize } from '../src/checkpoint/gguf/writing/quantize.ts';
import { type OpenedModel, openModel } from '../src/checkpoint/load.node.ts';
import { openSafetensors } from '../src/checkpoint/safetensors/safetensors-file.ts';
import { saveModelDirectory } from '../src/checkpoint/save.node.ts';
import { exportGguf, type GgufType } from '../src/export/gguf.node.ts';
import { exportHuggingFace } from '../src/export/hf.node.ts';
import { familyByName } from '../src/families/registry.ts';
import { FileSource } from '../src/files/file.node.ts';
import { createDecoder } from '../src/generation/decoder.node.ts';
import { Random } from '../src/random.ts';
import { addTinyTokenizer } from './helpers/changed-gguf.node.ts';
import { ropewalk } from './helpers/cli.node.ts';
import { GGUF_FAMILIES } from './helpers/families.ts';
import { relativeError } from './helpers/numbers.ts';
import { rawGguf } from './helpers/raw-gguf.ts';
import { tinyTokenizer } from './helpers/tiny-tokenizer.ts';

/** Models out to GGUF and in again, for the reference cases (test/reference/README.md). */
const reference = fileURLToPath(new URL('./reference/', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'ropewalk-gguf-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

type Json = Record<string, unknown>;

/** A reference case with a tokenizer of its size; `change` edits its config.json. */
function modelFolder(name: string, change: (config: Json) => void = () => {}): string {
  const folder = join(mkdtempSync(join(scratch, 'model-')), name);
  mkdirSync(folder);
  const config = JSON.parse(readFileSync(`${reference}${name}/config.json`, 'utf8')) as Json;
  change(config);
  const { tokenizer, config: tokenizerConfig } = tinyTokenizer();
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'model.safetensors'), readFileSync(`${reference}${name}/model.safetensors`));
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
  writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(tokenizerConfig));
  return folder;
}

/** What a reference has that GGUF has no place for, made what llama.cpp takes, by model type. */
const IN_FORM: Readonly<Record<string, (config: Json) => void>> = {
  gemma2: (c) => {
    c.query_pre_attn_scalar = c.head_dim;
  },
  gemma3_text(c) {
    c.query_pre_attn_scalar = c.head_dim;
    c.layer_types = Array.from({ length: Number(c.num_hidden_layers) }, () => 'sliding_attention');
    (c.rope_parameters as Record<string, Json>).sliding_attention!.rope_theta = 10000;
  },
  mistral(c) {
    c.sliding_window = null;
  },
  exaone4(c) {
    c.sliding_window = null;
    c.layer_types = Array.from({ length: Number(c.num_hidden_layers) }, () => 'full_attention');
  },
};
const derived = (config: Json) => IN_FORM[config.model_type as string]?.(config);

const target = () => join(mkdtempSync(join(scratch, 'out-')), 'model.gguf');

async function opened<T>(path: string, use: (model: OpenedModel) => Promise<T>): Promise<T> {
  const model = await openModel(path);
  try {
    return await use(model);
  } finally {
    await model.checkpoint.tensors.close();
  }
}

async function exported(folder: string, type: GgufType): Promise<{ path: string; notes: readonly string[] }> {
  const path = target();
  const { notes } = await opened(folder, (model) => exportGguf(model, path, { type }));
  return { path, notes };
}

const weightsOf = (path: string) =>
  opened(path, async ({ model, names, checkpoint }) => {
    const weights = new Map<string, Float32Array>();
    for (const name of model.parameters().keys()) {
      weights.set(name, await checkpoint.tensors.readFloat32(names.get(name)!));
    }
    return weights;
  });

async function logitsOf(path: string, ids: Int32Array): Promise<Float32Array> {
  const model = await openModel(path);
  const decoder = await createDecoder(model, { threads: 1 });
  await model.checkpoint.tensors.close();
  const logits = await decoder.forward(ids, decoder.newCache(), 'all');
  await decoder.release();
  return logits;
}

/** The first row of a case's ids, and what transformers makes of it. */
async function expectedOf(name: string): Promise<{ ids: Int32Array; logits: Float32Array }> {
  const file = await openSafetensors(await FileSource.open(`${reference}${name}/expected.safetensors`));
  const [, seq] = file.tensors.get('ids')!.shape as [number, number];
  const ids = Int32Array.from(await file.readInts('ids')).subarray(0, seq);
  const logits = await file.readFloat32('logits');
  await file.close();
  return { ids, logits: logits.subarray(0, logits.length / 2) };
}

async function withFile<T>(path: string, use: (file: GgufFile) => Promise<T>): Promise<T> {
  const file = await openGguf(await FileSource.open(path));
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** EXAONE 4's first reference has heads that llama.cpp does not take. */
const FIRST: Readonly<Record<string, string>> = { exaone4: 'exaone4-untied' };
const cases = [
  ...GGUF_FAMILIES.map((name) => FIRST[name] ?? name),
  ...['llama-bias', 'llama-mqa', 'llama-untied', 'llama-rope-scaled', 'gemma-mha', 'gpt2-untied'],
  ...['qwen2-untied', 'mistral-global'],
];

describe.each(cases)('exporting %s to GGUF as F32', (name) => {
  it('preserves its weights, configuration, tokens and logits', async () => {
    const folder = modelFolder(name, derived);
    const { path, notes } = await exported(folder, 'f32');
    expect(notes).toEqual([]);
    const [before, after] = [await weightsOf(folder), await weightsOf(path)];
    expect([...after.keys()]).toEqual([...before.keys()]);
    for (const [weight, values] of before) {
      const back = after.get(weight)!;
      // Gemma's norms are stored with 1 added, which rounds small ones in float32.
      const norm = /gemma/.test(name) && /norm/.test(weight);
      const stored = norm ? values.map((value) => Math.fround(value + 1) - 1) : values;
      expect(back, weight).toEqual(stored);
    }
    await opened(folder, (from) =>
      opened(path, async (to) => {
        // A file does not say that it is a Mistral, whose layers without windows are Llama's.
        expect(to.family.name).toBe(from.family.name === 'mistral' ? 'llama' : from.family.name);
        expect(to.unused).toEqual([]);
        const { rope_scaling: scaling, ...config } = to.config as unknown as Json;
        const fixed = { resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0 };
        const own = { mlp_bias: false, ...from.config, ...fixed } as Json;
        // What a file of this format does not say, or says elsewhere.
        const differs = ['initializer_range', 'eos_token_id', 'n_inner', 'bos_token_id', 'pad_token_id'];
        for (const [field, value] of Object.entries(config)) {
          if (!differs.includes(field)) expect(value, field).toEqual(own[field]);
        }
        expect(scaling ?? null).toEqual(own.rope_scaling ?? null);
        expect(to.stopTokens).toEqual(expect.arrayContaining([...from.stopTokens]));
        expect((await to.checkpoint.tokenizerFiles())!.config.chat_template).toEqual(
          (await from.checkpoint.tokenizerFiles())!.config.chat_template,
        );
      }),
    );
    const { ids, logits } = await expectedOf(name);
    const [ours, theirs] = [await logitsOf(folder, ids), await logitsOf(path, ids)];
    expect(relativeError(theirs, ours)).toBeLessThan(2e-6);
    const raw = readFileSync(`${reference}${name}/config.json`, 'utf8');
    const isChanged = JSON.stringify(JSON.parse(raw)) !== readFileSync(join(folder, 'config.json'), 'utf8');
    if (!isChanged) expect(relativeError(theirs, logits)).toBeLessThan(2e-5);
  });

  it('gives the same bytes again from the exported file', async () => {
    const { path: first } = await exported(modelFolder(name, derived), 'f16');
    // The first one is called after its folder.
    const { path } = await exported(first, 'f16');
    const { path: again } = await exported(path, 'f16');
    expect(await weightsOf(again)).toEqual(await weightsOf(first));
    expect(readFileSync(again).equals(readFileSync(path))).toBe(true);
  });
});

const STORED: Readonly<Record<GgufType, WritableGgmlType>> = {
  f32: 'F32',
  f16: 'F16',
  q8_0: 'Q8_0',
  q4_0: 'Q4_0',
};

describe.each(['f16', 'q8_0', 'q4_0'] as const)('GGUF matrices exported as %s', (type) => {
  it.each(GGUF_FAMILIES.map((name) => FIRST[name] ?? name))(
    'hold exactly the quantized weights of %s',
    async (name) => {
      const folder = modelFolder(name, derived);
      const { path, notes } = await exported(folder, type);
      // Written as float32 first: what transforms do is tested above.
      const { path: plain } = await exported(folder, 'f32');
      const fallbacks = new Set<string>();
      await withFile(plain, (floats) =>
        withFile(path, async (file) => {
          expect([...file.tensors.keys()]).toEqual([...floats.tensors.keys()]);
          for (const [tensor, { type: stored, source, offset, byteLength, shape }] of file.tensors) {
            const float = floats.tensors.get(tensor)!;
            const bytes = await float.source.read(float.offset, float.byteLength);
            const values = new Float32Array(bytes.slice().buffer);
            const matrix = shape.length === 2 && tensor !== 'position_embd.weight';
            const whole = type === 'f16' || shape.at(-1)! % 32 === 0;
            expect(stored, tensor).toBe(matrix ? (whole ? STORED[type] : 'F16') : 'F32');
            if (matrix && !whole) fallbacks.add(tensor);
            const read = await source.read(offset, byteLength);
            expect(Buffer.from(read).equals(Buffer.from(quantize(stored as WritableGgmlType, values)))).toBe(
              true,
            );
          }
        }),
      );
      const expected = fallbacks.size > 0 ? [expect.stringMatching(/^\d+ weights are stored as F16/)] : [];
      expect(notes).toEqual(expected);
      if (fallbacks.size > 0) expect(notes[0]).toContain(`${fallbacks.size} weights`);
    },
  );
});

describe('a split GGUF model', () => {
  /** Cuts a file in two, as llama.cpp's gguf-split does. */
  async function split(path: string): Promise<string[]> {
    const folder = mkdtempSync(join(scratch, 'split-'));
    return withFile(path, async (file) => {
      const all = await Promise.all(
        [...file.tensors.values()].map(async ({ name, shape, type, source, offset, byteLength }) => {
          return { name, shape, type, bytes: await source.read(offset, byteLength) };
        }),
      );
      const halves = [all.slice(0, 7), all.slice(7)];
      return halves.map((tensors, no) => {
        const own = [
          ['split.no', 'u16', no],
          ['split.count', 'u16', 2],
          ['split.tensors.count', 'i32', all.length],
        ] as const;
        const part = join(folder, `m-0000${no + 1}-of-00002.gguf`);
        const entries = no === 0 ? [...metadataOf(file), ...own] : own;
        writeFileSync(part, rawGguf(entries, tensors));
        return part;
      });
    });
  }

  it('opens by its first part, by any part and by its folder, and needs all parts', async () => {
    const { path } = await exported(modelFolder('llama'), 'q8_0');
    const [first, second] = (await split(path)) as [string, string];
    const weights = await weightsOf(path);
    for (const name of [first, second, join(first, '..')]) expect(await weightsOf(name)).toEqual(weights);
    rmSync(second);
    await expect(openModel(first)).rejects.toThrow(/00002-of-00002\.gguf/);
  });

  it('is never overwritten, not even through the name of a part', async () => {
    const { path } = await exported(modelFolder('llama'), 'f32');
    const [first, second] = (await split(path)) as [string, string];
    await expect(opened(first, (model) => exportGguf(model, second))).rejects.toThrow('one part of several');
    const before = readFileSync(path);
    await expect(opened(path, (model) => exportGguf(model, path))).rejects.toThrow('it is the source model');
    expect(readFileSync(path).equals(before)).toBe(true);
  });
});

/** The metadata of a file with the types that our writer gives them. */
function metadataOf(file: GgufFile) {
  return [...file.metadata].map(([key, value]) => {
    if (typeof value === 'string') return [key, 'string', value] as const;
    if (typeof value === 'boolean') return [key, 'bool', value] as const;
    if (typeof value === 'number')
      return [
        key,
        Number.isInteger(value) && !/epsilon|base|capping/.test(key) ? 'u32' : 'f32',
        value,
      ] as const;
    const element = Array.isArray(value) ? 'string' : value instanceof Float32Array ? 'f32' : 'i32';
    return [key, { array: element }, value] as const;
  });
}

describe('exporting to GGUF', () => {
  it.each([
    [
      'gpt',
      () => {},
      'has no architecture for the family "ctrl": none of its architectures has sinusoidal positions',
    ],
    ['gemma2', () => {}, '"query_pre_attn_scalar" is 10, but GGUF cannot store it: llama.cpp derives 12'],
    ['gemma2-nocap', (c: Json) => derived(c), '"attn_logit_softcapping" is null'],
    [
      'gemma2',
      (c: Json) => {
        derived(c);
        c.layer_types = ['full_attention', 'sliding_attention', 'full_attention', 'sliding_attention'];
      },
      '"layer_types" do not match',
    ],
    [
      'gemma',
      (c: Json) => {
        c.rope_parameters = {
          ...{ rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
          ...{ original_max_position_embeddings: 16, rope_theta: 10000 },
        };
      },
      'rescales rotary frequencies',
    ],
    ['hyperclovax', () => {}, 'none of its architectures has both these multipliers and norms after'],
    [
      'qwen2-window',
      () => {},
      '"layer_types" do not match what llama.cpp assumes: layer 1 would be full_attention',
    ],
    ['qwen3-bias', () => {}, 'no place for the weight "model.layers.0.self_attn.q_proj.bias"'],
    [
      'qwen3-window',
      () => {},
      '"layer_types" do not match what llama.cpp assumes: layer 2 would be full_attention',
    ],
    ['mistral', () => {}, '"sliding_window" is 7'],
    [
      'exaone4',
      () => {},
      '"layer_types" do not match what llama.cpp assumes: layer 0 would be full_attention',
    ],
    ['exaone4-global', () => {}, 'its heads have 48 dimensions in total, but its width is 32'],
    [
      'exaone4-untied',
      (c: Json) => {
        derived(c);
        c.sliding_window = 6;
      },
      '"sliding_window" is 6 at 3 layers',
    ],
    [
      'gemma3',
      (c: Json) => {
        derived(c);
        c.query_pre_attn_scalar = 10;
      },
      '"query_pre_attn_scalar" is 10, but GGUF cannot store it: llama.cpp derives 12',
    ],
    [
      'gemma3',
      (c: Json) => {
        derived(c);
        (c.rope_parameters as Record<string, Json>).sliding_attention!.rope_theta = 100;
      },
      'the rotary base of its local layers is not 10000 without scaling',
    ],
    [
      'gemma3',
      (c: Json) => {
        derived(c);
        c.layer_types = ['sliding_attention', 'full_attention', 'sliding_attention'];
      },
      '"layer_types" do not match what llama.cpp assumes: layer 1 would be sliding_attention',
    ],
    ['gemma3-capped', (c: Json) => derived(c), 'it has a cap ("final_logit_softcapping")'],
  ] as const)('refuses by name what llama.cpp cannot run: %s %#', async (name, change, message) => {
    const path = target();
    await expect(opened(modelFolder(name, change), (model) => exportGguf(model, path))).rejects.toThrow(
      message,
    );
    expect(readdirSync(join(path, '..'))).toEqual([]);
  });

  it('refuses a Gemma with a head or biases of its own', async () => {
    const folder = modelFolder('gemma');
    const path = target();
    await opened(folder, async (source) => {
      const withConfig = (change: Json) => {
        const config = { ...source.config, ...change };
        return { ...source, config, model: source.family.build(config) };
      };
      await expect(exportGguf(withConfig({ tie_word_embeddings: false }), path)).rejects.toThrow(
        'its output head has its own weights',
      );
      await expect(exportGguf(withConfig({ attention_bias: true }), path)).rejects.toThrow(
        'no place for the weight "model.layers.0.self_attn.q_proj.bias"',
      );
    });
  });

  it('refuses a model without a tokenizer', async () => {
    await expect(opened(`${reference}llama`, (model) => exportGguf(model, target()))).rejects.toThrow(
      'it has no tokenizer',
    );
  });
});

describe('an EXAONE 4 GGUF file with 64 layers', () => {
  it('has sliding windows in every layer except each fourth, as in llama.cpp', async () => {
    const family = familyByName('exaone4');
    const raw = {
      ...{ model_type: 'exaone4', vocab_size: 96, hidden_size: 8, intermediate_size: 8, sliding_window: 5 },
      ...{ num_hidden_layers: 64, num_attention_heads: 2, num_key_value_heads: 1, head_dim: 4 },
      ...{ max_position_embeddings: 64, rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: true },
    };
    const config = family.readConfig(raw, 'the test');
    const random = new Random(1);
    const folder = mkdtempSync(join(scratch, 'model-'));
    await saveModelDirectory(folder, {
      config: family.writeConfig(config),
      tensors: [...family.build(config).parameters()].map(([name, { shape, size }]) => ({
        ...{ name, shape },
        data: Float32Array.from({ length: size }, () => random.nextGaussian()),
      })),
    });
    addTinyTokenizer(folder);
    const { path } = await exported(folder, 'f32');
    await opened(path, async ({ config: read }) => {
      expect(read).toMatchObject({ sliding_window: 5, layer_types: (config as unknown as Json).layer_types });
    });
    const ids = Int32Array.from({ length: 20 }, (_, i) => (7 * i) % 96);
    expect(await logitsOf(path, ids)).toEqual(await logitsOf(folder, ids));
  });
});

describe('a GGUF file', () => {
  it('is found in a folder with one model, but not in a folder with two', async () => {
    const { path } = await exported(modelFolder('llama'), 'f32');
    expect(await weightsOf(join(path, '..'))).toEqual(await weightsOf(path));
    writeFileSync(join(path, '../other.gguf'), readFileSync(path));
    await expect(openModel(join(path, '..'))).rejects.toThrow('several GGUF models (model.gguf, other.gguf)');
  });

  it('must be named .gguf, and is not left behind when reading fails halfway', async () => {
    const folder = modelFolder('llama');
    const path = target();
    await opened(folder, async (source) => {
      await expect(exportGguf(source, `${path}.bin`)).rejects.toThrow('use a name that ends in .gguf');
      let count = 0;
      const readFloat32 = async (name: string) => {
        if (++count > 3) throw new Error('the disk went away');
        return source.checkpoint.tensors.readFloat32(name);
      };
      const broken = { ...source, checkpoint: { ...source.checkpoint, tensors: { readFloat32 } } };
      await expect(exportGguf(broken, path)).rejects.toThrow('the disk went away');
      expect(readdirSync(join(path, '..'))).toEqual([]);
    });
  });

  it('survives the way to a Hugging Face directory and back', async () => {
    const folder = modelFolder('gpt2');
    const { path } = await exported(folder, 'f32');
    const out = join(path, '../hf');
    await opened(path, (model) => exportHuggingFace(model, out));
    expect(await weightsOf(out)).toEqual(await weightsOf(folder));
  });

  it('is written by ropewalk export, which counts bytes and says what it did', async () => {
    const folder = modelFolder('gemma2', derived);
    const path = target();
    const args = ['export', folder, '--to', 'gguf', '--type', 'q8_0', '--out', path];
    const { code, stdout, stderr } = await ropewalk([...args, '--json']);
    expect(stderr).toContain('weights are stored as F16');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      format: 'gguf',
      out: path,
      files: [{ name: 'model.gguf', bytes: statSync(path).size }],
    });
    const wrong = await ropewalk(['export', folder, '--to', 'gguf', '--dtype', 'float32', '--out', path]);
    expect(wrong.stderr).toContain(
      '--dtype: GGUF has no such option; leave it out, or choose --to hf or --to onnx.',
    );
    const other = await ropewalk(['export', folder, '--to', 'hf', '--type', 'f16', '--out', `${path}-hf`]);
    expect(other.stderr).toContain(
      '--type: Hugging Face directory has no such option; leave it out, or choose --to gguf.',
    );
  });

  it('names every weight as llama.cpp does', () => {
    expect(
      toGguf(ggufForm(familyByName('gemma2'), 'the test'), 'model.layers.7.post_attention_layernorm.weight'),
    ).toEqual({
      name: 'blk.7.post_attention_norm.weight',
      transform: 'plus one',
    });
  });
});
