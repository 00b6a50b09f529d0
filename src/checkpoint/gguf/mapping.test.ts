import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rotaryDivisors, scalingOf } from '../../families/common/gguf-rope.ts';
import type { RopeScaling } from '../../nn/rope-scaling.ts';
import { rescaleRotary } from '../../nn/rope-scaling.ts';
import { familyForms } from './forms.ts';
import { fromGguf, rotaryRow, toGguf } from './names.ts';
import { modelFromGguf } from './reading/config.ts';
import { GgufMetadata } from './reading/metadata.ts';
import { toStored } from './reading/store.ts';
import type { GgufEntry } from './writing/entries.ts';

const llama: readonly GgufEntry[] = [
  ['general.architecture', 'string', 'llama'],
  ['llama.context_length', 'u32', 64],
  ['llama.embedding_length', 'u32', 32],
  ['llama.block_count', 'u32', 2],
  ['llama.feed_forward_length', 'u32', 48],
  ['llama.attention.head_count', 'u32', 4],
  ['llama.attention.head_count_kv', 'u32', 2],
  ['llama.attention.layer_norm_rms_epsilon', 'f32', Math.fround(1e-5)],
  ['llama.rope.freq_base', 'f32', 5e5],
];

function read(changes: Readonly<Record<string, GgufEntry[2] | undefined>> = {}, divisors?: Float32Array) {
  const values = new Map(llama.map(([key, , value]) => [key, value]));
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) values.delete(key);
    else values.set(key, value);
  }
  const file = { name: 'm.gguf', version: 3, tensors: new Map(), close: async () => {}, metadata: values };
  return modelFromGguf(new GgufMetadata(file), {
    has: () => false,
    tokenIds: {},
    vocabSize: 96,
    rotaryDivisors: divisors,
    warn: () => {},
  }).config;
}

describe('the configuration in a GGUF file', () => {
  it('is read into the field names of config.json', () => {
    expect(read()).toMatchObject({
      ...{ model_type: 'llama', vocab_size: 96, hidden_size: 32, num_hidden_layers: 2, head_dim: 8 },
      ...{ intermediate_size: 48, num_attention_heads: 4, num_key_value_heads: 2, rms_norm_eps: 1e-5 },
      ...{ rope_theta: 5e5, rope_scaling: null, tie_word_embeddings: true },
    });
  });

  it('may be given per layer when all layers are alike', () => {
    const layers = { 'llama.feed_forward_length': Int32Array.of(48, 48) };
    expect(read(layers)).toMatchObject({ intermediate_size: 48 });
    expect(() => read({ 'llama.feed_forward_length': Int32Array.of(48, 64) })).toThrow(
      'layers that differ are not supported',
    );
  });

  it.each([
    ['general.architecture', 'mamba', 'its architecture is "mamba"'],
    ['general.architecture', '__proto__', 'its architecture is "__proto__"'],
    ['llama.expert_count', 8, 'a mixture of 8 experts'],
    ['llama.rope.scaling.type', 'longrope', 'the RoPE scaling type "longrope"'],
    ['llama.rope.dimension_count', 4, 'RoPE rotates 4 of 8'],
    ['llama.attention.value_length', 16, 'keys of size 8 and values of size 16'],
    ['llama.block_count', undefined, '"llama.block_count" is missing'],
    ['llama.block_count', 'two', '"llama.block_count" is "two"'],
    ['llama.block_count', 0, 'a whole number above 0'],
    ['llama.attention.layer_norm_rms_epsilon', Number.NaN, 'it must be a number'],
  ] as const)('with %s = %j is refused', (key, value, message) => {
    expect(() => read({ [key]: value })).toThrow(message);
  });

  it('gives back the RoPE scaling of Llama 3.1 and 3.2 from its divisors of frequencies', () => {
    for (const factor of [8, 32]) {
      const rope_scaling: RopeScaling = {
        ...{ rope_type: 'llama3', factor, low_freq_factor: 1, high_freq_factor: 4 },
        original_max_position_embeddings: 8192,
      };
      const config = { rope_theta: 5e5, head_dim: 128, rope_scaling };
      const keys = { 'llama.attention.key_length': 128, 'llama.attention.value_length': 128 };
      expect(read(keys, rotaryDivisors(config)!)).toMatchObject({ rope_scaling });
    }
    expect(() => read({}, Float32Array.of(1, 2, 3, 2))).toThrow('rope_freqs.weight');
    expect(() => read({}, Float32Array.of(1, Number.NaN, 3))).toThrow('rope_freqs.weight');
  });

  it('gives back a RoPE scaling with any other numbers that divides in the same way', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(8, 64, 128),
        fc.constantFrom(500, 10000, 5e5),
        fc.constantFrom(2, 8, 32),
        fc.constantFrom(1, 2),
        fc.constantFrom(4, 8),
        fc.integer({ min: 1024, max: 20000 }),
        (size, theta, factor, low, high, original) => {
          const scaling = {
            ...{ rope_type: 'llama3' as const, factor, low_freq_factor: low, high_freq_factor: high },
            original_max_position_embeddings: original,
          };
          const frequencies = Array.from({ length: size / 2 }, (_, i) => theta ** (-(2 * i) / size));
          const divisors = Float32Array.from(frequencies, (f) => f / rescaleRotary(f, scaling));
          // A factor that no frequency is divided by in full cannot be told, nor a line from one point.
          fc.pre(Math.max(...divisors) === factor);
          fc.pre(divisors.filter((divisor) => divisor > 1 && divisor < factor).length >= 2);
          const found = scalingOf(frequencies, divisors)!;
          for (const [i, f] of frequencies.entries()) {
            expect(Math.abs(f / rescaleRotary(f, found) / divisors[i]! - 1)).toBeLessThan(1e-4);
          }
        },
      ),
    );
  });
});

describe('the mapping of tensor names and layouts', () => {
  it('converts in both directions', () => {
    expect(familyForms().length).toBeGreaterThan(3);
    for (const { form } of familyForms()) {
      for (const { ours, theirs, transform } of form.tensors) {
        const [own, other] = [ours.replace('{n}', '17'), theirs.replace('{n}', '17')];
        expect(toGguf(form, own)).toEqual({ name: other, transform });
        expect(fromGguf(form, other)).toBe(own);
      }
    }
  });

  it("agrees with llama.cpp's converter for every weight of the reference models", () => {
    const theirs = JSON.parse(
      readFileSync(new URL('../../../test/reference/gguf-names.json', import.meta.url), 'utf8'),
    ) as Record<string, Record<string, string>>;
    expect(Object.keys(theirs).sort()).toEqual(
      familyForms()
        .map(({ family }) => family.modelType)
        .sort(),
    );
    for (const { family, form } of familyForms()) {
      for (const [ours, name] of Object.entries(theirs[family.modelType]!)) {
        const found = toGguf(form, ours)?.name;
        // Biases that llama.cpp has no place for are refused at the export.
        if (found !== undefined || ours.endsWith('.weight')) expect(found, ours).toBe(name);
      }
    }
  });

  it('interleaves the halves of each head', () => {
    // Row 0 is the first of the first half, row 4 the first of the second: neighbors in GGUF.
    expect(Array.from({ length: 16 }, (_, row) => rotaryRow(row, 8))).toEqual([
      ...[0, 2, 4, 6, 1, 3, 5, 7],
      ...[8, 10, 12, 14, 9, 11, 13, 15],
    ]);
  });

  it('moves whole matrices', () => {
    const values = () => Float32Array.from({ length: 70 * 40 }, (_, i) => i);
    const turned = toStored(values(), [70, 40], 'transposed', 1);
    expect(toStored(turned, [40, 70], 'transposed', 1)).toEqual(values());
    expect([turned[1], turned[70]]).toEqual([40, 1]);
    const rows = toStored(Float32Array.of(0, 0, 1, 1, 2, 2, 3, 3), [4, 2], 'rotary rows', 4);
    expect(rows).toEqual(Float32Array.of(0, 0, 2, 2, 1, 1, 3, 3));
    expect(toStored(Float32Array.of(-1, 0.5), [2], 'plus one', 1)).toEqual(Float32Array.of(0, 1.5));
  });
});
