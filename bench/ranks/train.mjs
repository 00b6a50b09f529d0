/* One process of bench/ranks.ts: trains SmolLM2-135M's shape on random tokens. Settings, as JSON in the first argument: {config, threads, batch, seq}. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { families, ranks as mpi, train } from '../../dist/node.js';

const { config, threads, batch, seq } = JSON.parse(process.argv[2]);
const STEPS = 5;
const ranks = mpi.joinRanks();
const isFirst = !ranks || ranks.rank === 0;
const tokens = Int32Array.from(
  { length: 40_000 },
  (_, i) => (i * 7919 + (i % 13) * 104729) % config.vocab_size,
);
const out = mkdtempSync(join(tmpdir(), 'ropewalk-bench-ranks-'));
const seconds = [];
let loss;
let sent = 0;
let rss = 0;
let last = performance.now();
const options = {
  family: families.llama,
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
