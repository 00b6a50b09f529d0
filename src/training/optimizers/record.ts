import { z } from 'zod';
import { notNegative, option } from '../../options.ts';
import type { HostMemory } from '../../runtime/host-memory.ts';
import type { Optimizer, ParameterShape } from './optimizer-common.ts';

/** Resources that every optimizer receives besides its options. */
export interface Means {
  /** Memory for states without room next to their weights. By default the optimizer allocates it. */
  readonly memory?: HostMemory;
  /** Seed of random choices, an integer. The same seed gives the same bits. Default 0. */
  readonly seed?: number;
}

/** An optimizer that reports the size of its state. */
export interface SizedOptimizer extends Optimizer {
  /** Average bytes of state per weight. */
  readonly bytesPerParameter: number;
}

/**
 * Everything about an optimizer. Flags, configuration files, help, plans and errors follow from the list in
 * `create-optimizer.ts`; docs/adding-an-optimizer.md explains how to add one.
 */
export interface OptimizerRecord<Name extends string = string, Shape extends z.ZodRawShape = z.ZodRawShape> {
  readonly name: Name;
  /** Its options. Several optimizers may share one; those without help text are only in the library. */
  readonly options: Shape;
  readonly defaults: Options<Shape>;
  /** Whether it updates a weight only as a whole. Default false. */
  readonly needsWholeWeights?: boolean;
  /** Bytes of state for a weight of this shape. */
  stateBytes(shape: readonly number[], options: Options<Shape>): number;
  /** @param parameters to update, ideally a learner's: states are then allocated next to their values. */
  create(parameters: readonly ParameterShape[], options: Options<Shape> & Means): SizedOptimizer;
}

/** Option values by their schemas. */
export type Options<Shape extends z.ZodRawShape> = Readonly<z.output<z.ZodObject<Shape>>>;

/** Infers the types of a record's options. */
export function defineOptimizer<Name extends string, Shape extends z.ZodRawShape>(
  record: OptimizerRecord<Name, Shape>,
): OptimizerRecord<Name, Shape> {
  return record;
}

/** Decoupled weight decay, which several optimizers share. */
export const decayOptions = {
  weightDecay: option(
    notNegative,
    'decoupled weight decay, times the learning rate; not applied to norms and biases',
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

/** All but norms and biases, which have one dimension. */
export const matricesDecay = (_name: string, shape: readonly number[]): boolean => shape.length >= 2;
