/*
 * The protocol of the contenders in bench/inference.ts. Each is a separate process that reads one command per line
 * from standard input and answers with one line of JSON, so that a benchmark can interleave them on a noisy machine:
 *
 *     prefill N            N tokens from an empty cache up to the next token     {seconds}
 *     decode CONTEXT N     N tokens, one by one, behind CONTEXT others           {seconds: [one for each token]}
 *     logits N             the next token's logits behind N tokens               {logits: [base64 of float32]}
 *     greedy N COUNT       the likeliest COUNT tokens behind N                   {ids}
 *     quit                 (or the end of the input)
 *
 * The first line says {ready, seconds, about}: what was loaded, and how long that took within the process.
 */
import { createInterface } from 'node:readline';

/** The same prompt for everyone: ids below 40,100, which any vocabulary has, none of them special. */
export function promptIds(count) {
  return Array.from({ length: count }, (_, i) => 100 + ((i * 7919) % 40000));
}

/** The last command line argument, passed to every contender. */
export function readSettings() {
  return JSON.parse(process.argv.at(-1));
}

/** float32 numbers as text. */
export function encodeFloats(values) {
  const floats = Float32Array.from(values);
  return Buffer.from(floats.buffer).toString('base64');
}

/** The time of each token of an async iterator, in seconds, for the first `count`. */
export async function timeTokens(tokens, count) {
  const seconds = [];
  const ids = [];
  let started = performance.now();
  for await (const id of tokens) {
    const now = performance.now();
    seconds.push((now - started) / 1000);
    started = now;
    ids.push(id);
    if (seconds.length === count) break;
  }
  return { seconds, ids };
}

/** @param open loads the model and returns {about, prefill, decode, logits, greedy}. */
export async function serve(open) {
  const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
  const started = performance.now();
  let contender;
  try {
    contender = await open();
  } catch (error) {
    say({ error: String(error?.message ?? error) });
    process.exit(1);
  }
  say({ ready: true, seconds: (performance.now() - started) / 1000, about: contender.about });
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, ...numbers] = line.trim().split(' ');
    if (command === 'quit') break;
    try {
      say(await contender[command](...numbers.map(Number)));
    } catch (error) {
      say({ error: `${command}: ${error?.message ?? error}` });
    }
  }
  process.exit(0);
}
