import { z } from 'zod';
import type { MessagePart } from '../../errors.ts';
import type { Tensor } from '../../graph/tensor.ts';
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
  /** Its step on weights that stay on a device such as a graphics card; without it, it trains on the CPU alone. */
  readonly onDevice?: StepOnDevice<Options<Shape>>;
}

/** A state tensor of one weight on a device, in float32. In a checkpoint it is `<prefix>.<weight>`. */
interface DeviceState {
  readonly prefix: string;
  /** In a checkpoint. */
  readonly shape: readonly number[];
  /** In the graph: of as many elements. */
  readonly layout: readonly number[];
}

/**
 * A step as a graph. The engine writes new values over old ones, so the operator that computes a new value or state may not
 * read the old one, but only results of those that do.
 */
export interface StepOnDevice<O> {
  /** Whether an element's step depends on no other element: small weights are then updated as one vector. Default false. */
  readonly elementwise?: boolean;
  /** Why it cannot compute with these options, and what to choose; undefined if it can. */
  refuse?(options: O): readonly MessagePart[] | undefined;
  /** The shape in which the graph sees a weight, of as many elements. */
  layout(shape: readonly number[]): readonly number[];
  states(shape: readonly number[]): readonly DeviceState[];
  /** Numbers of the graph, computed for each step in float64. */
  scalars(
    options: O,
    step: { readonly learningRate: number; readonly step: number; readonly decays: boolean },
  ): Readonly<Record<string, number>>;
  /** Numbers that are multiplied by the gradient scale, such as the clipping coefficient, once a step. */
  scaled(options: O, step: { readonly learningRate: number }): Readonly<Record<string, number>>;
  /** The new value, and the new states in the order of {@link states}. */
  graph(weight: WeightOnDevice, options: O): { readonly value: Tensor; readonly states: readonly Tensor[] };
}

/** The symbolic tensors of a weight's step. */
export interface WeightOnDevice {
  readonly value: Tensor;
  readonly gradient: Tensor;
  readonly states: readonly Tensor[];
  /** Of shape [1], by the names of `scalars` and `scaled`. */
  readonly scalars: Readonly<Record<string, Tensor>>;
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
