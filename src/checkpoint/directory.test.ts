import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { fixture } from '../../test/helpers/fixtures.node.ts';
import { openWorkshop, type Workshop } from '../../test/helpers/workshop.node.ts';
import { RopewalkError } from '../errors.ts';
import { openModelDirectory } from './directory.node.ts';
import { type ModelToSave, saveModelDirectory } from './save.node.ts';

const SHARDED = fileURLToPath(new URL('fixtures/sharded-llama', import.meta.url));
const STORIES = fixture('stories260K');

let workshop: Workshop;
let folder: string;
let model: string;
let count = 0;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.remove());
beforeEach(() => {
  folder = join(workshop.folder, `test${count++}`);
  model = join(folder, 'model');
  mkdirSync(folder);
});

const readJson = (name: string) => JSON.parse(readFileSync(join(model, name), 'utf8'));

/** The message of the RopewalkError with which the model does not open. */
async function refusal(path = model): Promise<string> {
  const error = await openModelDirectory(path).then(
    () => new Error('it opened'),
    (reason: Error) => reason,
  );
  expect(error, error.message).toBeInstanceOf(RopewalkError);
  expect(error.message).not.toContain('\n');
  return error.message;
}

const small: ModelToSave = {
  config: { model_type: 'llama', final_logit_softcapping: 30 },
  tensors: [
    { name: 'one', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
    { name: 'two', shape: [3], data: async () => Float32Array.of(5, 6, 1 + 2 ** -20) },
    { name: 'three', shape: [], data: () => Float32Array.of(7) },
  ],
};

describe('opening a model directory', () => {
  test('reads shards that transformers wrote', async () => {
    const { tensors, config, generationConfig, carriedFiles } = await openModelDirectory(SHARDED);
    const sums = JSON.parse(readFileSync(join(SHARDED, 'sums.json'), 'utf8')) as Record<string, number>;
    expect(tensors.names().sort()).toEqual(Object.keys(sums).sort());
    for (const [name, sum] of Object.entries(sums)) {
      const values = await tensors.readFloat32(name);
      expect(
        values.reduce((a, b) => a + b, 0),
        name,
      ).toBeCloseTo(sum, 12);
    }
    const info = tensors.info('model.embed_tokens.weight');
    expect(info).toMatchObject({ dtype: 'BF16', shape: [11, 8], byteLength: 176 });
    expect(info.file).toBe(join(SHARDED, 'model-00001-of-00003.safetensors'));
    expect(config.model_type).toBe('llama');
    expect(generationConfig?.eos_token_id).toEqual([2, 3]);
    expect(carriedFiles).toEqual([]);
    expect(tensors.has('lm_head.weight')).toBe(false);
    expect(() => tensors.info('lm_head.weight')).toThrow(
      /there is no tensor "lm_head.weight" in .*00001-of-00003/,
    );
    await tensors.close();
  });

  test('reads back a trained model that was saved', async () => {
    const { tensors, config, carriedFiles } = await openModelDirectory(STORIES);
    expect(carriedFiles).toEqual(['tokenizer.json']);
    const list = tensors.names().map((name) => ({
      name,
      shape: tensors.info(name).shape,
      data: () => tensors.readFloat32(name),
    }));
    await saveModelDirectory(model, { config, tensors: list, carryFrom: STORIES, maxShardBytes: 300_000 });
    const copy = await openModelDirectory(model);
    expect(copy.tensors.names()).toEqual(tensors.names());
    for (const name of tensors.names()) {
      const [read, original] = [await copy.tensors.readFloat32(name), await tensors.readFloat32(name)];
      expect(Buffer.compare(Buffer.from(read.buffer), Buffer.from(original.buffer)), name).toBe(0);
    }
    expect(readFileSync(join(model, 'tokenizer.json'))).toEqual(
      readFileSync(join(STORIES, 'tokenizer.json')),
    );
    await tensors.close();
    await copy.tensors.close();
  });

  test("follows the Hugging Face cache's links into its blobs", async () => {
    const snapshot = join(folder, 'snapshots', 'abc');
    mkdirSync(snapshot, { recursive: true });
    mkdirSync(join(folder, 'blobs'));
    for (const [i, name] of readdirSync(SHARDED).entries()) {
      copyFileSync(join(SHARDED, name), join(folder, 'blobs', String(i)));
      symlinkSync(`../../blobs/${i}`, join(snapshot, name));
    }
    const { tensors } = await openModelDirectory(snapshot);
    expect(await tensors.readFloat32('model.norm.weight')).toEqual(new Float32Array(8).fill(1));
    await tensors.close();
  });

  test('recovers a save that was interrupted in the middle of its swap', async () => {
    cpSync(SHARDED, join(folder, '.model.old'), { recursive: true });
    cpSync(SHARDED, join(folder, '.model.new'), { recursive: true });
    writeFileSync(join(folder, '.model.new', 'config.json'), '{"new": true}');
    const { config, tensors } = await openModelDirectory(model);
    await tensors.close();
    expect(config).toEqual({ new: true });
    expect(readdirSync(folder)).toEqual(['model']);
  });
});

describe('opening an unsound model directory', () => {
  const INDEX = 'model.safetensors.index.json';
  beforeEach(() => cpSync(SHARDED, model, { recursive: true }));
  const setIndex = (change: (map: Record<string, unknown>) => void) => {
    const index = readJson(INDEX);
    change(index.weight_map);
    writeFileSync(join(model, INDEX), JSON.stringify(index));
  };

  test('refuses a missing folder, a file, and a folder without configuration or weights', async () => {
    expect(await refusal(join(folder, 'none'))).toMatch(
      /cannot open the model .*none: no such file or folder/,
    );
    expect(await refusal(join(model, 'config.json'))).toMatch(/config\.json: it is a file; name the folder/);
    expect(await refusal(join(model, 'config.json', 'x'))).toMatch(/part of the path is a file/);
    rmSync(join(model, INDEX));
    expect(await refusal()).toMatch(
      /it has neither model\.safetensors nor model\.safetensors\.index\.json; download/,
    );
    rmSync(join(model, 'config.json'));
    expect(await refusal()).toMatch(/model: it has no config\.json; name the folder of a Hugging Face model/);
  });

  test('refuses a pickle', async () => {
    rmSync(join(model, INDEX));
    writeFileSync(join(model, 'pytorch_model-00001-of-00002.bin'), '');
    expect(await refusal()).toMatch(
      /pytorch_model-00001-of-00002\.bin, a Python pickle, .* convert it to safetensors/,
    );
  });

  test('refuses a configuration that is not JSON, not an object, not UTF-8, or a folder', async () => {
    writeFileSync(join(model, 'config.json'), '{"a": ');
    expect(await refusal()).toMatch(/config\.json: it is not JSON: /);
    writeFileSync(join(model, 'config.json'), '{\n  "vocab_size": eleven\n}\n'); // the engine quotes the lines
    expect(await refusal()).toMatch(/config\.json: it is not JSON: /);
    writeFileSync(join(model, 'config.json'), '[]');
    expect(await refusal()).toMatch(/config\.json: it does not contain a JSON object/);
    writeFileSync(join(model, 'config.json'), Uint8Array.of(0x7b, 0xff, 0x7d));
    expect(await refusal()).toMatch(/config\.json: it is not UTF-8 text/);
    rmSync(join(model, 'config.json'));
    mkdirSync(join(model, 'config.json'));
    expect(await refusal()).toMatch(/cannot read .*config\.json: it is a folder/);
  });

  test.each(['../outside.safetensors', '/etc/passwd', 'a/../../b', '..', '', 'a\\b', 'C:x', 'x\0', 3, null])(
    'refuses a shard named %j',
    async (name) => {
      setIndex((map) => {
        map['model.norm.weight'] = name;
      });
      expect(await refusal()).toMatch(
        /index\.json: tensor "model\.norm\.weight" is listed in .* not the name of a file in this folder; refused/,
      );
    },
  );

  test('refuses a shard that links out of the folder', async () => {
    const shard = join(model, 'model-00003-of-00003.safetensors');
    copyFileSync(shard, join(folder, 'elsewhere.safetensors'));
    rmSync(shard);
    symlinkSync('../elsewhere.safetensors', shard);
    expect(await refusal()).toMatch(
      /00003-of-00003\.safetensors: it is a symbolic link that leaves its folder; refused/,
    );
  });

  test('does not carry along a tokenizer that links out of the folder', async () => {
    symlinkSync('/etc/passwd', join(model, 'tokenizer.json'));
    expect(await refusal()).toMatch(/tokenizer\.json: it is a symbolic link that leaves its folder; refused/);
  });

  test('refuses an index without a map, with a missing shard, or with a tensor in the wrong shard', async () => {
    setIndex((map) => {
      map['model.norm.weight'] = 'model-00001-of-00003.safetensors';
    });
    expect(await refusal()).toMatch(
      /"model\.norm\.weight" is listed in .*00001-of-00003\.safetensors but is not/,
    );
    setIndex((map) => {
      map['model.norm.weight'] = 'model-00004-of-00003.safetensors';
    });
    expect(await refusal()).toMatch(/the shard "model-00004-of-00003\.safetensors" is missing; download it/);
    writeFileSync(join(model, INDEX), `{"weight_map": {"a": ${'['.repeat(1e6)}${']'.repeat(1e6)}}}`);
    expect(await refusal()).toMatch(/tensor "a" is listed in \[\[…\]\], which is not the name/);
    writeFileSync(join(model, INDEX), '{"weight_map": []}');
    expect(await refusal()).toMatch(/index\.json: it has no "weight_map" object/);
  });

  test.each(['config.json', 'tokenizer.json', 'model-00002-of-00003.safetensors'])(
    'reports a pipe named %s as an error instead of waiting for its other end',
    async (name) => {
      rmSync(join(model, name), { force: true });
      if (spawnSync('mkfifo', [join(model, name)]).status !== 0) {
        console.log('skipped: this system makes no pipes in folders');
        return;
      }
      expect(await refusal()).toContain(`cannot read ${join(model, name)}: it is not a regular file`);
    },
  );

  test('refuses a truncated shard', async () => {
    truncateSync(join(model, 'model-00002-of-00003.safetensors'), 1500);
    expect(await refusal()).toMatch(
      /00002-of-00003\.safetensors: tensor ".*": data_offsets .* lie outside the file/,
    );
  });
});

describe('saving a model directory', () => {
  test('writes config, index, shards and files as Hugging Face does', async () => {
    const carryFrom = join(folder, 'source');
    mkdirSync(carryFrom);
    for (const name of ['tokenizer.json', 'merges.txt', 'generation_config.json', 'README.md']) {
      writeFileSync(join(carryFrom, name), name);
    }
    chmodSync(join(carryFrom, 'merges.txt'), 0o444);
    const files = [{ name: 'tokenizer.json', data: '{"mine": 1}' }];
    await saveModelDirectory(model, { ...small, dtype: 'BF16', maxShardBytes: 12, files, carryFrom });
    expect(readdirSync(model).sort()).toEqual([
      'config.json',
      'generation_config.json',
      'merges.txt',
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
      'tokenizer.json',
    ]);
    expect(readJson('model.safetensors.index.json')).toEqual({
      metadata: { total_parameters: 8, total_size: 16 },
      weight_map: {
        one: 'model-00001-of-00002.safetensors',
        two: 'model-00002-of-00002.safetensors',
        three: 'model-00002-of-00002.safetensors',
      },
    });
    expect(readJson('config.json')).toEqual({ ...small.config, dtype: 'bfloat16', torch_dtype: 'bfloat16' });
    expect(readFileSync(join(model, 'config.json'), 'utf8')).toContain('"final_logit_softcapping": 30.0');
    expect(readJson('tokenizer.json')).toEqual({ mine: 1 });
    const { tensors } = await openModelDirectory(model).catch(() => {
      writeFileSync(join(model, 'generation_config.json'), '{}'); // the source's was no JSON
      return openModelDirectory(model);
    });
    expect([...(await tensors.readFloat32('two'))]).toEqual([5, 6, 1]);
    expect(tensors.info('three')).toMatchObject({ dtype: 'BF16', shape: [] });
    await tensors.close();
  });

  test('replaces itself, carrying along its own tokenizer and using its own weights', async () => {
    await saveModelDirectory(model, {
      ...small,
      files: [{ name: 'tokenizer.json', data: '{}' }],
      maxShardBytes: 16,
    });
    const { tensors, config } = await openModelDirectory(model);
    const list = tensors.names().map((name) => ({
      name,
      shape: tensors.info(name).shape,
      data: () => tensors.readFloat32(name),
    }));
    await saveModelDirectory(model, {
      config,
      tensors: list,
      carryFrom: model,
      generationConfig: { top_p: 1 },
    });
    await tensors.close();
    expect(readdirSync(model).sort()).toEqual([
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'tokenizer.json',
    ]);
    expect(readFileSync(join(model, 'generation_config.json'), 'utf8')).toBe('{\n  "top_p": 1.0\n}\n');
  });

  test('refuses a folder with other files, and keeps the old model when it fails', async () => {
    await saveModelDirectory(model, small);
    const before = readFileSync(join(model, 'model.safetensors'));
    const fails = {
      name: 'late',
      shape: [1],
      data: () => Promise.reject(new RopewalkError('no such weight')),
    };
    await expect(saveModelDirectory(model, { ...small, tensors: [...small.tensors, fails] })).rejects.toThrow(
      'no such weight',
    );
    await expect(
      saveModelDirectory(model, { ...small, tensors: [...small.tensors, ...small.tensors] }),
    ).rejects.toThrow(/same name/);
    await expect(saveModelDirectory(model, { ...small, maxShardBytes: Number.NaN })).rejects.toThrow(
      /maxShardBytes/,
    );
    await expect(
      saveModelDirectory(model, { ...small, files: [{ name: '../escape', data: '' }] }),
    ).rejects.toThrow(/"..\/escape" is not the name of a file/);
    await expect(saveModelDirectory(model, { ...small, carryFrom: join(folder, 'none') })).rejects.toThrow(
      /none: no such file or folder/,
    );
    expect(readFileSync(join(model, 'model.safetensors'))).toEqual(before);
    expect(readdirSync(folder)).toEqual(['model']);
    writeFileSync(join(model, 'thesis.tex'), '');
    await expect(saveModelDirectory(model, small)).rejects.toThrow(
      /cannot save into .*model: that would remove thesis\.tex, .* choose a new folder/,
    );
    expect(existsSync(join(model, 'thesis.tex'))).toBe(true);
  });
});

describe('the memory of loading and saving', () => {
  /** A sparse file with one tensor of `bytes` zeros. */
  function sparse(dtype: string, elements: number, bytes: number): string {
    const header = JSON.stringify({ w: { dtype, shape: [elements], data_offsets: [0, bytes] } });
    const path = join(folder, `${dtype}.safetensors`);
    const prefix = new Uint8Array(8);
    new DataView(prefix.buffer).setBigUint64(0, BigInt(header.length), true);
    writeFileSync(path, Buffer.concat([prefix, Buffer.from(header)]));
    truncateSync(path, 8 + header.length + bytes);
    return path;
  }

  test.each([
    ['F32', 4],
    ['BF16', 2],
  ])('holds 200 MiB of float32 from %s only once', (dtype, size) => {
    const elements = 50 * 2 ** 20;
    const { stdout } = workshop.run(['read', sparse(dtype, elements, elements * size)]);
    expect(Number(stdout)).toBeGreaterThan(190);
    expect(Number(stdout)).toBeLessThan(260);
  });

  test.each(['F32', 'F16'])(
    'grows little when 200 MiB are written as %s from an array of 50 MiB',
    (dtype) => {
      const { stdout } = workshop.run(['write', join(folder, 'out.safetensors'), 12.5 * 2 ** 20, 4, dtype]);
      expect(Number(stdout)).toBeGreaterThan(45);
      expect(Number(stdout)).toBeLessThan(65);
    },
  );
});
