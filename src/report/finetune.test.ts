import { expect, it } from 'vitest';
import { buildFinetuneReport, type FinetuneResults } from './finetune.ts';

const results: FinetuneResults = {
  ...{ model: 'small', parameters: 100, trainedParameters: 100, examples: 10, validationExamples: 0 },
  ...{ tokensPerEpoch: 100, trainedTokensPerEpoch: 100, steps: 40, epochs: 1, resultStep: 40 },
  ...{ stoppedEarly: false, curve: [{ step: 1, loss: 2 }], evaluations: [], skipped: [], overflowed: [] },
  ...{ samples: [], settings: {}, tokensPerSecond: 1, engineShare: 0, surroundings: {} },
};
const text = (changed: Partial<FinetuneResults>, locale: 'en' | 'ko') =>
  buildFinetuneReport({ ...results, ...changed }, locale).replaceAll(/\s+/g, ' ');

it('lists steps that were skipped, and why', () => {
  const twelve = Array.from({ length: 12 }, (_, i) => i + 3);
  const both = { skipped: twelve, overflowed: [1, 2] };
  const shown = text(both, 'en');
  expect(shown).toMatch(
    /The batches of 12 steps were skipped because their loss was far above the others: 3, 4, .*11, 12, …\./,
  );
  expect(shown).toContain(
    '2 steps changed nothing, because their gradients were not finite in float16; after each, the loss scale was halved: 1, 2.',
  );
  expect(text(both, 'ko')).toMatch(/float16에서 기울기가 유한하지 않아 .*: 1, 2 \(모두 2개\)/);
});

it('says nothing of skipped steps where there are none', () => {
  expect(text({}, 'en')).not.toMatch(/skipped|float16/);
});
