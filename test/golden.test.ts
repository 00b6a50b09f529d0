import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openModel } from '../src/checkpoint/load.node.ts';
import { weightSources } from '../src/checkpoint/weight-sources.node.ts';
import { Decoder, fullLogitsGraph } from '../src/generation/decoder.ts';
import { generateTokens, prefill } from '../src/generation/generate.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { Executable } from '../src/runtime/executable.ts';
import { loadTokenizer } from '../src/tokenizer/tokenizer.node.ts';
import { fixture } from './helpers/fixtures.node.ts';

const engine = nodeEngine({ threads: 2 });

function largest(values: ArrayLike<number>): number {
  return Array.from(values).reduce((max, value) => Math.max(max, Math.abs(value)), 0);
}

function worst(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  return largest(Array.from(actual, (value, i) => value - expected[i]!));
}

async function decoderOf(path: string) {
  const opened = await openModel(path);
  const { weights, folder } = await weightSources(opened);
  const decoder = await Decoder.create(
    engine,
    opened.model,
    weights,
    folder ? { weightsFolder: folder } : {},
  );
  return { opened, weights, folder, decoder };
}

describe('the trained Llama stories260K', () => {
  const path = fixture('stories260K');
  interface Golden {
    prompt_ids: number[];
    greedy_ids: number[];
    text: string;
    last_logits: number[];
    mean_nll?: number;
  }

  it('continues greedily with the golden ids and logits', async () => {
    const golden = JSON.parse(readFileSync(`${path}/golden.json`, 'utf8')) as Golden;
    const { decoder, opened } = await decoderOf(path);
    expect(opened.unused).toEqual([]);
    const ids: number[] = [];
    const options = { greedy: true, maxTokens: golden.greedy_ids.length };
    for await (const id of generateTokens(decoder, golden.prompt_ids, options)) ids.push(id);
    expect(ids).toEqual(golden.greedy_ids);
    const last = await prefill(decoder, decoder.newCache(), [...golden.prompt_ids, ...ids], 7);
    expect(worst(last, golden.last_logits) / largest(golden.last_logits)).toBeLessThan(2e-5);
    expect(loadTokenizer(path).decode([...golden.prompt_ids, ...ids])).toContain('Once upon a time');
    await decoder.release();
    await opened.checkpoint.tensors.close();
  });
});

describe('the trained GPT-2 gpt-nano-sort', () => {
  const path = fixture('gpt-nano-sort');

  it('gives the logits of its authors, both without a cache and token by token', async () => {
    const golden = JSON.parse(readFileSync(`${path}/golden.json`, 'utf8')) as {
      ids: number[][];
      logits: number[][][];
    };
    const { opened, weights, folder, decoder } = await decoderOf(path);
    const ids = Int32Array.from(golden.ids.flat());
    const [batch, seq] = [golden.ids.length, golden.ids[0]!.length];
    const full = await Executable.compile(engine, fullLogitsGraph(opened.model, batch, seq), {
      weights,
      ...(folder && { weightsFolder: folder }),
    });
    const { logits } = await full.run({ input_ids: { data: ids, shape: [ids.length] } });
    const expected = golden.logits.flat(2);
    expect(worst(logits!.data as Float32Array, expected) / largest(expected)).toBeLessThan(2e-5);
    for (const [row, sequence] of golden.ids.entries()) {
      const cache = decoder.newCache();
      for (const [position, id] of sequence.entries()) {
        const one = await decoder.forward([id], cache);
        expect(worst(one, golden.logits[row]![position]!) / largest(expected)).toBeLessThan(2e-5);
      }
    }
    await full.release();
    await decoder.release();
    await opened.checkpoint.tensors.close();
  });
});
