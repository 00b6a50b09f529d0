import { z } from 'zod';
import { option as named, RopewalkError } from '../../errors.ts';
import { OptionError, parseOptions, together } from '../../options.ts';
import { adafactor } from './adafactor.ts';
import { adamw } from './adamw.ts';
import type { ParameterShape } from './optimizer-common.ts';
import type { Means, OptimizerRecord, Options, SizedOptimizer } from './record.ts';
import { sgd } from './sgd.ts';

export { OPTIMIZER_STATES, type OptimizerStates } from './adamw.ts';
export type { OptimizerRecord, SizedOptimizer } from './record.ts';

/**
 * All optimizers. Their state and cost, measured on one core (all but Adafactor run on several) per 16.8 million weights, with the gradients in the same
 * memory as the weights (or in another):
 *
 * | kind, states      | bytes a weight | ms      | against float32 arithmetic                          |
 * |-------------------|----------------|---------|-----------------------------------------------------|
 * | `sgd`             | 0              | 4 (7)   | the same                                            |
 * | `adamw` float32   | 8              | 10 (22) | PyTorch's, to the last digits                       |
 * | `adamw` bfloat16  | 4              | 15 (25) | steps differ by 2 %, without a drift                |
 * | `adamw` int8      | 2.03           | 33 (41) | steps differ by 15 %, without a drift               |
 * | `adafactor`       | about 0        | 38      | PyTorch's Adafactor; no momentum, relative steps    |
 */
const RECORDS = [adamw, adafactor, sgd] as const;

type Records = (typeof RECORDS)[number];
export type OptimizerKind = Records['name'];
export const OPTIMIZERS = RECORDS.map(({ name }) => name) as [OptimizerKind, ...OptimizerKind[]];

/** The options of all optimizers, by name. Options with the same name have the same type. */
export const optimizerOptions = together(RECORDS);
type Shapes = typeof optimizerOptions;

/** Option values: each optimizer takes those that it has. */
export type OptimizerOptions = Partial<Options<Shapes>>;
export interface CreateOptimizerOptions extends OptimizerOptions, Means {}

/** @throws RopewalkError naming the optimizers that exist. */
export function optimizerRecord(kind: string): OptimizerRecord {
  const record = RECORDS.find(({ name }) => name === kind);
  if (!record)
    throw new RopewalkError(`there is no optimizer "${kind}"; there are ${OPTIMIZERS.join(', ')}.`);
  return record as unknown as OptimizerRecord;
}

/** The optimizers that have an option. */
export function optimizersWith(name: string): OptimizerKind[] {
  return RECORDS.filter(({ options }) => Object.hasOwn(options, name)).map((record) => record.name);
}

/**
 * The options of an optimizer, completed with defaults.
 *
 * @param defaults replace the optimizer's own, if it has such options.
 * @throws OptionError for an option that it does not have.
 */
export function optionsOf(
  kind: string,
  given: OptimizerOptions,
  defaults: OptimizerOptions = {},
): Readonly<Record<string, unknown>> {
  const record = optimizerRecord(kind);
  const known = ([name, value]: [string, unknown]) =>
    value !== undefined && Object.hasOwn(record.options, name);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || Object.hasOwn(record.options, name)) continue;
    const others = optimizersWith(name);
    const choices = others.flatMap((other, i) => [
      i === 0 ? ', or choose ' : ' or ',
      named('optimizer', other),
    ]);
    throw new OptionError(name, [
      ...[`the optimizer ${kind} has no such option; leave it out`, ...choices, '.'],
    ]);
  }
  const own = Object.fromEntries(Object.entries(given).filter(known));
  const checked = parseOptions(z.strictObject(record.options).partial(), own);
  return { ...record.defaults, ...Object.fromEntries(Object.entries(defaults).filter(known)), ...checked };
}

/**
 * @param parameters to update, ideally a learner's: states are then allocated next to their values, if there is room.
 * @throws RopewalkError for an option that this optimizer does not have.
 */
export function createOptimizer(
  kind: OptimizerKind,
  parameters: readonly ParameterShape[],
  { memory, seed, ...options }: CreateOptimizerOptions = {},
): SizedOptimizer {
  const means = { ...(memory && { memory }), ...(seed !== undefined && { seed }) };
  return optimizerRecord(kind).create(parameters, { ...optionsOf(kind, options), ...means });
}
