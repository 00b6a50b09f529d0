import { z } from 'zod';
import { option as named, said } from '../errors.ts';
import {
  count,
  integer,
  notNegative,
  OptionError,
  oneOf,
  option,
  parseOptions,
  positive,
  texts,
  wholeNumber,
  wordsOf,
} from '../options.ts';
import { MEMORY_MODES } from './create-learner.ts';
import { TRAIN_DEFAULTS, type VerbDefaults } from './defaults.ts';
import { OPTIMIZERS, optimizerOptions, optionsOf } from './optimizers/create-optimizer.ts';
import { SCHEDULES, scheduleOptions, scheduleOptionsOf, scheduleSettings } from './schedule.ts';

/** What finished weights can be stored in, as safetensors files call it. */
export const RESULT_TYPES = { float32: 'F32', bfloat16: 'BF16' } as const;

/** Options of optimizers that have words; the others are programs and finer points, for `createOptimizer` alone. */
const ofOptimizers = Object.fromEntries(
  Object.entries(optimizerOptions).filter(([, schema]) => wordsOf(schema)),
) as Omit<typeof optimizerOptions, 'decays' | 'epsilons'>;

/** The options of every run: `train`, `finetune` and `distill` have all of them, and the library by the same names. */
export const trainingOptions = {
  steps: option(count, 'optimizer steps', { value: 'n' }),
  epochs: option(positive, 'passes over the training data, in place of steps', { value: 'n' }),
  batch: option(count, 'rows in a micro-batch', { value: 'n' }),
  seq: option(count, 'tokens in a row', { value: 'n' }),
  accumulate: option(count, 'micro-batches for each step', { value: 'n' }),
  lr: option(positive, 'peak learning rate', { value: 'rate' }),
  warmup: option(wholeNumber, 'steps in which the rate climbs', { value: 'n' }),
  schedule: option(oneOf(SCHEDULES), 'how the rate falls after that', { value: 'kind' }),
  ...scheduleOptions,
  optimizer: option(oneOf(OPTIMIZERS), 'what updates the weights', { value: 'kind' }),
  ...ofOptimizers,
  clip: option(notNegative, 'largest gradient norm; 0 for no clipping', { value: 'norm' }),
  memory: option(
    oneOf(MEMORY_MODES),
    'fast; recompute activations; or light, which also updates during the backward pass',
    { value: 'mode' },
  ),
  freeze: option(texts, "weights that are not trained, such as 'model.layers.0.*'", { value: 'pattern' }),
  validation: option(notNegative, 'held out: a share below 1, or a number; 0 for nothing', { value: 'n' }),
  evalEvery: option(wholeNumber, 'steps between evaluations; 0 for only at the end', { value: 'n' }),
  patience: option(wholeNumber, 'evaluations without a lower loss that end training; 0 for never', {
    value: 'n',
  }),
  guard: option(
    notNegative,
    'skip batches whose loss is this many deviations above the recent ones; 0 for never',
    {
      value: 'z',
    },
  ),
  saveEvery: option(wholeNumber, 'steps between checkpoints; 0 for only at the end', { value: 'n' }),
  keep: option(count, 'checkpoints kept', { value: 'n' }),
  result: option(oneOf(['best', 'last']), 'weights of the lowest held-out loss, or the last ones', {
    value: 'which',
  }),
  dtype: option(
    oneOf(Object.keys(RESULT_TYPES) as ['float32', 'bfloat16']),
    'what the finished weights are stored in',
    { value: 'form' },
  ),
  seed: option(integer, 'seed of all random choices', { value: 'n' }),
};

type Shape = typeof trainingOptions;
/** What a run may be told; what is left out is a verb's default. */
export type TrainingInput = Partial<Readonly<z.output<z.ZodObject<Shape>>>>;

type Values<Own extends z.ZodRawShape> = keyof Own extends never
  ? unknown
  : Readonly<z.output<z.ZodObject<Own>>>;

/** What one of the verbs may be told: the options of every run and its own, and what they are where nothing is said. */
export interface Verb<Own extends z.ZodRawShape = z.ZodRawShape> {
  readonly name: 'train' | 'finetune' | 'distill';
  readonly own: Own;
  readonly defaults: VerbDefaults & Values<Own>;
}

export const TRAIN = { name: 'train', own: {}, defaults: TRAIN_DEFAULTS } satisfies Verb;

/** The options of a run, complete but for its length: see `lengthOf`. */
export type TrainingSettings = VerbDefaults;

/** A run's length: `steps` are all of them. */
export interface RunLength {
  readonly steps: number;
  readonly warmup: number;
}

/**
 * Checks what a run is told, and completes it.
 *
 * @throws OptionError naming the option that is unknown, wrong, contradicts another, or would be ignored.
 */
export function resolveSettings<Own extends z.ZodRawShape>(
  { own, defaults }: Verb<Own>,
  input: TrainingInput & Partial<Values<Own>>,
): TrainingSettings & Values<Own> {
  const given = parseOptions(
    z.strictObject({ ...trainingOptions, ...own }).partial(),
    input,
  ) as TrainingInput;
  if (given.steps !== undefined && given.epochs !== undefined) {
    throw new OptionError(
      'epochs',
      said`${named('steps')} says how long to train, too; leave one of the two out.`,
    );
  }
  const { optimizer = defaults.optimizer, schedule = defaults.schedule, steps, epochs } = given;
  const chosen = {
    ...optionsOf(optimizer, only(given, ofOptimizers), only(defaults, ofOptimizers)),
    ...scheduleOptionsOf(schedule, scheduleSettings(given)),
  };
  const all: Record<string, unknown> = { ...defaults, ...given, ...chosen };
  // The two ways to say how long a run is exclude each other, and so do the options of what was not chosen.
  if (steps !== undefined) delete all.epochs;
  if (epochs !== undefined) delete all.steps;
  for (const name of Object.keys({ ...ofOptimizers, ...scheduleOptions }))
    if (!(name in chosen)) delete all[name];
  const order = Object.keys({ ...trainingOptions, ...own });
  const settings = Object.fromEntries(
    order.filter((name) => all[name] !== undefined).map((name) => [name, all[name]]),
  );
  checkTogether(settings as TrainingSettings, given);
  return settings as TrainingSettings & Values<Own>;
}

function checkTogether(settings: TrainingSettings, given: TrainingInput): void {
  if (settings.memory === 'light' && settings.accumulate > 1) {
    throw new OptionError(
      'memory',
      said`light updates weights as their gradients come, which allows one micro-batch a step, but ${named('accumulate')} is ${settings.accumulate}; leave that out, or choose ${named('memory', 'recompute')}.`,
    );
  }
  if (settings.validation > 0) return;
  const idle = { evalEvery: given.evalEvery, patience: given.patience, result: given.result === 'best' };
  const [name] = Object.entries(idle).find(([, value]) => value) ?? [];
  if (name) {
    throw new OptionError(
      name,
      said`${named('validation')} is 0, and nothing is evaluated without held-out data; leave it out, or hold some out.`,
    );
  }
}

/** @param stepsPerEpoch a share of a step where an epoch is less than one. */
export function lengthOf({ steps, epochs, warmup }: TrainingSettings, stepsPerEpoch: number): RunLength {
  const all = steps ?? Math.max(1, Math.ceil(epochs! * stepsPerEpoch));
  return { steps: all, warmup: Math.min(all, warmup ?? Math.min(100, Math.round(0.05 * all))) };
}

/** In words, for help: what `lengthOf` does. */
export const WARMUP_DEFAULT = '5 % of all, at most 100';

function only(values: object, shape: object): object {
  return Object.fromEntries(Object.entries(values).filter(([name]) => Object.hasOwn(shape, name)));
}

/** Those of the settings that are options of an optimizer. */
export function optimizerSettings(
  settings: TrainingSettings,
): Partial<z.output<z.ZodObject<typeof ofOptimizers>>> {
  return only(settings, ofOptimizers);
}
