import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveModelDirectory } from '../../src/checkpoint/save.node.ts';
import { initializeWeights } from '../../src/families/initialize.ts';
import { findPreset } from '../../src/families/registry.ts';
import { Random } from '../../src/random.ts';
import { bpeTokenizerConfig, trainBpe } from '../../src/tokenizer/bpe-trainer.ts';
import { Tokenizer } from '../../src/tokenizer/tokenizer.ts';

const TEXT = '밧줄을 꼬는 긴 길 🪢 a ropewalk is a long straight lane, 로프워크. ';

const TEMPLATE =
  "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";

/** Numbers that fill large weights fast: a short random series, again and again. */
function fill(values: Float32Array, series: Float32Array): void {
  for (let at = 0; at < values.length; at += series.length) {
    values.set(series.subarray(0, Math.min(series.length, values.length - at)), at);
  }
}

/**
 * Saves an untrained model with a tokenizer and a chat template: it says anything, half characters of Korean and emoji
 * among it.
 *
 * @param config fields that differ from those of the preset.
 */
export async function saveUntrained(
  path: string,
  config: Readonly<Record<string, unknown>> = {},
  presetName = 'llama/tiny',
  template: string = TEMPLATE,
): Promise<void> {
  const json = trainBpe([TEXT.repeat(20)], { vocabSize: 300 });
  const { family, preset } = findPreset(presetName)!;
  const { vocabSize } = Tokenizer.fromJSON(json);
  const full = { ...preset.config, vocab_size: vocabSize, ...config } as typeof preset.config;
  const model = family.build(full);
  const values = new Map([...model.parameters()].map(([name, { size }]) => [name, new Float32Array(size)]));
  if (model.parameterCount() < 5e6) initializeWeights(model.parameters(), values, new Random(7));
  else {
    const random = new Random(7);
    const series = Float32Array.from({ length: 10_007 }, () => (random.next() - 0.5) * 0.05);
    for (const array of values.values()) fill(array, series);
  }
  await saveModelDirectory(path, {
    config: family.writeConfig(full),
    tensors: [...model.parameters()].map(([name, { shape }]) => ({ name, shape, data: values.get(name)! })),
    files: [
      { name: 'tokenizer.json', data: JSON.stringify(json) },
      {
        name: 'tokenizer_config.json',
        data: JSON.stringify({ ...bpeTokenizerConfig(json), chat_template: template }),
      },
    ],
  });
}

/** A folder for models that is removed at the end. */
export function scratch(name: string): { readonly folder: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), `ropewalk-${name}-`));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
