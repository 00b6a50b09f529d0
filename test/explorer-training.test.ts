import { describe, expect, it } from 'vitest';
import { USUAL_STEPS } from '../explorer/worker/train-protocol.ts';
import { PageTraining, prepareText } from '../explorer/worker/training.ts';
import { nodeEngine } from '../src/runtime/engine.node.ts';
import { mobyDick } from '../src/text/moby-dick.node.ts';

/** Counted in steps, which a busy machine does not change; bench/explorer.ts measures how long the page takes. */
const ENOUGH_STEPS = 700;

describe('the training of the explorer', () => {
  it('falls below the bigram of the built-in text within the first part of its usual steps', async () => {
    const corpus = await prepareText(await mobyDick(), () => {});
    const training = await PageTraining.create(
      nodeEngine({ threads: 1 }),
      'gemma2/tiny',
      corpus,
      USUAL_STEPS,
    );
    const losses: { step: number; loss: number }[] = [];
    for await (const event of training.trainer.run()) {
      if (event.type !== 'evaluation') continue;
      losses.push({ step: event.step, loss: event.loss });
      if (event.loss < corpus.bigram || event.step >= ENOUGH_STEPS) break;
    }
    await training.release();
    expect(losses[0]!.loss).toBeGreaterThan(corpus.bigram + 2);
    expect(losses.at(-1)!.loss).toBeLessThan(corpus.bigram);
    expect(losses.at(-1)!.step).toBeLessThanOrEqual(ENOUGH_STEPS);
  }, 300_000);
});
