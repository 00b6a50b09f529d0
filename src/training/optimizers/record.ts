import { z } from 'zod';
import { notNegative, option } from '../../options.ts';
import type { HostMemory } from '../../runtime/host-memory.ts';
import type { Optimizer, ParameterShape } from './optimizer-common.ts';

/** What every optimizer may be given beside its options; it uses what it has a use for. */
export interface Means {
  /** Where states lie that find no room beside their weights. Default: memory of the optimizer's own. */
  readonly memory?: HostMemory;
  /** Of what is drawn: a whole number. The same seed gives the same bits. Default 0. */
  readonly seed?: number;
}

/** An optimizer that says how much memory its state takes. */
export interface SizedOptimizer extends Optimizer {
  /** Bytes of state for each weight, on average. */
  readonly bytesPerParameter: number;
}

/**
 * All that is to be known of an optimizer. Flags, configuration files, help, plans and errors follow from the list of them in
 * `create-optimizer.ts`; how to add one is in docs/adding-an-optimizer.md.
 */
export interface OptimizerRecord<Name extends string = string, Shape extends z.ZodRawShape = z.ZodRawShape> {
  readonly name: Name;
  /** Its options. Several optimizers may share one; those without words are the library's alone. */
  readonly options: Shape;
  readonly defaults: Options<Shape>;
  /** Bytes that it keeps for one weight of this shape. */
  stateBytes(shape: readonly number[], options: Options<Shape>): number;
  /** @param parameters those that will be updated, best a learner's own: states lie beside their values then. */
  create(parameters: readonly ParameterShape[], options: Options<Shape> & Means): SizedOptimizer;
}

/** The values of options by their schemas. */
export type Options<Shape extends z.ZodRawShape> = Readonly<z.output<z.ZodObject<Shape>>>;

/** Tells the compiler what a record's options are. */
export function defineOptimizer<Name extends string, Shape extends z.ZodRawShape>(
  record: OptimizerRecord<Name, Shape>,
): OptimizerRecord<Name, Shape> {
  return record;
}

/** Decay apart from gradients, which more than one optimizer has. */
export const decayOptions = {
  weightDecay: option(
    notNegative,
    'share of a weight taken off each step, times the learning rate; none of norms and biases',
    {
      value: 'w',
    },
  ),
  /** Whether a parameter decays, by its name and shape. */
  decays: z.custom<(name: string, shape: readonly number[]) => boolean>(
    (value) => typeof value === 'function',
    'give a function of name and shape',
  ),
};

/** Neither norms nor biases, which have one dimension. */
export const matricesDecay = (_name: string, shape: readonly number[]): boolean => shape.length >= 2;
