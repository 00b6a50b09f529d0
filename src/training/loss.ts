import { linearCrossEntropy } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';

/** The inputs of a loss. */
export interface LossInputs {
  /** The final, normalized activations `[rows, width]`. */
  readonly hidden: Tensor;
  /** Logits are softcap(hidden · weightᵀ + bias): weight `[vocab, width]`, bias `[vocab]`. */
  readonly head: {
    readonly weight: Tensor;
    readonly bias?: Tensor | undefined;
    readonly softcap: number | null;
  };
  /** int32 `[rows]`. */
  readonly targets: Tensor;
  /** float32 `[rows]`, the factor of each row's loss: 1 / count for a mean, 0 for a row that is not trained. */
  readonly weights: Tensor;
  readonly rows: number;
  readonly vocabSize: number;
}

export interface LossGraph {
  /** Σ weight · loss over the rows, []. */
  readonly loss: Tensor;
  /** The unweighted loss of each row, `[rows, 1]`. */
  readonly perToken: Tensor;
}

/**
 * A loss as a program over symbolic tensors; its gradient is derived. It may define its own inputs (`input(name,
 * …)`), whose values come with every batch in `TrainingRows.extra`.
 */
export type Loss = (inputs: LossInputs) => LossGraph;

/** The number of rows whose logits exist at the same time: enough for full speed, few enough for any vocabulary. */
export function headChunk(rows: number, vocabSize: number): number {
  const bytes = 64 * 2 ** 20;
  return Math.max(1, Math.min(rows, Math.floor(bytes / (4 * vocabSize))));
}

/** Next-token prediction: the negative log-likelihood of the target, in nats. */
export const crossEntropy: Loss = ({ hidden, head, targets, weights, rows, vocabSize }) =>
  linearCrossEntropy(hidden, head, targets, weights, headChunk(rows, vocabSize));
