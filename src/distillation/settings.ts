import { z } from 'zod';
import { option, positive } from '../options.ts';
import { DISTILL_DEFAULTS } from '../training/defaults.ts';
import type { TrainingInput, TrainingSettings, Verb } from '../training/settings.ts';

const RATIO =
  "give the teacher's share of the loss, above 0 and at most 1; to train without a teacher, use train";

/** The options specific to `distill`. */
const own = {
  temperature: option(positive, 'temperature of both softmaxes', { value: 't' }),
  ratio: option(
    z.number(RATIO).positive(RATIO).max(1, RATIO),
    "the teacher's share of the loss; the rest is next-token prediction",
    { value: 'r' },
  ),
};

export const DISTILL = {
  name: 'distill',
  own,
  defaults: { ...DISTILL_DEFAULTS, temperature: 1, ratio: 1 },
} satisfies Verb<typeof own> as Verb<typeof own>;

type Own = Readonly<z.output<z.ZodObject<typeof own>>>;
/** Everything that a run's numbers depend on, besides student, teacher and text. */
export type DistillSettings = TrainingSettings & Own;
/** The same, with optional fields. */
export type DistillInput = TrainingInput & Partial<Own>;
