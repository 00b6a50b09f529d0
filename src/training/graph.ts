import type { CausalLM } from '../families/family.ts';
import { differentiate } from '../graph/differentiate.ts';
import { constant, input, linearCrossEntropy, reshape } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import { FullSequence } from '../nn/attention.ts';

export interface SequenceShape {
  readonly batch: number;
  readonly seq: number;
  /** See {@link FullSequence}. */
  readonly queryBlock?: number;
}

/** Rows whose logits exist at one time: enough for full speed, few enough for any vocabulary. */
export function headChunk(rows: number, vocabSize: number): number {
  const bytes = 64 * 2 ** 20;
  return Math.max(1, Math.min(rows, Math.floor(bytes / (4 * vocabSize))));
}

export interface LossGraph {
  /** Σ weight · negative log-likelihood, []. */
  readonly loss: Tensor;
  /** Negative log-likelihood of each row's target, `[batch · seq, 1]`. */
  readonly perToken: Tensor;
}

/**
 * The loss of next-token prediction as a graph. Inputs: `input_ids`, `targets` int32 `[batch · seq]` and `weights`
 * float32 `[batch · seq]`, by which each row's loss is multiplied: 1 / count for a mean, 0 for a row that is not trained.
 */
export function lossGraph(model: CausalLM, { batch, seq, queryBlock }: SequenceShape): LossGraph {
  const rows = batch * seq;
  const ids = input('input_ids', 'int32', [rows]);
  const targets = input('targets', 'int32', [rows]);
  const weights = input('weights', 'float32', [rows]);
  const hidden = model.hiddenStates(new FullSequence(ids, batch, seq, queryBlock));
  const { weight, bias, softcap } = model.head;
  const head = { weight: weight.tensor, bias: bias?.tensor, softcap };
  return linearCrossEntropy(hidden, head, targets, weights, headChunk(rows, weight.shape[0]!));
}

/** Name of a parameter's gradient among the outputs. */
export function gradientName(path: string): string {
  return `grad.${path}`;
}

/**
 * Loss and the gradient of every parameter. The outputs stand in the order in which backpropagation finishes them,
 * last layers first: the engine then frees each activation as soon as its gradient is out.
 */
export function trainingGraph(model: CausalLM, shape: SequenceShape): Map<string, Tensor> {
  const { loss, perToken } = lossGraph(model, shape);
  const parameters = [...model.parameters()];
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
