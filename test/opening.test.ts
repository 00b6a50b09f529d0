import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { openModel } from '../src/checkpoint/load.node.ts';
import { ropewalk } from './helpers/cli.node.ts';
import { scratch } from './helpers/models.node.ts';
import { variant, writeVariant } from './helpers/variants.node.ts';

/** Directories that are no model, or none that Ropewalk runs: each is named, with a remedy. */
const { folder, remove } = scratch('opening');
afterAll(remove);
const reference = fileURLToPath(new URL('./reference/', import.meta.url));
let count = 0;

type Json = Readonly<Record<string, unknown>>;
const llama = JSON.parse(readFileSync(`${reference}llama/config.json`, 'utf8')) as Json;
const weights = readFileSync(`${reference}llama/model.safetensors`);

/** A folder with these files; objects are written as JSON. */
function directory(files: Readonly<Record<string, Json | string | Uint8Array>>): string {
  const path = join(folder, String(count++));
  mkdirSync(path);
  for (const [name, content] of Object.entries(files)) {
    const data =
      typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content);
    writeFileSync(join(path, name), data);
  }
  return path;
}

async function refusal(path: string): Promise<string> {
  return openModel(path).then(
    () => 'it was accepted',
    (error: unknown) => (error as Error).message,
  );
}

const POINTER = `version https://git-lfs.github.com/spec/v1\noid sha256:${'a'.repeat(64)}\nsize 4976698672\n`;

describe('opening something else in place of a weights file', () => {
  it.each([
    ['a Git LFS pointer', POINTER, /Git LFS pointer.*git lfs pull/],
    ['a short one', POINTER.slice(0, 68), /git lfs pull/],
    ['a web page', '<!DOCTYPE html><html><head><title>Hugging Face</title></head></html>', /a web page/],
    ['a pickle', Buffer.from('\x80\x02}q\x00(X\x05\x00\x00\x00', 'latin1'), /Python pickle.*save_pretrained/],
    ['a zipped pickle', Buffer.from('PK\x03\x04\x00\x00\x08\x08archive/data.pkl', 'latin1'), /Python pickle/],
    ['a file that ends too soon', weights.subarray(0, 5000), /is incomplete: download or write it again/],
  ])('reports %s as what it is', async (_, content, message) => {
    const said = await refusal(directory({ 'config.json': llama, 'model.safetensors': content }));
    expect(said).toMatch(message);
    expect(said).toContain('model.safetensors');
    if (String(message).includes('incomplete')) return;
    expect(said).not.toMatch(/damaged|incomplete|download or write it again/);
  });

  it('does not report a complete file that contradicts itself as truncated', async () => {
    const header = (text: string, data = 4) => {
      const bytes = Buffer.alloc(8 + text.length + data);
      bytes.writeBigUInt64LE(BigInt(text.length));
      bytes.write(text, 8);
      return bytes;
    };
    const one = (entry: object) => header(JSON.stringify({ a: entry }));
    for (const content of [
      header('{"a":'),
      header('[]', 0),
      one({ dtype: 'F32', shape: [1], data_offsets: [2, 1] }),
      one({ dtype: 'F31', shape: [1], data_offsets: [0, 4] }),
      one({ dtype: 'F32', shape: [2], data_offsets: [0, 4] }),
      one({ dtype: 'F16', shape: [1], data_offsets: [0, 2] }),
    ]) {
      const said = await refusal(directory({ 'config.json': llama, 'model.safetensors': content }));
      expect(said).toMatch(/model\.safetensors: .*damaged or was written incorrectly: get an intact copy/);
      expect(said).not.toContain('download');
    }
    const short = one({ dtype: 'F32', shape: [2], data_offsets: [0, 8] });
    expect(await refusal(directory({ 'config.json': llama, 'model.safetensors': short }))).toMatch(
      /incomplete: download or write it again/,
    );
  });

  it('reports an index without its map, or of other files', async () => {
    const none = directory({ 'config.json': llama, 'model.safetensors.index.json': { metadata: {} } });
    expect(await refusal(none)).toMatch(
      /index\.json: it has no "weight_map" object.*the index that belongs to these files/,
    );
    const weight_map = { 'model.norm.weight': 'a.safetensors', other: 'a.safetensors' };
    const files = { 'config.json': llama, 'a.safetensors': weights };
    const other = await refusal(directory({ ...files, 'model.safetensors.index.json': { weight_map } }));
    expect(other).toMatch(/tensor "other" is listed in .*a\.safetensors but is not there; the index belongs/);
    expect(other).not.toContain('download');
  });

  it('reports it for other files of the model too', async () => {
    expect(await refusal(directory({ 'config.json': POINTER }))).toMatch(/config\.json: .*git lfs pull/);
    const index = directory({ 'config.json': llama, 'model.safetensors.index.json': POINTER });
    expect(await refusal(index)).toMatch(/index\.json: .*git lfs pull/);
    const gguf = join(directory({ 'm.gguf': POINTER }), 'm.gguf');
    expect(await refusal(gguf)).toMatch(/m\.gguf: .*git lfs pull/);
    const sound = directory({
      'config.json': llama,
      'model.safetensors': weights,
      'tokenizer.json': POINTER,
    });
    const { stderr } = await ropewalk(['generate', sound, '--prompt', 'a', '--max-tokens', '1']);
    expect(stderr).toMatch(/tokenizer\.json: .*git lfs pull/);
  });
});

describe('opening something that is not a model', () => {
  it('names it: an adapter, alone and not merged, and a pickle', async () => {
    const adapter = { base_model_name_or_path: 'org/base', peft_type: 'LORA' };
    for (const files of [
      { 'adapter_config.json': adapter },
      { 'config.json': llama, 'adapter_config.json': adapter },
    ])
      expect(await refusal(directory(files as Record<string, Json>))).toMatch(
        /adapter of "org\/base".*merge_and_unload/,
      );
    const path = join(folder, 'unmerged');
    await writeVariant(path, {
      base: 'llama',
      config: llama,
      changes: [
        ...variant('saved under the head, llama').changes.map((change) => ({
          ...change,
          from: 'model.layers.0.self_attn.q_proj.weight',
          to: 'model.layers.0.self_attn.q_proj.base_layer.weight',
        })),
      ],
    });
    expect(await refusal(path)).toMatch(/unmerged adapter.*merge_and_unload/);
    expect(await refusal(directory({ 'config.json': llama, 'pytorch_model.bin': 'x' }))).toMatch(
      /Python pickle/,
    );
  });

  it.each([
    ['gemma4', /Gemma 4, a multimodal model/],
    ['gemma3n_text', /Gemma 3n, another family/],
    ['qwen3_5', /Qwen 3\.5/],
    ['exaone', /EXAONE 3, another family/],
    ['mixtral', /Mixtral, a mixture of experts/],
    ['gpt_oss', /gpt-oss, a mixture of experts/],
    ['llava', /LLaVA, a multimodal model/],
    ['mllama', /Llama 3\.2 Vision/],
    ['constructor', /"constructor" is not supported; supported are/],
  ])('names its model_type: %s', async (model_type, message) => {
    const said = await refusal(
      directory({ 'config.json': { ...llama, model_type }, 'model.safetensors': weights }),
    );
    expect(said).toMatch(message);
    expect(said).toMatch(/supported are ctrl, gpt2, gemma, gemma2, gemma3_text, llama/);
  });

  it('names its fields when the type is supported', async () => {
    for (const [fields, message] of [
      [{ num_local_experts: 8 }, /a mixture of experts/],
      [{ vision_config: { depth: 2 } }, /a multimodal model/],
    ] as const)
      expect(
        await refusal(directory({ 'config.json': { ...llama, ...fields }, 'model.safetensors': weights })),
      ).toMatch(message);
  });
});

/** Weights as other programs quantize them: other shapes, or other names. */
const quantized: readonly (readonly [
  string,
  Json,
  readonly [from: string, to: string, shape: readonly number[]][],
  RegExp,
])[] = [
  [
    'bitsandbytes',
    { quantization_config: { quant_method: 'bitsandbytes', load_in_4bit: true } },
    [['q_proj.weight', 'q_proj.weight', [512, 1]]],
    /quantized by bitsandbytes .*dequantize/,
  ],
  [
    'bitsandbytes, old',
    { quantization_config: { load_in_8bit: true } },
    [['q_proj.weight', 'q_proj.weight', [512, 1]]],
    /quantized by bitsandbytes/,
  ],
  [
    'GPTQ',
    { quantization_config: { quant_method: 'gptq', bits: 4 } },
    [['q_proj.weight', 'q_proj.qweight', [4, 32]]],
    /quantized by GPTQ .*original model or a GGUF/,
  ],
  [
    'AWQ',
    { quantization_config: { quant_method: 'awq', bits: 4 } },
    [['q_proj.weight', 'q_proj.qweight', [32, 4]]],
    /quantized by AWQ/,
  ],
  [
    'GPTQ that its config hides',
    {},
    [['q_proj.weight', 'q_proj.qweight', [4, 32]]],
    /are quantized by "unknown"/,
  ],
  [
    'MLX',
    { quantization: { group_size: 64, bits: 4 } },
    [['q_proj.weight', 'q_proj.weight', [32, 4]]],
    /quantized by MLX \("quantization"/,
  ],
  [
    'FP8',
    { quantization_config: { quant_method: 'fp8' } },
    [['q_proj.weight', 'q_proj.weight', [16, 32]]],
    /quantized by FP8/,
  ],
  [
    'a new method',
    { quantization_config: { quant_method: 'newest' } },
    [['q_proj.weight', 'q_proj.packed', [4]]],
    /quantization_config|quantized by "newest"/,
  ],
];

describe('weights quantized by another program', () => {
  it.each(quantized)('are refused by the name of the program: %s', async (name, fields, changes, message) => {
    const path = join(folder, `quantized-${name.replaceAll(/\W+/g, '-')}`);
    const layer = 'model.layers.0.self_attn.';
    const change = { scale: 1, roll: 0, prefix: '', inner: null };
    await writeVariant(path, {
      base: 'llama',
      config: { ...llama, ...fields },
      changes: changes.flatMap(([from, to, shape]) => [
        { ...change, op: 'move' as const, from: layer + from, to: 'gone', shape: [] },
        { ...change, op: 'zeros' as const, from: '', to: layer + to, shape },
      ]),
    });
    const said = await refusal(path);
    expect(said).toMatch(message);
    expect(said).not.toContain('download it again');
  });

  it('are read when they are plain, with a note in every command', async () => {
    const config = { ...llama, quantization_config: { quant_method: 'bitsandbytes', load_in_4bit: true } };
    const path = directory({ 'config.json': config, 'model.safetensors': weights });
    const opened = await openModel(path);
    await opened.checkpoint.tensors.close();
    expect(opened.warnings).toEqual([
      expect.stringMatching(/quantized by bitsandbytes, but they are not, and are read unchanged/),
    ]);
    const commands = [
      ['score', path, '--ids', '1,2,3', '--json'],
      ['generate', path, '--ids', '1,2', '--max-tokens', '2', '--json'],
      ['inspect', path, '--json'],
      ['inspect', path, '--tree', '--json'],
      ['compare', path, 'llama/tiny', '--json'],
      ['diff', path, 'llama/tiny', '--json'],
      ['export', path, '--to', 'hf', '--out', join(folder, 'plain'), '--json'],
    ];
    for (const command of commands) {
      const { stdout, stderr, code } = await ropewalk(command);
      expect(code, stderr).toBe(0);
      expect((JSON.parse(stdout) as { warnings: string[] }).warnings, command[0]).toEqual(opened.warnings);
      expect(stderr.match(/warning: .*are read unchanged/g), command[0]).toHaveLength(1);
    }
    const quiet = await openModel(join(folder, 'plain'));
    await quiet.checkpoint.tensors.close();
    expect(quiet.warnings).toEqual([]);
  });
});
