import type { CausalLM } from '../families/family.ts';
import { differentiate } from '../graph/differentiate.ts';
import { constant, input, reshape } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import { FullSequence } from '../nn/attention.ts';
import { crossEntropy, type Loss, type LossGraph, type LossInputs } from './loss.ts';

export interface SequenceShape {
  readonly batch: number;
  readonly seq: number;
  /** See {@link FullSequence}. */
  readonly queryBlock?: number;
  /** Whether rows hold several texts, each of which attends only to itself: see `TrainingRows`. */
  readonly packed?: boolean;
}

/** Names of the inputs of packed rows. */
export const PACKING_INPUTS = { positions: 'position_ids', segments: 'segment_ids' } as const;

/**
 * The context of a graph over whole rows, and its inputs: `input_ids` int32 `[batch · seq]`, and those for packed
 * rows.
 */
export function sequenceContext({ batch, seq, queryBlock, packed }: SequenceShape): FullSequence {
  const rows = batch * seq;
  const packing = packed && {
    positions: input(PACKING_INPUTS.positions, 'int32', [rows]),
    segments: input(PACKING_INPUTS.segments, 'float32', [rows]),
  };
  return new FullSequence(input('input_ids', 'int32', [rows]), batch, seq, queryBlock, packing || undefined);
}

/** The inputs of a loss over the model's rows, given the final activations `[rows, width]`. */
export function lossInputs(model: CausalLM, hidden: Tensor, rows: number): LossInputs {
  const { weight, bias, softcap } = model.head;
  return {
    hidden,
    head: { weight: weight.tensor, bias: bias?.tensor, softcap },
    targets: input('targets', 'int32', [rows]),
    weights: input('weights', 'float32', [rows]),
    rows,
    vocabSize: weight.shape[0]!,
  };
}

/**
 * The loss of a model as a graph. Inputs: `input_ids`, `targets` int32 `[batch · seq]` and `weights` float32 `[batch
 * · seq]`, the factor of each row's loss: 1 / count for a mean, 0 for a row that is not trained.
 */
export function lossGraph(model: CausalLM, shape: SequenceShape, loss: Loss = crossEntropy): LossGraph {
  const hidden = model.hiddenStates(sequenceContext(shape));
  return loss(lossInputs(model, hidden, shape.batch * shape.seq));
}

/** The output name of a parameter's gradient. */
export function gradientName(path: string): string {
  return `grad.${path}`;
}

/**
 * The loss and the gradient of every trained parameter. The outputs are in the order in which backpropagation
 * finishes them, last layers first, so the engine frees each activation as soon as its gradient is done.
 */
export function trainingGraph(
  model: CausalLM,
  shape: SequenceShape,
  { loss: lossOf = crossEntropy, trains = () => true }: TrainingGraphOptions = {},
): Map<string, Tensor> {
  const { loss, perToken } = lossGraph(model, shape, lossOf);
  const parameters = [...model.parameters()].filter(([path]) => trains(path));
  const gradients = differentiate(
    loss,
    parameters.map(([, parameter]) => parameter.tensor),
  );
  const outputs = new Map<string, Tensor>([
    ['loss', loss],
    ['per_token', reshape(perToken, [shape.batch * shape.seq])],
  ]);
  for (let i = parameters.length - 1; i >= 0; i--) {
    const [path, parameter] = parameters[i]!;
    const gradient = gradients[i] ?? constant(new Float32Array(parameter.size), parameter.shape);
    outputs.set(gradientName(path), gradient);
  }
  return outputs;
}

export interface TrainingGraphOptions {
  /** Default {@link crossEntropy}. */
  readonly loss?: Loss;
  /** Whether a parameter is trained, by its path; the others are frozen. Default all. */
  readonly trains?: (path: string) => boolean;
}
