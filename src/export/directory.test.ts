import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import type { TokenizerFiles } from '../checkpoint/checkpoint.ts';
import { float32ToBfloat16, float32ToFloat16 } from '../checkpoint/dtypes.ts';
import { openModel } from '../checkpoint/load.node.ts';
import { families } from '../families/registry.ts';
import { bpeTokenizerConfig, trainBpe } from '../tokenizer/bpe-trainer.ts';
import { exportHuggingFace } from './hf.node.ts';
import { exportOnnx } from './onnx.node.ts';
import type { ExportSource } from './source.node.ts';

const reference = fileURLToPath(new URL('../../test/reference/', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'ropewalk-export-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const tokenizer = trainBpe(['once upon a time there was a rope'], { vocabSize: 260 });

/** A copy of a reference case with a tokenizer, a chat template and generation settings beside it. */
function modelFolder(name: string, change: (config: Record<string, unknown>) => void = () => {}): string {
  const folder = mkdtempSync(join(scratch, `${name}-`));
  const config = JSON.parse(readFileSync(`${reference}${name}/config.json`, 'utf8'));
  change(config);
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'model.safetensors'), readFileSync(`${reference}${name}/model.safetensors`));
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
  writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(bpeTokenizerConfig(tokenizer)));
  writeFileSync(join(folder, 'chat_template.jinja'), '{{ messages }}');
  writeFileSync(join(folder, 'generation_config.json'), '{"eos_token_id": [5, 6], "temperature": 0.6}');
  return folder;
}

async function withSource<T>(folder: string, use: (source: ExportSource) => Promise<T>): Promise<T> {
  const opened = await openModel(folder);
  try {
    return await use(opened);
  } finally {
    await opened.checkpoint.tensors.close();
  }
}

async function weightsOf(folder: string): Promise<Map<string, Float32Array>> {
  const { model, names, checkpoint } = await openModel(folder);
  const weights = new Map<string, Float32Array>();
  for (const path of model.parameters().keys()) {
    weights.set(path, await checkpoint.tensors.readFloat32(names.get(path)!));
  }
  await checkpoint.tensors.close();
  return weights;
}

const json = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
const target = (name: string) => join(mkdtempSync(join(scratch, 'out-')), name);

describe('an exported Hugging Face directory', () => {
  it.each([...families.map((family) => family.name), 'llama-untied'])(
    'holds the weights of %s bit for bit, and copies its files unchanged',
    async (name) => {
      const folder = modelFolder(name);
      const out = target('model');
      const result = await withSource(folder, (source) => exportHuggingFace(source, out));
      expect(await weightsOf(out)).toEqual(await weightsOf(folder));
      for (const file of ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja']) {
        expect(readFileSync(join(out, file))).toEqual(readFileSync(join(folder, file)));
      }
      expect(json(join(out, 'generation_config.json'))).toEqual({ eos_token_id: [5, 6], temperature: 0.6 });
      expect(result.files.map((file) => file.name).sort()).toEqual(readdirSync(out).sort());
      for (const file of result.files) expect(statSync(join(out, file.name)).size).toBe(file.bytes);
    },
  );

  it.each([
    ['float16', float32ToFloat16],
    ['bfloat16', float32ToBfloat16],
  ] as const)('holds weights rounded to %s and says so in its config', async (dtype, round) => {
    const folder = modelFolder('llama');
    const out = target('model');
    await withSource(folder, (source) => exportHuggingFace(source, out, { dtype }));
    expect(json(join(out, 'config.json'))).toMatchObject({ dtype, torch_dtype: dtype });
    const codes = (values: Float32Array) => {
      const rounded = new Uint16Array(values.length);
      round(values, rounded);
      return rounded;
    };
    const written = await weightsOf(out);
    // What was rounded once is exact: rounding it again gives the same codes.
    for (const [path, values] of await weightsOf(folder)) {
      expect(codes(written.get(path)!)).toEqual(codes(values));
    }
  });

  it('is split into shards with an index, reading one weight at a time', async () => {
    const folder = modelFolder('llama');
    const out = target('model');
    const limit = 20000;
    let reading = 0;
    const steps: number[] = [];
    await withSource(folder, (source) => {
      const readFloat32 = async (name: string) => {
        expect(reading++).toBe(0);
        const values = await source.checkpoint.tensors.readFloat32(name);
        reading--;
        return values;
      };
      const checkpoint = { ...source.checkpoint, tensors: { readFloat32 } };
      const onProgress = (bytes: number, total: number) => steps.push(bytes / total);
      return exportHuggingFace({ ...source, checkpoint }, out, { maxShardBytes: limit, onProgress });
    });
    const shards = readdirSync(out).filter((name) => name.endsWith('.safetensors'));
    expect(shards.length).toBeGreaterThan(2);
    for (const shard of shards) expect(statSync(join(out, shard)).size).toBeLessThan(limit + 4096);
    expect(existsSync(join(out, 'model.safetensors.index.json'))).toBe(true);
    expect(await weightsOf(out)).toEqual(await weightsOf(folder));
    expect(steps.at(-1)).toBe(1);
    expect(steps).toEqual(steps.toSorted((a, b) => a - b));
  });

  it('keeps config fields that Ropewalk does not know, and drops those that no longer hold', async () => {
    const folder = modelFolder('llama', (config) => {
      Object.assign(config, {
        my_note: 'kept',
        auto_map: { AutoConfig: 'evil.py' },
        _name_or_path: '/home/x',
      });
    });
    const out = target('model');
    await withSource(folder, (source) => exportHuggingFace(source, out));
    const config = json(join(out, 'config.json'));
    expect(config.my_note).toBe('kept');
    expect(config).not.toHaveProperty('auto_map');
    expect(config).not.toHaveProperty('_name_or_path');
  });

  it('contains the tokenizer of a checkpoint that is a single file', async () => {
    const folder = modelFolder('llama');
    const out = target('model');
    // A word that is also the name of a float field: its id must stay whole.
    const words = { ...tokenizer, model: { ...tokenizer.model, vocab: { temperature: 7 } } };
    const files: TokenizerFiles = { tokenizer: words, config: { chat_template: '{{ bos_token }}' } };
    await withSource(folder, (source) => {
      const path = join(folder, 'model.safetensors');
      return exportHuggingFace(
        { ...source, checkpoint: { ...source.checkpoint, path, tokenizerFiles: async () => files } },
        out,
      );
    });
    expect(json(join(out, 'tokenizer.json'))).toEqual(JSON.parse(JSON.stringify(words)));
    expect(readFileSync(join(out, 'tokenizer.json'), 'utf8')).toMatch(/"temperature": 7\n/);
    expect(json(join(out, 'tokenizer_config.json'))).toEqual({ chat_template: '{{ bos_token }}' });
  });
});

describe('an exported ONNX directory', () => {
  it('has the layout that transformers.js expects', async () => {
    const folder = modelFolder('gemma2');
    const out = target('model');
    const result = await withSource(folder, (source) => exportOnnx(source, out, { cache: 'both' }));
    expect(result.files.map(({ name }) => name)).toEqual([
      'chat_template.jinja',
      'config.json',
      'generation_config.json',
      'onnx/model.onnx',
      'onnx/model.onnx_data',
      'onnx/model_no_cache.onnx',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    expect(json(join(out, 'config.json'))).toMatchObject({
      model_type: 'gemma2',
      'transformers.js_config': { dtype: 'fp32', use_external_data_format: { 'model.onnx': 1 } },
    });
    // transformers.js reads a chat template from nowhere else.
    expect(json(join(out, 'tokenizer_config.json'))).toEqual({
      ...json(join(folder, 'tokenizer_config.json')),
      chat_template: '{{ messages }}',
    });
    expect(result.notes).toEqual([]);
    expect(result.parameters).toBe((await openParameters(folder)).parameterCount);
  });

  it('gets a tokenizer_config.json when there is none, and a warning names what is left out', async () => {
    const folder = modelFolder('gpt');
    rmSync(join(folder, 'tokenizer_config.json'));
    rmSync(join(folder, 'generation_config.json'));
    const out = target('model');
    const { notes } = await withSource(folder, (source) => exportOnnx(source, out));
    expect(json(join(out, 'tokenizer_config.json'))).toMatchObject({
      tokenizer_class: 'PreTrainedTokenizerFast',
    });
    expect(existsSync(join(out, 'generation_config.json'))).toBe(true);
    expect(notes).toEqual([expect.stringContaining('no class for model_type "ctrl"')]);
    rmSync(join(folder, 'tokenizer.json'));
    const bare = await withSource(folder, (source) => exportOnnx(source, out));
    expect(bare.notes[0]).toContain('has no tokenizer.json');
  });

  it('stores matrices in float16, and numbers that it cannot hold are refused', async () => {
    const folder = modelFolder('llama');
    const [full, half] = [target('full'), target('half')];
    await withSource(folder, (source) => exportOnnx(source, full));
    await withSource(folder, (source) => exportOnnx(source, half, { dtype: 'float16' }));
    const size = (out: string) => statSync(join(out, 'onnx/model.onnx_data')).size;
    expect(size(half)).toBeLessThan(0.6 * size(full));
    const tooLarge = withSource(folder, (source) => {
      const readFloat32 = async (name: string) =>
        (await source.checkpoint.tensors.readFloat32(name)).fill(7e4);
      const checkpoint = { ...source.checkpoint, tensors: { readFloat32 } };
      return exportOnnx({ ...source, checkpoint }, target('none'), { dtype: 'float16' });
    });
    await expect(tooLarge).rejects.toThrow(/"model\..*" contains 70000, but the largest float16 is 65504/);
  });
});

describe.each([
  ['hf', exportHuggingFace],
  ['onnx', exportOnnx],
] as const)('exporting to %s over what already exists', (_format, write) => {
  it('replaces an earlier export', async () => {
    const folder = modelFolder('llama');
    const out = target('model');
    await withSource(folder, (source) => write(source, out));
    const first = readdirSync(out, { recursive: true }).sort();
    await withSource(folder, (source) => write(source, out));
    expect(readdirSync(out, { recursive: true }).sort()).toEqual(first);
    expect(readdirSync(join(out, '..'))).toEqual(['model']);
  });

  it('refuses a folder with other files, and the model itself', async () => {
    const folder = modelFolder('llama');
    const out = target('model');
    mkdirSync(join(out, 'deep'), { recursive: true });
    writeFileSync(join(out, 'deep', 'thesis.txt'), 'years of work');
    const refused = withSource(folder, (source) => write(source, out));
    await expect(refused).rejects.toThrow('that would remove deep/thesis.txt');
    expect(readFileSync(join(out, 'deep', 'thesis.txt'), 'utf8')).toBe('years of work');
    await expect(withSource(folder, (source) => write(source, folder))).rejects.toThrow(
      'it is the source model',
    );
  });

  it('refuses a file in its place', async () => {
    const folder = modelFolder('llama');
    const out = target('model');
    writeFileSync(out, 'text');
    await expect(withSource(folder, (source) => write(source, out))).rejects.toThrow(/cannot write .*model/);
  });

  it('leaves nothing behind when reading fails halfway', async () => {
    const folder = modelFolder('llama');
    const out = target('model');
    const broken = withSource(folder, (source) => {
      let count = 0;
      const readFloat32 = async (name: string) => {
        if (++count > 3) throw new Error('the disk went away');
        return source.checkpoint.tensors.readFloat32(name);
      };
      return write({ ...source, checkpoint: { ...source.checkpoint, tensors: { readFloat32 } } }, out);
    });
    await expect(broken).rejects.toThrow('the disk went away');
    expect(readdirSync(join(out, '..'))).toEqual([]);
  });
});

async function openParameters(folder: string) {
  const { model, checkpoint } = await openModel(folder);
  await checkpoint.tensors.close();
  return { parameterCount: model.parameterCount() };
}
