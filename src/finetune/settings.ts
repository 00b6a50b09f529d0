import { z } from 'zod';
import { oneOf, option, texts } from '../options.ts';
import { FINETUNE_DEFAULTS } from '../training/defaults.ts';
import type { TrainingInput, TrainingSettings, Verb } from '../training/settings.ts';

/** The options of `finetune` alone. */
const own = {
  trainOn: option(oneOf(['assistant', 'all']), 'tokens whose loss counts', { value: 'which' }),
  pack: option(z.boolean('give true or false'), 'one example per row, instead of as many as fit'),
  addToken: option(texts, 'a new special token', { value: 'text' }),
};

export const FINETUNE = {
  name: 'finetune',
  own,
  defaults: {
    ...FINETUNE_DEFAULTS,
    ...{ trainOn: 'assistant', pack: true, addToken: [] },
  },
} satisfies Verb<typeof own> as Verb<typeof own>;

type Own = Readonly<z.output<z.ZodObject<typeof own>>>;
/** Everything that the numbers of a run depend on, besides model and data. */
export type FinetuneSettings = TrainingSettings & Own;
/** The same with defaults left out. */
export type FinetuneInput = TrainingInput & Partial<Own>;
