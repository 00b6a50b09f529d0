/**
 * Memory per rank as the operating system counts it (the peak, VmHWM) against its plan, for each kind of sharding; bytes
 * sent against theory; losses against one process; and a Gemma-2-2B shape on 4 ranks.
 *
 *     node scripts/run-ts.js verify/ranks-memory.ts [--only none|states|all|wire|gemma] [--seq 256] [--ranks 1,2,4]
 *
 * Needs Open MPI, 14 GB of memory for the kinds and 20 GB for Gemma. Random weights. What was recorded of it is in ranks-memory.txt.
 */
import { parseArgs } from 'node:util';
import { gemma2, llama } from '../src/families/index.ts';
import { stepBytes } from '../src/training/parallel/shard.ts';
import { rankProgram } from './ranks/measure.ts';
import type { RankResult } from './ranks/rank.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seq: { type: 'string', default: '256' },
    ranks: { type: 'string', default: '1,2,4' },
  },
});
const measure = await rankProgram();

const wants = (what: string) => values.only === undefined || values.only === what;
const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;
const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);

if (values.only !== 'gemma') {
  const config = {
    ...llama.presets['llama-3.2-1b']!.config,
    ...{ vocab_size: 32768, hidden_size: 1024, intermediate_size: 2816, num_hidden_layers: 14, head_dim: 64 },
    ...{ num_attention_heads: 16, num_key_value_heads: 8, rope_scaling: null, tie_word_embeddings: true },
  };
  const common = {
    family: 'llama',
    config,
    batch: 4,
    seq: Number(values.seq),
    steps: 2,
    threads: 1,
    lr: 1e-3,
  } as const;
  const weights = llama.build(config).parameterCount();
  console.log(
    `A Llama of ${(weights / 1e6).toFixed(0)}M weights, AdamW, light memory, 4 × ${values.seq} tokens, 2 steps`,
  );
  const numbers = values.ranks.split(',').map(Number);
  const [one] = numbers.includes(1)
    ? await measure(1, {
        ...{ ...common, memory: 'light', shard: 'none', wire: 'float32', optimizer: 'adamw' },
      })
    : [];
  /** From one process, if it was measured. */
  const differs = (losses: readonly number[]) =>
    one
      ? `; losses within ${Math.max(...losses.map((loss, i) => Math.abs(loss / one.losses[i]! - 1))).toExponential(1)}`
      : '';
  const show = (ranks: number, what: string, results: readonly RankResult[], theory: number) => {
    const peak = Math.max(...results.map((each) => each.peak));
    const sent = sum(results.map(({ bytesSent }) => bytesSent)) / results.length;
    const against =
      theory > 0
        ? `; ${(sent / 1e6).toFixed(1)} MB sent, ${((100 * sent) / theory).toFixed(1)} % of theory`
        : '';
    console.log(
      `${ranks} ranks, ${what}: ${gigabytes(peak)} a rank, ${((100 * peak) / results[0]!.plan).toFixed(0)} % of the plan${against}${differs(results[0]!.losses)}`,
    );
  };
  if (one) show(1, 'none', [one], 0);
  for (const shard of ['none', 'states', 'all'] as const) {
    if (!wants(shard)) continue;
    for (const ranks of numbers.filter((each) => each > 1)) {
      const theory = stepBytes(shard, ranks, { weights, gradients: weights });
      const settings = { ...common, memory: 'light', shard, wire: 'float32', optimizer: 'adamw' } as const;
      show(ranks, shard, await measure(ranks, settings), theory);
    }
  }
  const half = { ...common, memory: 'light', shard: 'none', wire: 'bfloat16', optimizer: 'adamw' } as const;
  const theory = stepBytes('none', 2, { weights, gradients: weights }, 'bfloat16');
  if (wants('wire')) show(2, 'none, gradients in bfloat16', await measure(2, half), theory);
}

if (wants('gemma')) {
  const { config } = gemma2.presets['gemma-2-2b']!;
  const results = await measure(4, {
    ...{ family: 'gemma2', config, batch: 4, seq: 16, steps: 3, threads: 1, lr: 1e-3 },
    ...{ memory: 'light', shard: 'all', wire: 'float32', optimizer: 'sgd' },
  });
  const total = sum(results.map(({ peak }) => peak));
  console.log(
    `Gemma-2-2B (26 layers, ${config.vocab_size} tokens, ${(gemma2.build(config).parameterCount() / 1e9).toFixed(2)}B weights), SGD, 4 × 16 tokens, 3 steps, 4 ranks, all: ${gigabytes(total)} in all, ${results.map(({ peak }) => gigabytes(peak)).join(', ')}; plan ${gigabytes(results[0]!.plan)} a rank; losses ${results[0]!.losses.map((loss) => loss.toFixed(4)).join(', ')}; ${results[0]!.seconds.map((each) => each.toFixed(0)).join(', ')} s`,
  );
}
