import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer as RustTokenizer } from 'tokenizers';
import { afterAll, describe, expect, it } from 'vitest';
import { openModel } from '../src/checkpoint/load.node.ts';
import { readNewTokens } from '../src/checkpoint/new-tokens.node.ts';
import { openTokenizer } from '../src/checkpoint/tokenizer.node.ts';
import { exportGguf } from '../src/export/gguf.node.ts';
import { exportHuggingFace } from '../src/export/hf.node.ts';
import { exportQuantized } from '../src/export/quantized.node.ts';
import { loadHere } from '../src/generation/load-here.node.ts';
import { scoreModel } from '../src/generation/score-model.node.ts';
import { withoutNewTokens } from '../src/tokenizer/extend/without-new-tokens.ts';
import { type ExtendOptions, extendModel } from '../src/vocabulary/extend.node.ts';
import { holdOut } from '../src/vocabulary/hold-out.ts';
import { fixture } from './helpers/fixtures.node.ts';
import { saveUntrained, scratch } from './helpers/models.node.ts';

const { folder, remove } = scratch('vocabulary');
afterAll(remove);
let made = 0;
const place = () => join(folder, `model${made++}`);

const KOREAN = '옛날 옛적에 나무꾼이 살았습니다. 나무꾼은 숲에서 사슴을 만났습니다.\n'.repeat(4);
const ENGLISH = 'a ropewalk is a long straight lane';
const ADD = 24;

/** An untrained model whose tokenizer knows English best. */
async function base(config: Readonly<Record<string, unknown>> = {}, preset = 'llama/tiny'): Promise<string> {
  const path = place();
  await saveUntrained(path, config, preset);
  return path;
}

async function extended(
  model: string,
  options: Partial<ExtendOptions> = {},
  texts = [KOREAN],
  out = place(),
) {
  const opened = await openModel(model);
  try {
    return { out, result: await extendModel(opened, out, texts, { add: ADD, threads: 1, ...options }) };
  } finally {
    await opened.checkpoint.tensors.close();
  }
}

async function weightsOf(path: string): Promise<Map<string, { dtype: string; values: Float32Array }>> {
  const { checkpoint, names } = await openModel(path);
  const weights = new Map<string, { dtype: string; values: Float32Array }>();
  for (const [name, stored] of names) {
    const { dtype } = checkpoint.tensors.info(stored);
    weights.set(name, { dtype, values: await checkpoint.tensors.readFloat32(stored) });
  }
  await checkpoint.tensors.close();
  return weights;
}

/** Whether arrays have the same bits. */
function same(a: Float32Array, b: Float32Array): boolean {
  const bytes = ({ buffer, byteOffset, byteLength }: Float32Array) =>
    Buffer.from(buffer, byteOffset, byteLength);
  return bytes(a).equals(bytes(b));
}

const json = (path: string, name: string) => JSON.parse(readFileSync(join(path, name), 'utf8'));

/** What a new token was written as before, by the merges that made it. */
function piecesOf(
  tokenizer: { model: { vocab: Record<string, number>; merges: [string, string][] } },
  first: number,
) {
  const { vocab, merges } = tokenizer.model;
  const pairs = new Map(merges.map(([left, right]) => [left + right, [left, right] as const]));
  const expand = (token: string): number[] =>
    vocab[token]! < first ? [vocab[token]!] : pairs.get(token)!.flatMap(expand);
  return Object.entries(vocab).flatMap(([token, id]) => (id < first ? [] : [[id, expand(token)] as const]));
}

async function logitsOf(path: string, ids: readonly number[]): Promise<Float32Array> {
  const { decoder } = await loadHere(path, { threads: 1 });
  const logits = await decoder.forward(ids, decoder.newCache(), 'all');
  await decoder.release();
  return logits;
}

const CASES = [
  ['a tied head', {}, 'llama/tiny'],
  ['a head of its own', { tie_word_embeddings: false }, 'llama/tiny'],
  ['GPT-2', {}, 'gpt2/tiny'],
  ['GPT, whose head has a bias', {}, 'gpt/tiny'],
  ['Gemma 2', {}, 'gemma2/tiny'],
  ['padding that has room for some of them', { vocab_size: 310 }, 'llama/tiny'],
  ['padding that has room for all', { vocab_size: 400 }, 'llama/tiny'],
] as const;

describe.each(CASES)('a model with more tokens: %s', (_name, config, preset) => {
  const model = base(config, preset);

  it('has rows that are the mean of those of the old pieces, and every other bit as before', async () => {
    const { out, result } = await extended(await model);
    const { first, vocabSize } = result;
    expect(vocabSize.after).toBe(Math.max(vocabSize.before, first + ADD));
    expect(json(out, 'config.json').vocab_size).toBe(vocabSize.after);
    const [before, after] = [await weightsOf(await model), await weightsOf(out)];
    expect([...after.keys()]).toEqual([...before.keys()]);
    const pieces = piecesOf(json(out, 'tokenizer.json'), first);
    expect(pieces).toHaveLength(ADD);
    let grown = 0;
    for (const [name, { values }] of before) {
      const now = after.get(name)!.values;
      const width = (now.length - values.length) / (vocabSize.after - vocabSize.before || 1);
      const isTable =
        /embed|wte|lm_head|tokens|w\.weight/.test(name) && values.length % vocabSize.before === 0;
      if (!isTable) {
        expect(same(now, values), name).toBe(true);
        continue;
      }
      grown++;
      const rowWidth = width || values.length / vocabSize.before;
      expect(same(now.subarray(0, first * rowWidth), values.subarray(0, first * rowWidth))).toBe(true);
      for (const [id, parts] of pieces) {
        const mean = Float32Array.from({ length: rowWidth }, (_, i) => {
          return parts.reduce((all, part) => all + values[part * rowWidth + i]!, 0) / parts.length;
        });
        expect(same(now.subarray(id * rowWidth, (id + 1) * rowWidth), mean)).toBe(true);
      }
      const last = (first + ADD) * rowWidth;
      expect(same(now.subarray(last), values.subarray(last))).toBe(true);
    }
    expect(grown).toBeGreaterThan(0);
  });

  it('gives the same logits of all old tokens, to the bit, to a text whose ids are those of before', async () => {
    const { out, result } = await extended(await model);
    const tokenizer = await openTokenizer(out);
    const ids = tokenizer.encode(ENGLISH);
    expect(ids).toEqual((await openTokenizer(await model)).encode(ENGLISH));
    const [before, after] = [await logitsOf(await model, ids), await logitsOf(out, ids)];
    const { vocabSize, first } = result;
    for (let row = 0; row < ids.length; row++) {
      const at = row * vocabSize.after;
      const old = before.subarray(row * vocabSize.before, row * vocabSize.before + first);
      expect(same(after.subarray(at, at + first), old)).toBe(true);
    }
  });
});

describe('extending a model', () => {
  it('writes a tokenizer that the Rust library reads alike, a record of the new tokens, and the chat template', async () => {
    const model = await base();
    const { out, result } = await extended(model);
    const tokenizer = await openTokenizer(out);
    const library = RustTokenizer.fromString(readFileSync(join(out, 'tokenizer.json'), 'utf8'));
    for (const text of [KOREAN, ENGLISH, '나무 🪢 rope']) {
      expect(tokenizer.encode(text)).toEqual((await library.encode(text)).getIds());
    }
    expect(library.getVocabSize()).toBe(result.vocabSize.after);
    expect(await readNewTokens(out, result.vocabSize.after)).toEqual({ first: 300, count: ADD, merges: ADD });
    expect(json(out, 'tokenizer_config.json').chat_template).toBe(
      json(model, 'tokenizer_config.json').chat_template,
    );
  });

  it.each(['bfloat16', 'float16'] as const)('keeps weights in %s', async (dtype) => {
    const half = place();
    const opened = await openModel(await base({ tie_word_embeddings: false }));
    await exportHuggingFace(opened, half, { dtype });
    await opened.checkpoint.tensors.close();
    const { out, result } = await extended(half);
    const [before, after] = [await weightsOf(half), await weightsOf(out)];
    for (const [name, { dtype: stored, values }] of before) {
      expect(after.get(name)!.dtype).toBe(stored);
      const now = after.get(name)!.values;
      const kept = now.length === values.length ? values.length : (values.length / 300) * result.first;
      expect(same(now.subarray(0, kept), values.subarray(0, kept))).toBe(true);
    }
    expect(json(out, 'config.json').torch_dtype).toBe(dtype);
  });

  it('exports the result as GGUF with the same ids and logits', async () => {
    const { out } = await extended(await base());
    const opened = await openModel(out);
    const file = `${place()}.gguf`;
    await exportGguf(opened, file, { type: 'f32' });
    await opened.checkpoint.tensors.close();
    const ids = (await openTokenizer(out)).encode(KOREAN.slice(0, 60));
    expect((await openTokenizer(file)).encode(KOREAN.slice(0, 60))).toEqual(ids);
    expect(same(await logitsOf(file, ids), await logitsOf(out, ids))).toBe(true);
  });

  it('extends an extended model again', async () => {
    const { out } = await extended(await base());
    const { out: again, result } = await extended(out, { add: 3 }, ['사슴이 숲으로 갔다 '.repeat(5)]);
    expect(await readNewTokens(again, result.vocabSize.after)).toEqual({
      first: 300 + ADD,
      count: 3,
      merges: 3,
    });
    expect((await openTokenizer(again)).decode([300 + ADD + 2])).not.toBe('');
  });

  it('keeps the model as it was inside: without the new tokens, a text has the ids and the loss of before, to the bit', async () => {
    const model = await base();
    const { out } = await extended(model);
    const record = (await readNewTokens(out, 300 + ADD))!;
    const before = await openTokenizer(model);
    const inside = withoutNewTokens(await openTokenizer(out), record);
    expect(inside.toJSON()).toEqual(before.toJSON());
    for (const text of [ENGLISH, KOREAN.slice(0, 100)]) {
      const ids = before.encode(text);
      const [a, b] = [await openModel(model), await openModel(out)];
      const score = await scoreModel(a, ids, { threads: 1 });
      expect(await scoreModel(b, ids, { threads: 1, omitted: record })).toEqual(score);
      // With them, some probability is theirs.
      const all = await scoreModel(b, ids, { threads: 1 });
      expect(all.meanNegativeLogLikelihood).toBeGreaterThan(score.meanNegativeLogLikelihood);
      await a.checkpoint.tensors.close();
      await b.checkpoint.tensors.close();
    }
  });

  it('adds noise to the rows when asked, the same for the same seed', async () => {
    const model = await base();
    const rows = async (options: Partial<ExtendOptions>) => {
      const { out } = await extended(model, options);
      return (await weightsOf(out)).get('model.embed_tokens.weight')!.values.subarray(300 * 64);
    };
    const mean = await rows({});
    const noisy = await rows({ init: 'noise' });
    expect(noisy).not.toEqual(mean);
    expect(await rows({ init: 'noise', seed: 0 })).toEqual(noisy);
    expect(await rows({ init: 'noise', seed: 1 })).not.toEqual(noisy);
    const distance = noisy.reduce((sum, value, i) => sum + (value - mean[i]!) ** 2, 0);
    expect(distance).toBeLessThan(0.1 * mean.reduce((sum, value) => sum + value ** 2, 0));
  });

  it('reports what it gains on held-out text: fewer tokens, and the loss per byte before and after', async () => {
    const heldOut = '나무꾼은 숲에서 살았습니다.';
    const { result } = await extended(await base(), { heldOut });
    const { costs, loss } = result;
    expect(costs.heldOut).toBe(true);
    expect(costs.after.tokensPerSyllable!).toBeLessThan(0.7 * costs.before.tokensPerSyllable!);
    // An untrained model spreads its probability evenly: a token costs about the logarithm of their number.
    expect(loss!.bytes).toBe(new TextEncoder().encode(heldOut).length);
    expect(loss!.before).toBeCloseTo((Math.log(300) * costs.before.tokens) / loss!.bytes, 0);
    expect(loss!.after).toBeLessThan(loss!.before);
  });
});

describe('an extension that cannot be made leaves nothing behind', () => {
  const refused = async (
    model: string,
    message: string | RegExp,
    ...rest: [Partial<ExtendOptions>?, string[]?]
  ) => {
    const out = place();
    await expect(extended(model, rest[0], rest[1], out)).rejects.toThrow(message);
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(folder).filter((name) => name.includes('.tmp'))).toEqual([]);
  };

  it('when the text offers too few tokens, or is empty', async () => {
    const model = await base();
    await refused(model, /offers \d+ new tokens.*not 5000/, { add: 5000 });
    await refused(model, 'the text offers no new token', {}, ['x']);
    await refused(model, 'the text has no words', {}, ['']);
  });

  it('when weights are quantized, or there is no tokenizer', async () => {
    const quantized = place();
    const opened = await openModel(await base());
    await exportQuantized(opened, quantized, { quantize: { bits: 8, block: 32 } });
    await opened.checkpoint.tensors.close();
    await refused(quantized, /quantized \(int8\).*export the model as a Hugging Face directory/);
    const bare = place();
    mkdirSync(bare);
    const full = await base();
    for (const name of ['config.json', 'model.safetensors']) cpSync(join(full, name), join(bare, name));
    await refused(bare, 'it has no tokenizer');
  });

  it('when the folder has files', async () => {
    const model = await base();
    const out = place();
    mkdirSync(out);
    writeFileSync(join(out, 'mine.txt'), 'mine');
    await expect(extended(model, {}, [KOREAN], out)).rejects.toThrow(
      `${out}: it is not empty; choose a new folder`,
    );
    await expect(extended(model, {}, [KOREAN], model)).rejects.toThrow('choose a new folder');
    expect(readdirSync(out)).toEqual(['mine.txt']);
  });

  it('when it is interrupted while weights are written', async () => {
    const controller = new AbortController();
    await refused(await base(), 'aborted', {
      signal: controller.signal,
      onProgress: (what) => what === 'writing' && controller.abort(),
    });
  });
});

describe('the record of new tokens', () => {
  it.each([
    ['[]', 'it does not contain a JSON object'],
    ['{"new_tokens": 3}', 'the field "new_tokens" is not an object'],
    ['{"new_tokens": {"first": -1, "count": 2, "merges": 2}}', '"new_tokens.first" is not a whole number'],
    ['{"new_tokens": {"first": 1, "count": "2"}}', '"new_tokens.count" is not a whole number'],
    ['{"new_tokens": {"first": 290, "count": 20, "merges": 2}}', 'ends at the id 309, but the model has 300'],
  ])('is refused by file and field when it is wrong: %s', async (text, message) => {
    const path = place();
    mkdirSync(path);
    writeFileSync(join(path, 'ropewalk.json'), text);
    await expect(readNewTokens(path, 300)).rejects.toThrow(message);
  });

  it('is absent where nothing was added', async () => {
    expect(await readNewTokens(fixture('stories260K'), 512)).toBeUndefined();
  });
});

describe('held-out text', () => {
  it('is the end of the texts, from the beginning of a line', () => {
    const lines = Array.from({ length: 20 }, (_, i) => `line ${String(i).padStart(2, '0')}\n`).join('');
    expect(holdOut([lines], 0.1)).toEqual({ texts: [lines.slice(0, 18 * 8)], heldOut: 'line 18\nline 19\n' });
    expect(holdOut(['abc', 'def'], 0.5)).toEqual({ texts: ['abc'], heldOut: 'def' });
    expect(holdOut(['abcd'], 0)).toEqual({ texts: ['abcd'], heldOut: undefined });
    expect(holdOut(['a🪢🪢b'], 0.4).texts).toEqual(['a🪢']);
    expect(() => holdOut(['a'], 1)).toThrow('below 1');
  });
});
