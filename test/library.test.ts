import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { generateTokens } from '../src/generation/generate.ts';
import { load } from '../src/generation/load.node.ts';
import { loadHere } from '../src/generation/load-here.node.ts';
import { fixture } from './helpers/fixtures.node.ts';
import { saveUntrained } from './helpers/models.node.ts';

const folder = mkdtempSync(join(tmpdir(), 'ropewalk-library-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const stories = fixture('stories260K');

describe('load', () => {
  it('continues a text in pieces that join to the decoded tokens, never splitting a character', async () => {
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

  it('names the file that is missing', async () => {
    await expect(load(join(folder, 'nothing'))).rejects.toThrow(/nothing/);
  });

  it('generates the golden story of stories260K', async () => {
    const golden = JSON.parse(readFileSync(join(stories, 'golden.json'), 'utf8')) as {
      prompt_ids: number[];
      greedy_ids: number[];
      text: string;
      last_logits: number[];
      mean_nll_of_ids: number;
    };
    const model = await load(stories);
    let text = '';
    for await (const piece of model.generate('', { maxTokens: golden.greedy_ids.length, greedy: true }))
      text += piece;
    // The golden text spells the token of the line feed's byte out.
    expect(text.trim()).toBe(golden.text.replaceAll('<0x0A>', '\n').trim());
    const ids = [...golden.prompt_ids, ...golden.greedy_ids];
    const { tokens, meanNegativeLogLikelihood } = await model.score(ids);
    expect(tokens).toBe(96);
    expect(meanNegativeLogLikelihood).toBeCloseTo(golden.mean_nll_of_ids, 4);
    const logits = await model.logits(ids);
    expect(logits.length).toBe(97 * 512);
    golden.last_logits.forEach((logit, id) => {
      expect(logits[96 * 512 + id]).toBeCloseTo(logit, 3);
    });
    await model.release();
  });
});
