import { describe, expect, it } from 'vitest';
import { RopewalkError } from '../errors.ts';
import { families } from '../families/registry.ts';
import { compare, footnotes, type Row, tables } from './compare.ts';
import { metadata } from './labels.ts';
import { type NamedModel, namedPreset } from './named-model.ts';
import { summarize } from './summary.ts';

const named = (...names: string[]): NamedModel[] => names.map((name) => namedPreset(name)!);
const lines = (rows: readonly Row[]) =>
  rows.map(({ feature, values }) => [feature, ...Object.values(values)]);

const grouped = 'grouped-query attention';
const mixed = (sharing: string) => `local sliding-window and global layers, ${sharing}`;

describe('compare', () => {
  // The study note's tables, in the words of this program.
  it('gives the published table of GPT, Gemma, Gemma 2 and Llama 3', () => {
    const [families, generations] = tables(named('gpt', 'gemma', 'gemma2', 'llama3'));
    const local = `local sliding-window and global layers, ${grouped}`;
    expect(lines(families!.rows)).toEqual([
      ['Architecture', 'decoder', 'decoder', 'decoder', 'decoder'],
      ['Position encoding', 'sinusoidal PE', 'RoPE', 'RoPE', 'RoPE'],
      ['Normalization', 'LayerNorm', 'RMSNorm', 'RMSNorm', 'RMSNorm'],
      ['Attention', 'multi-head attention', 'multi-head attention', local, grouped],
      ['Activation', 'ReLU', 'GeGLU', 'GeGLU', 'SwiGLU'],
      ['Training data', '4.5M + 36M sentence pairs', 'about 6T tokens', 'about 13T tokens', '15T tokens'],
    ]);
    expect(generations!.models).toEqual(['gemma', 'gemma2']);
    expect(lines(generations!.rows)).toEqual([
      ['Attention', 'multi-head attention', local],
      ['Training', 'next-token prediction', 'knowledge distillation (2B, 9B), next-token prediction (27B)'],
      ['Normalization', 'RMSNorm', 'RMSNorm'],
      ['Logits', 'uncapped', 'capped in attention and in the last layer'],
      ['Sizes', '2B, 7B', '2B, 9B, 27B'],
    ]);
  });

  it('adds rows for features that newer families introduce', () => {
    const [families, generations] = tables(named('gemma2', 'gemma3', 'qwen3', 'exaone4'));
    const both = 'before and after attention and MLP';
    const headNorm = 'RMSNorm per head';
    expect(lines(families!.rows)).toEqual([
      ['Architecture', 'decoder', 'decoder', 'decoder', 'decoder'],
      [
        'Position encoding',
        'RoPE',
        'RoPE, with separate bases for global and local layers',
        'RoPE',
        'RoPE in local layers, none in global ones',
      ],
      ['Normalization', 'RMSNorm', 'RMSNorm', 'RMSNorm', 'RMSNorm'],
      ['Attention', mixed(grouped), mixed('multi-query attention'), grouped, mixed(grouped)],
      ['Activation', 'GeGLU', 'GeGLU', 'SwiGLU', 'SwiGLU'],
      ['Training data', 'about 13T tokens', '2T to 14T tokens', '36T tokens', '12T tokens (1.2B), 14T (32B)'],
      ['Query and key norms', 'none', headNorm, headNorm, headNorm],
      ['Layer pattern', '1 local : 1 global', '5 local : 1 global', 'all global', '3 local : 1 global'],
      ['Norm placement', both, both, 'before attention and MLP', 'after attention and MLP'],
    ]);
    expect(generations!.models).toEqual(['gemma2', 'gemma3']);
    expect(lines(generations!.rows).map(([feature, , value]) => [feature, value])).toEqual([
      ['Attention', mixed('multi-query attention')],
      ['Position encoding', 'RoPE, with separate bases for global and local layers'],
      ['Training', 'knowledge distillation'],
      ['Normalization', 'RMSNorm'],
      ['Logits', 'uncapped'],
      ['Sizes', '270M, 1B'],
      ['Query and key norms', headNorm],
      ['Layer pattern', '5 local : 1 global'],
    ]);
    const korean = tables(named('gemma2', 'gemma3', 'qwen3', 'exaone4'), 'ko')[0]!.rows;
    expect(lines(korean).slice(-3)).toEqual([
      ['쿼리·키 정규화', '없음', '헤드마다 RMSNorm', '헤드마다 RMSNorm', '헤드마다 RMSNorm'],
      ['층 배치', '로컬 1 : 글로벌 1', '로컬 5 : 글로벌 1', '모두 글로벌', '로컬 3 : 글로벌 1'],
      ['정규화 위치', '어텐션과 MLP 앞뒤', '어텐션과 MLP 앞뒤', '어텐션과 MLP 앞', '어텐션과 MLP 뒤'],
    ]);
  });

  it('detects biases of single projections and multipliers from the modules', () => {
    const { rows } = tables(named('qwen2', 'llama3', 'hyperclovax/tiny'))[0]!;
    expect(lines(rows).slice(-2)).toEqual([
      ['Biases', 'queries, keys and values', 'none', 'none'],
      ['Multipliers', 'none', 'none', 'embedding ×4, branches ×0.5, logits ×0.5'],
    ]);
    const all = compare(named('gemma3', 'exaone4', 'hyperclovax'));
    const value = (feature: string) => Object.values(all.find((row) => row.feature === feature)!.values);
    expect(value('Position base (theta)')).toEqual(['1,000,000, local 10,000', '1,000,000', '10,000']);
    expect(value('Layers without positions')).toEqual(['0', '16', '0']);
    expect(value('Branch scale')).toEqual(['1', '1', '0.5']);
    expect(value('Logit scale')).toEqual(['1', '1', '0.5']);
    expect(new Set(all.map(({ feature }) => feature)).size).toBe(all.length);
    // Nothing of it where only the families of the note stand.
    const note = compare(named('gpt', 'gemma', 'gemma2', 'llama3')).map(({ feature }) => feature);
    for (const row of ['Query and key norms', 'Layer pattern', 'Multipliers', 'Layers without positions'])
      expect(note).not.toContain(row);
  });

  it('has a row for each feature with a value for each model, under the given names', () => {
    const rows = compare(named('llama3', 'gemma-2b', 'gpt2/tiny'));
    expect(new Set(rows.map(({ feature }) => feature)).size).toBe(rows.length);
    for (const { values } of rows) {
      expect(Object.keys(values)).toEqual(['llama3', 'gemma-2b', 'gpt2/tiny']);
      expect(Object.values(values).every((value) => value.length > 0)).toBe(true);
    }
    const value = (feature: string) => rows.find((row) => row.feature === feature)!.values;
    expect(value('Attention')['gemma-2b']).toBe('multi-query attention');
    expect(value('Parameters').llama3).toBe('8,030,261,248');
    // One size has its own facts, a family's name the family's, and random weights have none.
    expect(value('Training data')).toEqual({
      llama3: '15T tokens',
      'gemma-2b': '3T tokens',
      'gpt2/tiny': 'none (random weights)',
    });
  });

  it('cites sources, and says what the GPT column really is', () => {
    const notes = footnotes(named('gpt', 'gemma'));
    expect(notes[0]).toMatch(/^GPT: .*2017 Transformer.*learned positions and GELU/);
    expect(notes).toContain('Gemma: gemma-2b 3T tokens, gemma-7b 6T tokens');
    expect(notes.join()).toMatch(/\(gemma\): .*arXiv:2403.08295/);
    expect(footnotes(named('gemma-2b')).join()).not.toContain('gemma-7b');
  });

  it('refuses the same name twice', () => {
    expect(() => compare(named('gpt', 'gpt'))).toThrow(RopewalkError);
  });

  it('translates everything into Korean except names, formulas and units', () => {
    const models = named(
      ...['gpt', 'gpt2', 'gemma', 'gemma2', 'llama3', 'llama-3.2-1b', 'gemma/tiny'],
      ...['gemma3', 'qwen2', 'exaone4', 'mistral', 'hyperclovax'],
    );
    const english = compare(models);
    const korean = compare(models, 'ko');
    const foreign = (text: string) => text.match(/\b[a-z]{3,}\b/g) ?? [];
    const names = /^(gpt|base|gemma|llama|tiny|theta|bfloat|qwen|exaone|mistral)$/;
    for (const [i, { feature, values }] of korean.entries()) {
      expect(feature).not.toBe(english[i]!.feature);
      const words = [feature, ...Object.values(values)].flatMap(foreign).filter((word) => !names.test(word));
      expect([feature, words]).toEqual([feature, []]);
    }
    for (const { training, presets } of families) {
      for (const facts of [training, ...Object.values(presets).map((preset) => preset.training)]) {
        if (facts)
          expect([metadata(facts.data), metadata(facts.method)].flatMap(({ ko }) => foreign(ko))).toEqual([]);
      }
    }
  });
});

describe('summarize', () => {
  it('agrees with the published numbers of Gemma 2 27B', () => {
    const summary = summarize(namedPreset('gemma-2-27b')!, 'gemma-2-27b');
    expect(summary).toMatchObject({
      family: 'gemma2',
      parameters: 27_227_128_320,
      layers: 46,
      width: 4608,
      heads: 32,
      kvHeads: 16,
      headDim: 128,
      mlpHidden: 36864,
      vocabSize: 256000,
      maxPositions: 8192,
      attentionSoftcap: 50,
      finalSoftcap: 30,
      queryScale: 1 / 12,
      gated: true,
      activation: 'gelu',
      tiedHead: true,
      norm: { kind: 'RMSNorm', epsilon: 1e-6, weightOffset: 1, placement: 'before and after' },
    });
    expect(summary.windows).toEqual(Array.from({ length: 46 }, (_, i) => (i % 2 === 0 ? 4096 : null)));
    expect(summary.parameterBytes.bfloat16).toBe(2 * 27_227_128_320);
  });
});
