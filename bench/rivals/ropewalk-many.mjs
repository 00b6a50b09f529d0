/*
 * Ropewalk without its server: the same completions of a model in a thread of its own, for bench/serve.ts. Settings, as JSON
 * in the first argument: {package, model, threads, sequences, prompt, tokens}. For each line on standard input it runs all
 * sequences once, and answers with {seconds, tokens, first: [seconds to the first token of each]}.
 */
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const { package: entry, model: path, threads, sequences, prompt, tokens } = JSON.parse(process.argv[2]);
const { load } = await import(pathToFileURL(entry).href);
const model = await load(path, { threads, sequences, activations: 'int8' });

/** Different prompts, so that nothing is shared. */
const ids = (which) => Array.from({ length: prompt }, (_, i) => 100 + ((i * 7919 + which * 104729) % 40000));

async function run(which, began) {
  const options = { maxTokens: tokens, temperature: 0, logitBias: { 0: -100, 1: -100, 2: -100 } };
  const pieces = model.complete({ ids: ids(which) }, options);
  let first;
  for (;;) {
    const { done, value } = await pieces.next();
    if (done) return { count: value.newTokens, first };
    if (value.type === 'text') first ??= (performance.now() - began) / 1000;
  }
}

console.log('ready');
let round = 0;
for await (const _ of createInterface({ input: process.stdin })) {
  round++;
  const began = performance.now();
  const done = await Promise.all(Array.from({ length: sequences }, (_, i) => run(100 * round + i, began)));
  const seconds = (performance.now() - began) / 1000;
  const total = done.reduce((sum, { count }) => sum + count, 0);
  console.log(JSON.stringify({ seconds, tokens: total, first: done.map(({ first }) => first) }));
}
await model.release();
