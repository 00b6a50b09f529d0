import { describe, expect, it } from 'vitest';
import { compareRandomTokenizer, emptyComparison } from './helpers/random-tokenizers/compare.ts';
import { tryMutant } from './helpers/random-tokenizers/mutants.ts';
import { askRust } from './helpers/random-tokenizers/rust.node.ts';
import { cpuSeconds } from './helpers/work.node.ts';

/**
 * A sample of verify/tokenizers.ts: random tokenizers of every component and option on random Unicode, against the Rust
 * library.
 */
const SEEDS = 70;
const TEXTS = 5;
/** Where the library panics, which ends the process that it runs in: verify/tokenizers.ts gives it one of its own. */
const PANICS: readonly number[] = [38, 68];

describe('random tokenizers', () => {
  it('give the ids and texts of the Rust library, or are refused by name', async () => {
    const result = emptyComparison();
    for (let seed = 0; seed < SEEDS; seed++) {
      if (!PANICS.includes(seed)) await compareRandomTokenizer(seed, TEXTS, askRust, result);
    }
    expect(result.differing).toEqual([]);
    expect(result.pairs).toBe((SEEDS - PANICS.length) * TEXTS);
    const refused = [...result.refused.values()].reduce((sum, times) => sum + times, 0);
    expect(result.equal + refused).toBe(result.pairs);
    expect(refused).toBeLessThan(0.05 * result.pairs);
    for (const message of result.refused.keys()) expect(message).toMatch(/^tokenizer\.json: .*"/);
  });
});

describe('damaged tokenizer files', () => {
  it('are refused or usable, within bounded time', () => {
    const outcomes = { refused: 0, opened: 0 };
    for (let seed = 0; seed < 300; seed++) {
      const seconds = cpuSeconds(() => outcomes[tryMutant(seed)]++);
      expect(seconds, `seed ${seed}`).toBeLessThan(10);
    }
    expect(outcomes.opened).toBeGreaterThan(20);
    expect(outcomes.refused).toBeGreaterThan(100);
  });
});
