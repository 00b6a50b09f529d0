import { describe, expect, it } from 'vitest';
import { llama } from '../src/families/index.ts';
import { stepBytes } from '../src/training/parallel/shard.ts';
import type { RankResult, RankSettings } from '../verify/ranks/rank.ts';
import { buildProgram, start } from './helpers/cli.node.ts';
import { HAS_MPI, LAUNCHERS, mpirunBy } from './helpers/ranks.node.ts';

/** Far more weights than a step's tokens, so that what tokens send counts for little. */
const config = {
  ...llama.presets['llama-3.2-1b']!.config,
  ...{ vocab_size: 2048, hidden_size: 64, intermediate_size: 192, num_hidden_layers: 40, head_dim: 16 },
  ...{ num_attention_heads: 4, num_key_value_heads: 2, rope_scaling: null },
};
const weights = llama.build(config).parameterCount();
const settings: RankSettings = {
  ...{ family: 'llama', config, batch: 4, seq: 4, steps: 3, threads: 1, memory: 'light' },
  ...{ shard: 'none', wire: 'float32', optimizer: 'adamw', lr: 1e-3 },
};

/** Steps of a learner on some ranks. */
async function measure(ranks: number, more: Partial<RankSettings> = {}): Promise<RankResult[]> {
  const program = await buildProgram('verify/ranks/rank.ts');
  const args = [JSON.stringify({ ...settings, ...more })];
  const started =
    ranks === 1
      ? start(program, args)
      : await mpirunBy({ ...LAUNCHERS[0]!, programs: [program] }, ranks, args);
  const { code, stdout, stderr } = await started.finished;
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as RankResult[];
}

const mean = (results: readonly RankResult[]) =>
  results.reduce((sum, { bytesSent }) => sum + bytesSent, 0) / results.length;

function expectLosses(
  [{ losses }]: readonly [RankResult],
  wanted: readonly number[],
  tolerance: number,
): void {
  for (const [i, loss] of losses.entries()) expect(Math.abs(loss / wanted[i]! - 1)).toBeLessThan(tolerance);
}

describe.skipIf(!HAS_MPI)('ranks that divide a model', () => {
  it.each([
    ['none', 2],
    ['states', 4],
    ['all', 2],
    ['all', 4],
  ] as const)('send what theory says: %s on %d ranks', async (shard, ranks) => {
    const [one] = await measure(1);
    // In many chunks of the vocabulary.
    const results = await measure(ranks, { shard, headChunk: 300 });
    for (const result of results) expectLosses([result], one!.losses, 1e-6);
    // The last block and the final norm, which run first backward, are still there.
    const bytes = mean(results) / stepBytes(shard, ranks, { weights, gradients: weights });
    expect(Math.abs(bytes - 1)).toBeLessThan(0.03);
  });

  it('send half for gradients in bfloat16, with losses that hardly differ', async () => {
    const [one] = await measure(1);
    for (const shard of ['none', 'all'] as const) {
      const results = await measure(2, { shard, wire: 'bfloat16', headChunk: 300 });
      expectLosses([results[0]!], one!.losses, 1e-4);
      // Rounded, so not the same.
      expect(results[0]!.losses.at(-1)).not.toBe(one!.losses.at(-1));
      const bytes = mean(results) / stepBytes(shard, 2, { weights, gradients: weights }, 'bfloat16');
      expect(Math.abs(bytes - 1)).toBeLessThan(0.03);
    }
  });
});
