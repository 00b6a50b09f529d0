import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, it, vi } from 'vitest';
import type { CausalLM } from '../src/families/family.ts';
import { findPreset } from '../src/families/registry.ts';
import { Decoder } from '../src/generation/decoder.ts';
import type { WeightSource } from '../src/onnx/weights.ts';
import { ChainedSession } from '../src/runtime/chained-session.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { FAMILIES } from './helpers/families.ts';
import { layoutTests } from './helpers/layouts.node.ts';
import { randomIds, randomWeights } from './helpers/random-models.node.ts';

/** Large models are cut into parts, which the engine prepares at the same time. Here, small ones are. */

const { remove, newCache, run, onlyLayout, gguf } = layoutTests('parts');
afterAll(remove);

const engine = (parts: number) => nodeEngine({ threads: 1, parts });

async function logitsOf(decoder: Decoder, ids: Int32Array): Promise<Float32Array[]> {
  const cache = decoder.newCache();
  const all: Float32Array[] = [];
  for (const [start, end] of [
    [0, 9],
    [9, 10],
    [10, 11],
    [11, 16],
  ])
    all.push((await decoder.forward(ids.subarray(start, end), cache, 'all')).slice());
  await decoder.release();
  return all;
}

/** Weights whose rows the host looks up, as it does for a model that was opened: a tied table is then used in one place. */
function lookedUp(model: CausalLM): Map<string, WeightSource> {
  const parameters = model.parameters();
  return new Map(
    [...randomWeights(model, 3)].map(([path, source]) => {
      const { data } = source as { data: Float32Array };
      const width = parameters.get(path)!.shape.at(-1)!;
      const read = (row: number, target: Float32Array, at: number) =>
        target.set(data.subarray(row * width, (row + 1) * width), at);
      return [path, { data, rows: { width, read } }];
    }),
  );
}

describe('a model in parts', () => {
  it.each(FAMILIES)('has the same bits as in one: %s', async (name) => {
    const { family, preset } = findPreset(`${name}/tiny`)!;
    const model = family.build(preset.config);
    const weights = lookedUp(model);
    const ids = randomIds(16, model.config.vocab_size, 4);
    const whole = await logitsOf(await Decoder.create(engine(1), model, weights), ids);
    const runs = vi.spyOn(ChainedSession.prototype, 'run');
    for (const parts of [2, 3])
      expect(await logitsOf(await Decoder.create(engine(parts), model, weights), ids)).toEqual(whole);
    expect(runs).toHaveBeenCalledTimes(8);
    runs.mockRestore();
  });

  it.each(['Q8_0', 'Q4_0', 'Q6_K'] as const)('starts from one layout: %s', async (type) => {
    newCache();
    const model = gguf(type);
    const plain = await run(model, { layoutCache: false });
    expect((await run(model, { engine: engine(2), layoutCache: false })).logits).toEqual(plain.logits);
    const first = await run(model, { engine: engine(2) });
    const second = await run(model, { engine: engine(2) });
    expect(first).toEqual({ logits: plain.logits, read: true });
    expect(second).toEqual({ logits: plain.logits, read: false });
    const path = onlyLayout();
    const good = readFileSync(path);
    for (const share of [0.1, 0.9]) {
      const bad = Uint8Array.from(good);
      bad[Math.floor(share * bad.length)]! ^= 4;
      writeFileSync(`${path}.bad`, bad);
      renameSync(`${path}.bad`, path);
      expect((await run(model, { engine: engine(2) })).logits).toEqual(plain.logits);
      expect(readFileSync(path).equals(good)).toBe(true);
    }
  });

  it('fails as a whole if one part fails', async () => {
    const { family, preset } = findPreset('llama/tiny')!;
    const model = family.build(preset.config);
    const weights = lookedUp(model);
    const last = [...weights.keys()].at(-1)!;
    weights.set(last, { read: () => Promise.reject(new Error('cannot be read')) });
    await expect(Decoder.create(engine(2), model, weights)).rejects.toThrow('cannot be read');
  });
});
