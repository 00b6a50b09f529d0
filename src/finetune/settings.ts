import { z } from 'zod';
import { RopewalkError } from '../errors.ts';

const count = z.int().min(1);
const whole = z.int().min(0);
const notNegative = z.number().min(0);
const texts = z.array(z.string());

/** What a fine-tuning run is made of: the options of `ropewalk finetune`, by their names in camelCase. */
export const finetuneSettings = z.strictObject({
  /** Passes over the training data; where `steps` is given, that many steps instead. */
  epochs: z.number().positive().default(3),
  steps: count.optional(),
  /** Rows in a micro-batch, tokens in a row, and micro-batches for each step. */
  batch: count.default(4),
  seq: count.default(512),
  accumulate: count.default(1),
  /** Whether several examples share a row; each sees only itself. */
  pack: z.boolean().default(true),
  lr: z.number().positive().default(2e-5),
  schedule: z.enum(['cosine', 'linear', 'constant']).default('cosine'),
  /** Steps in which the rate climbs; default 5 % of all, at most 100. */
  warmup: whole.optional(),
  minLrRatio: z.number().min(0).max(1).default(0.1),
  weightDecay: notNegative.default(0.01),
  beta1: z.number().min(0).lt(1).default(0.9),
  beta2: z.number().min(0).lt(1).default(0.999),
  eps: notNegative.default(1e-8),
  clip: notNegative.default(1),
  optimizer: z.enum(['adamw', 'adafactor', 'sgd']).default('adamw'),
  /** What AdamW keeps its moments in. */
  states: z.enum(['float32', 'bfloat16', 'int8']).default('float32'),
  memory: z.enum(['fast', 'recompute', 'light']).default('fast'),
  freeze: texts.default([]),
  addToken: texts.default([]),
  trainOn: z.enum(['assistant', 'all']).default('assistant'),
  /** Share (below 1) or number of the examples that are held out. */
  validation: notNegative.default(0.05),
  evalEvery: whole.default(50),
  saveEvery: whole.default(100),
  keep: count.default(2),
  /** Evaluations without a lower loss after which training ends; 0 for never. */
  patience: whole.default(0),
  /** Standard deviations above the recent losses from which a batch is skipped; 0 for never. */
  guard: notNegative.default(6),
  samplePrompt: texts.default([]),
  sampleTokens: count.default(48),
  /** What the result is stored in. */
  dtype: z.enum(['float32', 'bfloat16']).default('float32'),
  /** Which weights the result has: those of the lowest held-out loss, or the last ones. */
  result: z.enum(['best', 'last']).default('best'),
  seed: z.int().default(0),
});

/** Everything that the numbers of a run depend on, besides model and data. */
export type FinetuneSettings = z.output<typeof finetuneSettings>;
/** The same with defaults left out. */
export type FinetuneInput = z.input<typeof finetuneSettings>;

/** minLrRatio → min-lr-ratio: as options and configuration files spell it. */
export function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

export function camel(name: string): string {
  return name.replaceAll(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/**
 * Checks settings and fills in defaults.
 *
 * @param source what an error calls the place of a setting, by its name in camelCase.
 * @throws RopewalkError naming the setting, what is wrong with it, and for an unknown one the names there are.
 */
export function checkSettings<S extends z.ZodType>(
  schema: S,
  input: unknown,
  source: (name: string) => string,
): z.output<S> {
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  if (issue.code === 'unrecognized_keys') {
    const name = issue.keys[0]!;
    const known = schema instanceof z.ZodObject ? Object.keys(schema.shape).map(kebab) : [];
    throw new RopewalkError(
      `${source(name)} is no setting of fine-tuning; there are ${known.sort().join(', ')}.`,
    );
  }
  const name = String(issue.path[0] ?? '');
  throw new RopewalkError(`${source(name)}: ${issue.message.replace(/\.$/, '')}.`);
}
