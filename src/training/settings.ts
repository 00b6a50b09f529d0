import { z } from 'zod';
import { type MessagePart, option as named, said } from '../errors.ts';
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
import { OPTIMIZERS, optimizerOptions, optimizerRecord, optionsOf } from './optimizers/create-optimizer.ts';
import { decayOptions } from './optimizers/record.ts';
import { SHARDS, WIRES } from './parallel/shard.ts';
import { SCHEDULES, scheduleOptions, scheduleOptionsOf, scheduleSettings } from './schedule.ts';

/** Storage types of finished weights, by their names in safetensors files. */
export const RESULT_TYPES = { float32: 'F32', bfloat16: 'BF16' } as const;

/** Optimizer options with help text; the others are functions and details, only for `createOptimizer`. */
const ofOptimizers = Object.fromEntries(
  Object.entries(optimizerOptions).filter(([, schema]) => wordsOf(schema)),
) as Omit<typeof optimizerOptions, 'decays' | 'epsilons'>;

/**
 * The options of every run: `train`, `finetune` and `distill` all have them, as does the library, by the same names.
 */
export const trainingOptions = {
  steps: option(count, 'optimizer steps', { value: 'n' }),
  epochs: option(positive, 'passes over the training data, instead of steps', { value: 'n' }),
  batch: option(count, 'rows per micro-batch', { value: 'n' }),
  seq: option(count, 'tokens per row', { value: 'n' }),
  accumulate: option(count, 'micro-batches per step', { value: 'n' }),
  lr: option(positive, 'peak learning rate', { value: 'rate' }),
  warmup: option(wholeNumber, 'steps in which the learning rate increases', { value: 'n' }),
  schedule: option(oneOf(SCHEDULES), 'how the learning rate decays after that', { value: 'kind' }),
  ...scheduleOptions,
  optimizer: option(oneOf(OPTIMIZERS), 'optimizer', { value: 'kind' }),
  ...ofOptimizers,
  clip: option(notNegative, 'largest gradient norm; 0 for no clipping', { value: 'norm' }),
  memory: option(
    oneOf(MEMORY_MODES),
    'fast; recompute activations; or light, which also updates during the backward pass',
    { value: 'mode' },
  ),
  freeze: option(texts, "weights to freeze, such as 'model.layers.0.*'", { value: 'pattern' }),
  validation: option(notNegative, 'held-out data: a share below 1, or a number; 0 for none', { value: 'n' }),
  evalEvery: option(wholeNumber, 'steps between evaluations; 0 for only at the end', { value: 'n' }),
  patience: option(wholeNumber, 'stop after this many evaluations without a lower loss; 0 for never', {
    value: 'n',
  }),
  samplePrompt: option(texts, 'prompt to continue at each evaluation', { value: 'text' }),
  sampleTokens: option(count, 'maximum number of tokens per sample', { value: 'n' }),
  guard: option(
    notNegative,
    'skip batches whose loss is this many standard deviations above recent ones; 0 for never',
    {
      value: 'z',
    },
  ),
  saveEvery: option(wholeNumber, 'steps between checkpoints; 0 for only at the end', { value: 'n' }),
  keep: option(count, 'number of checkpoints to keep', { value: 'n' }),
  result: option(
    oneOf(['best', 'last']),
    'weights to save as the result: those with the lowest held-out loss, or the last',
    {
      value: 'which',
    },
  ),
  dtype: option(
    oneOf(Object.keys(RESULT_TYPES) as ['float32', 'bfloat16']),
    'storage type of the finished weights',
    { value: 'form' },
  ),
  shard: option(
    oneOf(SHARDS),
    "what the processes of an MPI job divide among themselves: nothing; the optimizer's states; or all, weights too, in light memory",
    { value: 'what' },
  ),
  wire: option(oneOf(WIRES), 'type of gradients on their way between the processes of an MPI job', {
    value: 'form',
  }),
  seed: option(integer, 'seed of all random choices', { value: 'n' }),
};

type Shape = typeof trainingOptions;
/** Options of a run; missing ones take the command's defaults. */
export type TrainingInput = Partial<Readonly<z.output<z.ZodObject<Shape>>>>;

type Values<Own extends z.ZodRawShape> = keyof Own extends never
  ? unknown
  : Readonly<z.output<z.ZodObject<Own>>>;

/** One of the commands that train: the options of every run, its own, and their defaults. */
export interface Verb<Own extends z.ZodRawShape = z.ZodRawShape> {
  readonly name: 'train' | 'finetune' | 'distill';
  readonly own: Own;
  readonly defaults: VerbDefaults & Values<Own>;
}

export const TRAIN = { name: 'train', own: {}, defaults: TRAIN_DEFAULTS } satisfies Verb;

/** All options of a run except its length; see `lengthOf`. */
export type TrainingSettings = VerbDefaults;

/** A run's length; `steps` is the total. */
export interface RunLength {
  readonly steps: number;
  readonly warmup: number;
}

/**
 * Checks the options of a run, and fills in defaults.
 *
 * @throws OptionError naming the option that is unknown, invalid, contradicts another, or would have no effect.
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
      said`${named('steps')} also sets the length of the run; leave one of the two out.`,
    );
  }
  const { optimizer = defaults.optimizer, schedule = defaults.schedule, steps, epochs } = given;
  // A command's optimizer defaults apply only to its default optimizer, except for weight decay.
  const ofVerb = only(defaults, optimizer === defaults.optimizer ? ofOptimizers : decayOptions);
  const chosen = {
    ...optionsOf(optimizer, only(given, ofOptimizers), ofVerb),
    ...scheduleOptionsOf(schedule, scheduleSettings(given)),
  };
  // Sharded weights are updated during the backward pass.
  const implied = given.shard === 'all' ? { memory: 'light' } : {};
  const all: Record<string, unknown> = { ...defaults, ...implied, ...given, ...chosen };
  // The two ways to set the length exclude each other, and options of optimizers and schedules that were not chosen
  // are removed.
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
  if (settings.shard === 'all') checkShardedWeights(settings);
  if (settings.memory === 'light' && settings.accumulate > 1) {
    throw new OptionError(
      'memory',
      said`light updates weights as soon as their gradients exist, which allows one micro-batch per step, but ${named('accumulate')} is ${settings.accumulate}; leave that out, or choose ${named('memory', 'recompute')}.`,
    );
  }
  if (given.sampleTokens !== undefined && given.samplePrompt === undefined) {
    throw new OptionError(
      'sampleTokens',
      said`there is no ${named('samplePrompt')} to continue; give one, or leave it out.`,
    );
  }
  if (settings.validation > 0) return;
  const idle = { evalEvery: given.evalEvery, patience: given.patience, result: given.result === 'best' };
  const [name] = Object.entries(idle).find(([, value]) => value) ?? [];
  if (name) {
    throw new OptionError(
      name,
      said`${named('validation')} is 0, so there is no held-out data to evaluate; leave it out, or hold some data out.`,
    );
  }
}

/** @throws OptionError for what needs all weights in one process. */
function checkShardedWeights({ memory, optimizer, samplePrompt }: TrainingSettings): void {
  const refuse = (why: readonly MessagePart[]) => {
    throw new OptionError('shard', why);
  };
  if (memory !== 'light') {
    refuse(
      said`weights are gathered block by block and updated during the backward pass, so ${named('memory', memory)} is not possible; leave that out, or choose ${named('shard', 'states')}.`,
    );
  }
  if (optimizerRecord(optimizer).needsWholeWeights) {
    refuse(
      said`${named('optimizer', optimizer)} updates weights only as wholes; choose another one, or ${named('shard', 'states')}.`,
    );
  }
  if (samplePrompt.length > 0) {
    refuse(
      said`no process has all weights, which ${named('samplePrompt')} needs; leave that out, or choose ${named('shard', 'states')}.`,
    );
  }
}

/** @param stepsPerEpoch a fraction if an epoch is less than one step. */
export function lengthOf({ steps, epochs, warmup }: TrainingSettings, stepsPerEpoch: number): RunLength {
  const all = steps ?? Math.max(1, Math.ceil(epochs! * stepsPerEpoch));
  return { steps: all, warmup: Math.min(all, warmup ?? Math.min(100, Math.round(0.05 * all))) };
}

/** The default of `lengthOf`, for help. */
export const WARMUP_DEFAULT = '5 % of all steps, at most 100';

function only(values: object, shape: object): object {
  return Object.fromEntries(Object.entries(values).filter(([name]) => Object.hasOwn(shape, name)));
}

/** The settings that are options of an optimizer. */
export function optimizerSettings(
  settings: TrainingSettings,
): Partial<z.output<z.ZodObject<typeof ofOptimizers>>> {
  return only(settings, ofOptimizers);
}
