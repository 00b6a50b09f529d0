import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openModel, tokenizerOf } from '../src/checkpoint/load.node.ts';
import { saveModelDirectory } from '../src/checkpoint/save.node.ts';
import { exportGguf } from '../src/export/gguf.node.ts';
import { exportHuggingFace } from '../src/export/hf.node.ts';
import { familyByName } from '../src/families/registry.ts';
import { loadHere } from '../src/generation/load-here.node.ts';
import { Random } from '../src/random.ts';
import { addTinyTokenizer } from './helpers/changed-gguf.node.ts';
import { FAMILIES, GGUF_FAMILIES } from './helpers/families.ts';
import { chats, smallFinetune } from './helpers/finetune-run.node.ts';
import { scratch } from './helpers/models.node.ts';
import { relativeError } from './helpers/numbers.ts';
import { tinyTokenizer } from './helpers/tiny-tokenizer.ts';

/**
 * Embeddings with 64 rows more than the tokenizer has tokens, as in Qwen's and some of Gemma 3's checkpoints: their logits are
 * real numbers, and here the largest ones, so that greedy text takes ids without text.
 */
const { folder, remove } = scratch('padded-vocabulary');
afterAll(remove);

const TOKENS = Object.keys((tinyTokenizer().tokenizer.model as { vocab: object }).vocab).length;
const ROWS = TOKENS + 64;
const IDS = [8, 20, 41, 13, TOKENS + 3, 30];

async function model(name: string, change: object = {}): Promise<string> {
  const family = familyByName(name);
  const config = { ...family.presets.tiny!.config, ...change, vocab_size: ROWS };
  const random = new Random(2);
  const path = join(folder, `${name}${Object.keys(change).length}`);
  mkdirSync(path, { recursive: true });
  await saveModelDirectory(path, {
    config: family.writeConfig(config),
    tensors: [...family.build(config).parameters()].map(([tensor, { shape, size }]) => {
      const width = size / ROWS;
      const isTable = shape.includes(ROWS) && shape.length === 2;
      const data = Float32Array.from({ length: size }, (_, i) => {
        const scale = isTable && i >= TOKENS * width ? 2 : 0.3;
        return scale * random.nextGaussian();
      });
      return { name: tensor, shape, data };
    }),
  });
  addTinyTokenizer(path);
  return path;
}

async function logitsOf(path: string): Promise<Float32Array> {
  const { decoder } = await loadHere(path, { threads: 1 });
  const logits = await decoder.forward(IDS, decoder.newCache(), 'all');
  await decoder.release();
  return logits;
}

describe.each(FAMILIES)('a %s model with more embedding rows than tokens', (name) => {
  it('decodes text even when it generates ids without a token', async () => {
    const loaded = await loadHere(await model(name), { threads: 1 });
    const { tokenizer } = loaded;
    expect(tokenizer.vocabSize).toBe(TOKENS);
    const prompt = tokenizer.encode('the and');
    const options = { maxTokens: 24, greedy: true, ignoreEos: true };
    const ids: number[] = [];
    for await (const id of loaded.generateTokens(prompt, options)) ids.push(id);
    expect(ids).toHaveLength(24);
    expect(ids.some((id) => id >= TOKENS)).toBe(true);
    let text = '';
    for await (const piece of loaded.generate('the and', options)) text += piece;
    expect(text).toBe(tokenizer.decode(ids));
    await loaded.release();
  });

  it('keeps the rows in Hugging Face directories, and trains them', async () => {
    const path = await model(name);
    const out = `${path}-hf`;
    const opened = await openModel(path);
    expect(opened.warnings).toEqual([]);
    await exportHuggingFace(opened, out);
    await opened.checkpoint.tensors.close();
    expect(await logitsOf(out)).toEqual(await logitsOf(path));
    writeFileSync(`${path}.jsonl`, chats(30));
    const tuned = `${path}-tuned`;
    const options = { steps: 2, saveEvery: 2, evalEvery: 2, freeze: [], samplePrompt: [] };
    // The new token takes one of the rows: nothing grows.
    await smallFinetune(path, { ...options, out: tuned, addToken: ['<new>'] });
    const { config, checkpoint } = await openModel(tuned);
    expect(config.vocab_size).toBe(ROWS);
    expect((await tokenizerOf(checkpoint))!.tokenToId('<new>')).toBe(TOKENS);
    await checkpoint.tensors.close();
  });
});

/** What the tiny presets have that GGUF has no place for. */
const IN_FORM: Readonly<Record<string, object>> = {
  gemma3: { layer_types: Array.from({ length: 4 }, () => 'sliding_attention') },
  mistral: { sliding_window: null },
  exaone4: { sliding_window: null, layer_types: Array.from({ length: 4 }, () => 'full_attention') },
};

it.each(GGUF_FAMILIES)(
  'exporting %s to GGUF adds a token for each embedding row without one',
  async (name) => {
    const path = await model(name, IN_FORM[name]);
    const file = `${path}.gguf`;
    const opened = await openModel(path);
    await exportGguf(opened, file, { type: 'f32' });
    await opened.checkpoint.tensors.close();
    const back = await openModel(file);
    expect(back.config.vocab_size).toBe(ROWS);
    expect((await tokenizerOf(back.checkpoint))!.idToToken(ROWS - 1)).toBe(`[PAD${ROWS - 1}]`);
    await back.checkpoint.tensors.close();
    expect(relativeError(await logitsOf(file), await logitsOf(path))).toBeLessThan(2e-6);
  },
);
