import { expect, it } from 'vitest';
import { rawGguf } from '../../../../test/helpers/raw-gguf.ts';
import { tinyTokenizer } from '../../../../test/helpers/tiny-tokenizer.ts';
import { RopewalkError } from '../../../errors.ts';
import { familyByName, modelFromConfig } from '../../../families/registry.ts';
import { memorySource } from '../../../files/source.ts';
import { Tokenizer } from '../../../tokenizer/tokenizer.ts';
import { ggufForm } from '../forms.ts';
import { toGguf } from '../names.ts';
import { entriesFromTokenizer } from '../tokenizer/tokenizer-entries.ts';
import type { GgufScalarType, GgufValue } from '../types.ts';
import { entriesFromConfig, type GgufEntry } from '../writing/entries.ts';
import { openGgufCheckpoint } from './checkpoint.ts';
import { openGguf } from './reader.ts';

/**
 * Valid models whose metadata are changed at random: opening one, its tokenizer and its model works or is refused with a
 * RopewalkError, and takes no long time.
 */
const RUNS = 2500;

function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const SPM_TOKENS = [
  ...['<unk>', '<s>', '</s>', '<keep>'],
  ...Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`),
  ...['▁', 'a', 'b', 'c', 'ab', '▁a', 'abc', 'bc', '▁ab', '▁abc'],
];

const spm: GgufEntry[] = [
  ['tokenizer.ggml.model', 'string', 'llama'],
  ['tokenizer.ggml.tokens', { array: 'string' }, SPM_TOKENS],
  ['tokenizer.ggml.scores', { array: 'f32' }, Float32Array.from(SPM_TOKENS, (_, i) => -i)],
  [
    'tokenizer.ggml.token_type',
    { array: 'i32' },
    Int32Array.from(SPM_TOKENS, (_, i) => (i === 0 ? 2 : i < 3 ? 3 : i === 3 ? 4 : i < 260 ? 6 : 1)),
  ],
  ['tokenizer.ggml.bos_token_id', 'u32', 1],
  ['tokenizer.ggml.eos_token_id', 'u32', 2],
  ['tokenizer.ggml.unknown_token_id', 'u32', 0],
  ['tokenizer.ggml.add_bos_token', 'bool', true],
  ['tokenizer.ggml.add_space_prefix', 'bool', true],
];

function model(name: string, tokens: readonly GgufEntry[], vocabulary: number) {
  const family = familyByName(name);
  const config = family.readConfig(
    {
      ...{ model_type: name, vocab_size: vocabulary, hidden_size: 8, intermediate_size: 8 },
      ...{ num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1, head_dim: 4 },
      ...{ max_position_embeddings: 8, rms_norm_eps: 1e-5, rope_theta: 10000, sliding_window: 4 },
      ...{ query_pre_attn_scalar: 4, attn_logit_softcapping: 50, final_logit_softcapping: 30 },
      ...{ tie_word_embeddings: true, n_embd: 8, n_layer: 1, n_head: 2, n_positions: 8, n_inner: 8 },
      layer_norm_epsilon: 1e-5,
      ...(name === 'llama' && {
        rope_scaling: {
          ...{ rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
          original_max_position_embeddings: 16,
        },
      }),
    },
    'the test',
  );
  const form = ggufForm(family, 'the test');
  const metadata: GgufEntry[] = [
    ['general.architecture', 'string', form.architecture],
    ...entriesFromConfig(form, config, 'the test'),
    ...tokens,
  ];
  const tensors = [...family.build(config).parameters()].map(([path, { shape, size }]) => {
    const place = toGguf(form, path)!;
    const stored = place.transform === 'transposed' ? shape.toReversed() : shape;
    return { name: place.name, shape: stored, type: 'F32' as const, bytes: new Uint8Array(4 * size) };
  });
  const divisors = Float32Array.of(1, 4);
  if (name === 'llama') {
    const bytes = new Uint8Array(divisors.buffer);
    tensors.push({ name: 'rope_freqs.weight', shape: [2], type: 'F32', bytes });
  }
  return { metadata, tensors };
}

type Model = ReturnType<typeof model>;

const TEXTS = [
  '',
  'a',
  'ab',
  '▁',
  '<s>',
  '\0',
  '__proto__',
  'gpt2',
  'llama',
  'none',
  'llama-bpe',
  'x'.repeat(2000),
];
const NUMBERS = [0, 1, 2, 3, 7, 255, 2 ** 16, 2 ** 31 - 1, 2 ** 32 - 1];
const FLOATS = [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e-30, 1e30, 10000];

function scalar(random: (below: number) => number): readonly [GgufScalarType, GgufValue] {
  const pick = <T>(values: readonly T[]): T => values[random(values.length)]!;
  const kinds: (readonly [GgufScalarType, GgufValue])[] = [
    ['u32', pick(NUMBERS)],
    ['i32', pick([-1, -(2 ** 31), 0, 5])],
    ['u64', pick([2n ** 53n + 1n, 3, 2 ** 40])],
    ['f32', pick(FLOATS)],
    ['f64', pick(FLOATS)],
    ['bool', random(2) === 0],
    ['string', pick(TEXTS)],
    ['u8', random(256)],
  ];
  return pick(kinds);
}

function mutated({ metadata, tensors }: Model, random: (below: number) => number): Model {
  const entries = [...metadata];
  for (let i = 0; i <= random(3); i++) {
    const at = random(entries.length);
    const [key, type, value] = entries[at]!;
    const list =
      Array.isArray(value) || ArrayBuffer.isView(value)
        ? Array.from(value as ArrayLike<GgufValue>)
        : undefined;
    const grown = typeof type === 'object' && ['string', 'f32', 'i32'].includes(type.array as string);
    const way = random(list && grown ? 5 : 3);
    if (way === 0) entries.splice(at, 1);
    else if (way === 1) entries[at] = [key, ...scalar(random)];
    else if (way === 2) {
      const [kind, element] = scalar(random);
      entries[at] = [key, { array: kind }, Array.from({ length: random(4) }, () => element)];
    } else if (list && typeof type === 'object') {
      const element = type.array;
      if (way === 3) list.length = random(list.length + 1);
      for (let n = 0; n < 1 + random(4); n++) {
        const other = list[random(list.length || 1)];
        const fresh =
          element === 'string'
            ? random(3) === 0 && other !== undefined
              ? other
              : TEXTS[random(TEXTS.length)]!
            : element === 'f32'
              ? FLOATS[random(FLOATS.length)]!
              : random(9) - 1;
        list[random(list.length + 1)] = fresh;
      }
      entries[at] = [key, type, list];
    }
  }
  const kept = random(5) === 0 ? tensors.filter(() => random(10) > 0) : tensors;
  return { metadata: entries, tensors: kept };
}

async function open(bytes: Uint8Array): Promise<void> {
  const checkpoint = await openGgufCheckpoint(await openGguf(memorySource(bytes, 'm.gguf')));
  const { model: built } = modelFromConfig(checkpoint.config, checkpoint.configName);
  for (const name of built.parameters().keys()) {
    if (!checkpoint.tensors.has(name)) continue;
    checkpoint.tensors.info(name);
    await checkpoint.tensors.readFloat32(name);
  }
  const files = await checkpoint.tokenizerFiles();
  if (!files) return;
  const tokenizer = Tokenizer.fromJSON(files.tokenizer, files.config, 'm.gguf');
  tokenizer.decode(tokenizer.encode('abc <s> the and 🤖'));
}

it(`the GGUF checkpoint opens or refuses ${RUNS} mutated models, with one kind of error`, async () => {
  const random = randomNumbers(7);
  const { tokenizer, config } = tinyTokenizer();
  const facts = { vocabSize: 64, bosId: 2, padId: 0, stopIds: [1, 7] };
  const bytes = entriesFromTokenizer({ tokenizer, config }, facts, 'the test').entries;
  const models = [
    model('llama', spm, SPM_TOKENS.length),
    model('gemma2', bytes, 64),
    model('gpt2', bytes, 64),
    model('gemma', spm, SPM_TOKENS.length),
  ];
  for (const each of models) await open(rawGguf(each.metadata, each.tensors));
  let refused = 0;
  let slowest = 0;
  for (let run = 0; run < RUNS; run++) {
    const changed = mutated(models[run % models.length]!, random);
    const file = rawGguf(changed.metadata, changed.tensors);
    const before = process.cpuUsage();
    try {
      await open(file);
    } catch (error) {
      if (!(error instanceof RopewalkError))
        throw new Error(
          `run ${run}: ${JSON.stringify(changed.metadata.slice(1).map(([k, t, v]) => [k, t, typeof v === 'bigint' ? String(v) : v])).slice(0, 3000)}`,
          {
            cause: error,
          },
        );
      expect(error.message).not.toContain('\n');
      refused++;
    }
    const { user, system } = process.cpuUsage(before);
    slowest = Math.max(slowest, (user + system) / 1e6);
  }
  expect(refused).toBeGreaterThan(RUNS / 4);
  expect(refused).toBeLessThan(RUNS);
  expect(slowest).toBeLessThan(5);
}, 240_000);
