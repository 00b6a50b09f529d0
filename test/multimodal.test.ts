import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openModel } from '../src/checkpoint/load.node.ts';
import { openSafetensors } from '../src/checkpoint/safetensors/safetensors-file.ts';
import { weightSources } from '../src/checkpoint/weight-sources.node.ts';
import { modelFromConfig } from '../src/families/registry.ts';
import { FileSource } from '../src/files/file.node.ts';
import { Decoder } from '../src/generation/decoder.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { scratch } from './helpers/models.node.ts';

/** The text part of a Gemma 3 with vision, as transformers 5.18 saves it (make_gemma3_vision.py beside the files). */
const fixture = fileURLToPath(new URL('../src/checkpoint/fixtures/gemma3-vision/', import.meta.url));
const engine = nodeEngine({ threads: 1 });

/** The largest difference from transformers' logits, of the largest logit. */
async function difference(path: string): Promise<number> {
  const opened = await openModel(path);
  const source = await FileSource.open(`${fixture}expected.safetensors`);
  const expected = await openSafetensors(source);
  const ids = Int32Array.from(await expected.readInts('ids'));
  const logits = await expected.readFloat32('logits');
  await source.close();
  const { weights, folder, close } = await weightSources(opened);
  const decoder = await Decoder.create(
    engine,
    opened.model,
    weights,
    folder === undefined ? {} : { weightsFolder: folder },
  );
  const actual = await decoder.forward(ids, decoder.newCache(), 'all');
  await decoder.release();
  close();
  await opened.checkpoint.tensors.close();
  const largest = (values: Iterable<number>) => Math.max(...[...values].map(Math.abs));
  expect(actual.length).toBe(logits.length);
  return largest(actual.map((value, i) => value - logits[i]!)) / largest(logits);
}

/** The fixture with other names of tensors: of the same length, so that only the header changes. */
function renamed(folder: string, rename: (name: string) => string): void {
  cpSync(fixture, folder, { recursive: true });
  const file = join(folder, 'model.safetensors');
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<string, unknown>;
  const written = Buffer.from(
    JSON.stringify(Object.fromEntries(Object.entries(header).map(([name, value]) => [rename(name), value]))),
  );
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(written.length));
  writeFileSync(file, Buffer.concat([size, written, bytes.subarray(8 + length)]));
}

describe('a Gemma 3 checkpoint with vision', () => {
  it('runs as a text model, and a warning says what is skipped', async () => {
    const { family, warnings, unused, checkpoint } = await openModel(fixture);
    await checkpoint.tensors.close();
    expect(family.name).toBe('gemma3');
    expect(unused.every((name) => /^(vision_tower|multi_modal_projector)\./.test(name))).toBe(true);
    expect(warnings).toEqual([
      expect.stringMatching(
        /only the text part of this multimodal model runs; \d+ tensors of its other parts are skipped \("multi_modal_projector\./,
      ),
    ]);
    expect(await difference(fixture)).toBeLessThanOrEqual(2e-5);
  });

  it('runs under the module names of transformers 5', async () => {
    const { folder, remove } = scratch('gemma3-vision');
    try {
      const path = join(folder, 'renamed');
      renamed(path, (name) =>
        name
          .replace(/^language_model\.model\./, 'model.language_model.')
          .replace(/^(vision_tower|multi_modal_projector)\./, 'model.$1.'),
      );
      expect(await difference(path)).toBeLessThanOrEqual(2e-5);
    } finally {
      remove();
    }
  });

  it('is refused by the config field that is missing or wrong', () => {
    const config = JSON.parse(readFileSync(`${fixture}config.json`, 'utf8')) as Record<string, unknown>;
    const text = config.text_config as Record<string, unknown>;
    expect(modelFromConfig(config, 'config.json').config.eos_token_id).toEqual([1, 7]);
    expect(() => modelFromConfig({ ...config, text_config: undefined }, 'config.json')).toThrow(
      /config\.json: the field "text_config" must be an object/,
    );
    const wrong = { ...config, text_config: { ...text, sliding_window: 0 } };
    expect(() => modelFromConfig(wrong, 'config.json')).toThrow(
      /config\.json, text_config: the field "sliding_window" must be a whole number of at least 1, but is 0/,
    );
    const bothWays = { ...config, text_config: { ...text, use_bidirectional_attention: true } };
    expect(() => modelFromConfig(bothWays, 'config.json')).toThrow(/use_bidirectional_attention/);
  });
});
