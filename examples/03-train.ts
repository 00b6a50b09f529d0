/*
 * Trains a tokenizer and a tiny Llama from scratch on a built-in text.
 *
 *     node examples/03-train.ts runs/tiny      (Node 22.18 or newer)
 */
import { fileURLToPath } from 'node:url';
import { families, text, tokenizer, train, training } from 'ropewalk';
import { TEXT } from './text.ts';

/** @returns the held-out loss in nats per token. */
export async function trainTiny(out: string, steps: number): Promise<number> {
  const json = tokenizer.trainBpe([TEXT], { vocabSize: 300 });
  const bpe = tokenizer.Tokenizer.fromJSON(json, tokenizer.bpeTokenizerConfig(json));
  const { llama } = families;
  const run = train({
    family: llama,
    config: training.configForTokenizer(llama.presets.tiny!.config, bpe),
    files: tokenizer.tokenizerFiles(bpe),
    tokens: text.encodeCorpus(bpe, [TEXT]),
    out,
    ...{ steps, batch: 2, seq: 32, evalEvery: 0, validation: 0.1 },
  });
  let loss = Number.NaN;
  for await (const event of run) {
    if (event.type === 'step') console.log(`step ${event.step}: loss ${event.loss.toFixed(3)}`);
    if (event.type === 'finished' && event.loss !== undefined) loss = event.loss;
  }
  return loss;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [out = 'runs/tiny'] = process.argv.slice(2);
  console.log(`held-out loss ${(await trainTiny(out, 200)).toFixed(3)}`);
}
