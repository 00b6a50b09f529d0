import { z } from 'zod';
import { count, oneOf, option, text, texts } from '../options.ts';
import { FINETUNE_DEFAULTS } from '../training/defaults.ts';
import type { TrainingInput, TrainingSettings, Verb } from '../training/settings.ts';

/** The options specific to `finetune`. */
const own = {
  trainOn: option(oneOf(['assistant', 'all']), 'tokens whose loss counts', { value: 'which' }),
  pack: option(z.boolean('give true or false'), 'one example per row, instead of as many as fit'),
  addToken: option(texts, 'a new special token', { value: 'text' }),
  trainNewRowsFirst: option(count, 'first steps, in which only the rows of new tokens are trained', {
    value: 'n',
  }).optional(),
  evaluate: option(
    texts,
    'a task file of lm-evaluation-harness, or "forgetting", to evaluate before, during and after training',
    { value: 'task' },
  ).optional(),
  evaluateData: option(texts, 'rows of a data set of these tasks: NAME=PATH', {
    value: 'name=path',
  }).optional(),
  evaluateLimit: option(count, 'maximum number of items of each of these tasks', { value: 'n' }).optional(),
  bestBy: option(
    text,
    'metric of one of these tasks that decides which weights are the best, instead of the held-out loss',
    { value: 'task/metric' },
  ).optional(),
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
/** Everything that a run's numbers depend on, besides model and data. */
export type FinetuneSettings = TrainingSettings & Own;
/** The same, with optional fields. */
export type FinetuneInput = TrainingInput & Partial<Own>;
