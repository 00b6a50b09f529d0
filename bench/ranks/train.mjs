/* One process of bench/ranks.ts: trains SmolLM2-135M's shape on random tokens. Settings, as JSON in the first argument: {threads, batch, seq}. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { families, ranks as mpi, train } from '../../dist/node.js';

const { threads, batch, seq } = JSON.parse(process.argv[2]);
const STEPS = 6;
const ranks = mpi.joinRanks();
const isFirst = !ranks || ranks.rank === 0;
const { llama } = families;
const config = llama.readConfig(
  {
    vocab_size: 49152,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 100000,
    tie_word_embeddings: true,
  },
  'the benchmark',
);
const tokens = Int32Array.from({ length: 40_000 }, (_, i) => (i * 7919 + (i % 13) * 104729) % 49152);
const out = mkdtempSync(join(tmpdir(), 'ropewalk-bench-ranks-'));
const seconds = [];
let loss;
let sent = 0;
let rss = 0;
let last = performance.now();
const stop = new AbortController();
const options = {
  family: llama,
  config,
  tokens,
  files: [],
  validation: 0,
  batch,
  seq,
  steps: 1000,
  saveEvery: 0,
  threads,
};
for await (const event of train({
  ...options,
  ranks,
  out: join(out, 'run'),
  signal: stop.signal,
  evalEvery: 0,
})) {
  if (event.type !== 'step') continue;
  seconds.push((performance.now() - last) / 1000);
  last = performance.now();
  loss = event.loss;
  if (event.step === 1) sent = ranks?.bytesSent ?? 0;
  if (event.step < STEPS) continue;
  sent = ((ranks?.bytesSent ?? 0) - sent) / (STEPS - 1);
  rss = process.memoryUsage.rss();
  break;
}
await ranks?.barrier();
if (isFirst) {
  const sorted = seconds.slice(1).sort((a, b) => a - b);
  console.log(JSON.stringify({ seconds: sorted[Math.floor(sorted.length / 2)], loss, bytesSent: sent, rss }));
}
rmSync(out, { recursive: true, force: true });
await ranks?.leave();
