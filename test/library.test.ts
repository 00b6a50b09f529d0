import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  bpeTokenizerConfig,
  findPreset,
  generateTokens,
  initializeWeights,
  load,
  loadHere,
  Random,
  saveModelDirectory,
  Tokenizer,
  trainBpe,
} from '../src/node.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-library-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const shared = new URL('../../shared/data/weights/', import.meta.url).pathname;
const present = existsSync(shared);
if (!present) console.log('skipped: ../shared/data is not here, so no trained checkpoint is loaded');

/** Untrained, so that it says anything: half characters of Korean and emoji among it. */
async function saveUntrained(path: string): Promise<void> {
  const text = '밧줄을 꼬는 긴 길 🪢 a ropewalk is a long straight lane, 로프워크. ';
  const json = trainBpe([text.repeat(20)], { vocabSize: 300 });
  const { family, preset } = findPreset('llama/tiny')!;
  const { vocabSize } = Tokenizer.fromJSON(json);
  const config = { ...preset.config, vocab_size: vocabSize };
  const model = family.build(config);
  const values = new Map([...model.parameters()].map(([name, { size }]) => [name, new Float32Array(size)]));
  initializeWeights(model.parameters(), values, new Random(7));
  await saveModelDirectory(path, {
    config: family.writeConfig(config),
    tensors: [...model.parameters()].map(([name, { shape }]) => ({ name, shape, data: values.get(name)! })),
    files: [
      { name: 'tokenizer.json', data: JSON.stringify(json) },
      { name: 'tokenizer_config.json', data: JSON.stringify(bpeTokenizerConfig(json)) },
    ],
  });
}

describe('load', () => {
  it('continues a text in pieces that join to the text of the tokens, never half a character', async () => {
    const path = join(folder, 'untrained');
    await saveUntrained(path);
    const model = await loadHere(path, { threads: 1 });
    const sampling = { maxTokens: 60, seed: 3, stopTokens: [] };
    const pieces: string[] = [];
    for await (const piece of model.generate('밧줄', sampling)) pieces.push(piece);
    const ids: number[] = [];
    for await (const id of generateTokens(model.decoder, model.tokenizer.encode('밧줄'), sampling))
      ids.push(id);
    expect(pieces.join('')).toBe(model.tokenizer.decode(ids, { skipSpecialTokens: true }));
    expect(pieces.length).toBeGreaterThan(10);
    const stop = pieces.join('').slice(5, 8);
    const stopped: string[] = [];
    for await (const piece of model.generate('밧줄', { ...sampling, stop: [stop] })) stopped.push(piece);
    expect(stopped.join('')).toBe(pieces.join('').slice(0, pieces.join('').indexOf(stop)));
    await model.release();
  });

  it('says which file is missing', async () => {
    await expect(load(join(folder, 'nothing'))).rejects.toThrow(/nothing/);
  });

  it.runIf(present)('tells the golden story of stories260K', async () => {
    const golden = JSON.parse(readFileSync(`${shared}stories260K/golden.json`, 'utf8')) as {
      greedy_ids: number[];
      text: string;
    };
    const model = await load(`${shared}stories260K`);
    let text = '';
    for await (const piece of model.generate('', { maxTokens: golden.greedy_ids.length, greedy: true }))
      text += piece;
    // The golden text spells the token of the line feed's byte out.
    expect(text.trim()).toBe(golden.text.replaceAll('<0x0A>', '\n').trim());
    await model.release();
  });
});
