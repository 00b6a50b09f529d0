/**
 * Training on several hosts against the plan of `--dry-run --ranks`: two to four network namespaces joined by a bridge,
 * TCP between them, their links limited to 1 Gb/s and 200 Mb/s; and the bytes that leave a host by the kernel's counters.
 *
 *     node scripts/run-ts.js verify/ranks-hosts.ts
 *
 * Needs root, iproute2 and Open MPI; removes its namespaces at the end. Recorded in ranks-hosts.txt.
 */
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { llama } from '../src/families/index.ts';
import { type Shard, stepBytes } from '../src/training/parallel/shard.ts';
import { communicationSeconds, efficiency, stepMessages } from '../src/training/parallel/step-time.ts';
import type { Exchanged } from './ranks/exchange.ts';
import { Hosts } from './ranks/hosts.ts';
import type { RankResult, RankSettings } from './ranks/rank.ts';

/** Between namespaces: a message takes microseconds. */
const LATENCY = 50e-6;
const NUMBERS = 8_000_000;
const ROUNDS = 2;

async function compiled(name: string): Promise<string> {
  const source = fileURLToPath(new URL(`ranks/${name}.ts`, import.meta.url));
  const program = fileURLToPath(new URL(`ranks/.${name}.generated.mjs`, import.meta.url));
  await build({
    ...{ entryPoints: [source], outfile: program, bundle: true, platform: 'node', format: 'esm' },
    ...{ packages: 'external', logLevel: 'error' },
  });
  return program;
}

const [rank, exchange] = await Promise.all([compiled('rank'), compiled('exchange')]);
const config = {
  ...llama.presets['llama-3.2-1b']!.config,
  ...{ vocab_size: 8192, hidden_size: 384, intermediate_size: 1024, num_hidden_layers: 6, head_dim: 64 },
  ...{ num_attention_heads: 6, num_key_value_heads: 2, rope_scaling: null, tie_word_embeddings: true },
};
const weights = llama.build(config).parameterCount();
const settings = (shard: Shard, batch: number): RankSettings => ({
  ...{ family: 'llama', config, batch, seq: 256, steps: 4, threads: 1, lr: 1e-3 },
  ...{ memory: 'fast', shard, wire: 'float32', optimizer: 'adamw' },
});
const ROWS = 6;
const hosts = new Hosts(4);

/** The fastest step after the first, in seconds. */
const fastest = (results: readonly RankResult[]) => Math.min(...results[0]!.seconds.slice(1));
const lastLine = <T>(text: string) => JSON.parse(text.trim().split('\n').at(-1)!) as T;

/** Ranks that compute at the same time, without communicating: each is alone as far as it can tell. */
async function computing(ranks: number): Promise<number> {
  const alone = ['env', '-u', 'OMPI_COMM_WORLD_SIZE'];
  const own = [process.execPath, rank, JSON.stringify(settings('none', ROWS))];
  const text = await hosts.output(ranks, [...alone, ...own]);
  const lines = text
    .trim()
    .split('\n')
    .map((line) => fastest(JSON.parse(line) as RankResult[]));
  return Math.max(...lines);
}

async function training(ranks: number, shard: Shard): Promise<number> {
  const own = [process.execPath, rank, JSON.stringify(settings(shard, ROWS * ranks))];
  return fastest(lastLine<RankResult[]>(await hosts.output(ranks, own)));
}

try {
  console.log(`bytes that leave a host against theory, ${NUMBERS / 1e6}M weights, by the kernel's counters:`);
  for (const ranks of [2, 3, 4]) {
    const command = [process.execPath, exchange, String(NUMBERS)];
    const results = lastLine<Exchanged[]>(await hosts.output(ranks, command));
    for (const shard of ['none', 'states', 'all'] as const) {
      const theory = stepBytes(shard, ranks, { weights: NUMBERS, gradients: NUMBERS });
      const sent = results.reduce((sum, each) => sum + each[shard].kernel, 0) / ranks;
      const { seconds } = results[0]![shard];
      console.log(
        `${ranks} hosts, ${shard}: ${(sent / 1e6).toFixed(1)} MB, ${((100 * sent) / theory).toFixed(1)} %; ${(theory / seconds / 1e6).toFixed(0)} MB/s without a limit`,
      );
    }
  }
  console.log(
    `a Llama of ${(weights / 1e6).toFixed(1)}M weights, ${ROWS} × 256 tokens a rank, one core each where there are as many, fast memory; best of ${ROUNDS} rounds; load ${loadavg()[0]!.toFixed(1)}`,
  );
  let worst = 0;
  for (const [ranks, shard] of [
    [2, 'none'],
    [2, 'states'],
    [3, 'none'],
    [4, 'none'],
  ] as const) {
    const best = {
      alone: Number.POSITIVE_INFINITY,
      '1gbit': Number.POSITIVE_INFINITY,
      '200mbit': Number.POSITIVE_INFINITY,
    };
    for (let round = 0; round < ROUNDS; round++) {
      hosts.limit(undefined);
      best.alone = Math.min(best.alone, await computing(ranks));
      for (const rate of ['1gbit', '200mbit'] as const) {
        hosts.limit(rate);
        best[rate] = Math.min(best[rate], await training(ranks, shard));
      }
    }
    for (const [rate, bandwidth] of [
      ['1gbit', 1e9],
      ['200mbit', 200e6],
    ] as const) {
      const bytes = stepBytes(shard, ranks, { weights, gradients: weights });
      const messages = stepMessages(shard, ranks, 0);
      const seconds = communicationSeconds({ bytes, messages }, { bandwidth, latency: LATENCY });
      const planned = efficiency(best.alone, seconds);
      const measured = best.alone / best[rate];
      worst = Math.max(worst, Math.abs(measured / planned - 1));
      console.log(
        `${ranks} hosts, ${shard}, ${bandwidth / 1e6} Mb/s: ${best.alone.toFixed(2)} s computing, ${best[rate].toFixed(2)} s a step; efficiency ${(100 * measured).toFixed(1)} %, planned ${(100 * planned).toFixed(1)} % (${(100 * (measured / planned - 1)).toFixed(1)} %)`,
      );
    }
  }
  console.log(`largest deviation from the plan: ${(100 * worst).toFixed(1)} %`);
  if (worst > 0.15) process.exitCode = 1;
} finally {
  hosts.remove();
}
