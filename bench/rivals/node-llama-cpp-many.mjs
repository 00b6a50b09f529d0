/*
 * node-llama-cpp with several sequences in one context, for bench/serve.ts. Settings, as JSON in the first argument:
 * {folder, model, threads, sequences, prompt, tokens}. For each line on standard input it runs all sequences once, and answers
 * with {seconds, tokens, first: [seconds to the first token of each]}.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const { folder, model: modelPath, threads, sequences, prompt, tokens } = JSON.parse(process.argv[2]);
const { resolve } = createRequire(join(folder, 'package.json'));
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(resolve('node-llama-cpp')).href);
const llama = await getLlama({
  gpu: false,
  build: 'never',
  logLevel: LlamaLogLevel.error,
  maxThreads: threads,
});
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: prompt + tokens + 8, sequences, threads });
const all = Array.from({ length: sequences }, () => context.getSequence());

/** Different prompts, so that no prefix is shared. */
const ids = (which) => Array.from({ length: prompt }, (_, i) => 100 + ((i * 7919 + which * 104729) % 40000));

async function run(sequence, which, began) {
  await sequence.clearHistory();
  let count = 0;
  let first;
  for await (const _ of sequence.evaluate(ids(which), { temperature: 0, yieldEogToken: true })) {
    first ??= (performance.now() - began) / 1000;
    if (++count === tokens) break;
  }
  return { count, first };
}

console.log('ready');
let round = 0;
for await (const _ of createInterface({ input: process.stdin })) {
  round++;
  const began = performance.now();
  const done = await Promise.all(all.map((sequence, i) => run(sequence, 100 * round + i, began)));
  const seconds = (performance.now() - began) / 1000;
  const total = done.reduce((sum, { count }) => sum + count, 0);
  console.log(JSON.stringify({ seconds, tokens: total, first: done.map(({ first }) => first) }));
}
process.exit(0);
