import { summarizeAblation } from '../../src/ablate/ablate.ts';
import { ladder } from '../../src/ablate/ladder.ts';
import type { AblationResult } from '../../src/ablate/result.ts';

/** An ablation from GPT to Llama 3 whose runs were not trained: their losses fall by the row. */
export function madeUpAblation(): AblationResult {
  const steps = ladder('gpt', 'llama3');
  const seeds = [0, 1, 2];
  const runs = steps.rungs.flatMap((_, rung) =>
    seeds.map((seed) => ({
      ...{ rung, seed },
      loss: 3.4 - 0.05 * rung + 0.01 * ((seed * 7 + rung * 3) % 5),
      tokensPerSecond: 20_000 - 900 * rung + 150 * ((seed * 5 + rung) % 4),
    })),
  );
  const training = {
    steps: 600,
    accumulate: 1,
    lr: 2.5e-3,
    schedule: 'cosine',
    warmup: 40,
    clip: 1,
  } as const;
  const settings = {
    ...{ from: 'gpt', to: 'llama3', seeds, training },
    ...{ shape: { batch: 4, seq: 64 }, weightDecay: 0.02 },
  };
  return summarizeAblation(steps, settings, runs, 512);
}
