/**
 * Trains the models of verify/gguf.ts and verify/transformers-js.ts: each family, small, in a form that llama.cpp
 * supports.
 *
 *     node scripts/run-ts.js verify/small-models.ts TEXT OUT [--steps 300] [--families qwen2,mistral]
 *
 * OUT gets a folder for each. The tiny presets are changed where GGUF cannot express them: Mistral's windows, Gemma
 * 3's layer pattern (here every sixth of 12 is global), and EXAONE 4's windows with other than 64 layers (one model
 * with and one without windows).
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { families } from '../src/families/registry.ts';
import { readTextFiles } from '../src/text/files.node.ts';
import { bpeTokenizerConfig, trainBpe } from '../src/tokenizer/bpe-trainer.ts';
import { Tokenizer } from '../src/tokenizer/tokenizer.ts';
import { train } from '../src/training/runs/pretrain.node.ts';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { steps: { type: 'string', default: '300' }, families: { type: 'string' } },
});
const [file, out] = positionals;
if (!file || !out) throw new Error('usage: verify/small-models.ts TEXT OUT');
const chosen = values.families?.split(',');

const types = (layers: number, every: number) =>
  Array.from({ length: layers }, (_, i) => ((i + 1) % every === 0 ? 'full_attention' : 'sliding_attention'));
const heads = { num_attention_heads: 4, num_key_value_heads: 2, head_dim: 24, hidden_size: 96 };
const own: Readonly<Record<string, readonly Record<string, unknown>[]>> = {
  gemma3: [{ num_hidden_layers: 12, layer_types: types(12, 6), sliding_window: 16 }],
  mistral: [{ sliding_window: null }],
  exaone4: [
    { ...heads, sliding_window: null, layer_types: types(4, 1) },
    {
      ...{ num_attention_heads: 2, num_key_value_heads: 1, head_dim: 16, hidden_size: 32 },
      ...{ intermediate_size: 64, num_hidden_layers: 64, layer_types: types(64, 4), sliding_window: 16 },
    },
  ],
};

const texts = (await readTextFiles([file])).map(({ text }) => text);
const json = trainBpe(texts, { vocabSize: 512 });
const tokenizer = Tokenizer.fromJSON(json, bpeTokenizerConfig(json));
const tokens = Int32Array.from(texts.flatMap((text) => tokenizer.encode(text, { addSpecialTokens: false })));
for (const family of families) {
  if (chosen && !chosen.includes(family.name)) continue;
  for (const [i, change] of (own[family.name] ?? [{}]).entries()) {
    const name = i === 0 ? family.name : `${family.name}-${i + 1}`;
    rmSync(join(out, name), { recursive: true, force: true });
    const steps = Number(values.steps);
    const events = train({
      family,
      config: { ...family.presets.tiny!.config, ...change, vocab_size: tokenizer.vocabSize },
      files: [
        { name: 'tokenizer.json', data: JSON.stringify(json) },
        { name: 'tokenizer_config.json', data: JSON.stringify(bpeTokenizerConfig(json)) },
      ],
      ...{ tokens, validation: Math.min(2000, Math.round(0.02 * tokens.length)), threads: 2 },
      ...{ steps, batch: 4, seq: 64, warmup: 20, evalEvery: 0, saveEvery: 0, keep: 1, seed: 1 },
      out: join(out, name),
    });
    for await (const event of events)
      if (event.type === 'evaluation') console.log(`${name}: held-out loss ${event.loss.toFixed(3)}`);
  }
}
