import { apply, floats, type Operator, shapeError, type Tensor, type TensorType } from '../tensor.ts';
import { sub } from './elementwise.ts';
import {
  expandHeadLoss,
  type HeadLoss,
  headGradients,
  headLossTypes,
  isVector,
  type LinearHead,
  logSumExp,
} from './head.ts';
import { addAlong, takeAlong } from './indexing.ts';
import { softmax } from './reduce.ts';
import { constant } from './sources.ts';

export interface LinearCrossEntropyAttributes {
  /** The final logits' soft-cap; null for none. */
  readonly softcap: number | null;
  /** The number of rows whose logits exist at the same time. */
  readonly chunk: number;
  readonly bias: boolean;
}

/**
 * The head fused with the loss: Σ_i weightᵢ · −log softmax(cap(hiddenᵢ · Wᵀ + b))[targetᵢ], with only the logits of
 * `chunk` rows at a time. The gradients are additional outputs, computed chunk by chunk while the probabilities are
 * in memory, and removed from the graph if nothing uses them.
 *
 * Inputs: hidden [n, d], W [vocab, d], targets [n], weights [n] (no gradient), b [vocab] if `bias`. Outputs: loss [],
 * losses [n, 1] without weights, dHidden [n, d], dW [vocab, d], db [vocab] if `bias`.
 */
export const linearCrossEntropyOp: Operator<LinearCrossEntropyAttributes> = {
  name: 'linearCrossEntropy',
  primaryOutputs: 1,
  infer(inputs, { bias: hasBias }) {
    const outputs = headLossTypes('linearCrossEntropy', inputs);
    const bias = inputs[4];
    if (hasBias !== isVector(bias, outputs[3]!.shape[0]!)) {
      throw shapeError('linearCrossEntropy', inputs, `needs ${hasBias ? 'a' : 'no'} bias [vocab]`);
    }
    return bias ? [...outputs, bias] : outputs;
  },
  expand([hidden, weight, targets, weights, bias], { softcap, chunk }) {
    const head = { hidden: hidden!, weight: weight!, targets: targets!, weights: weights!, bias, softcap };
    return expandHeadLoss('linearCrossEntropy', head, chunk, (logits, target, start, end) => {
      const probs = softmax(logits);
      const loss = sub(logSumExp(logits, probs), takeAlong(logits, target));
      // d loss / d logits = weight · (probs − onehot).
      const missed = constant(new Float32Array(end - start).fill(-1), [end - start, 1]);
      return { loss, dLogits: addAlong(probs, target, missed) };
    });
  },
  differentiate: ({ inputs, outputs, gradients }) => headGradients(outputs, gradients[0]!, inputs.length, 4),
  examples: [example(6, 4, 5, null, 6, false), example(6, 4, 5, 1.5, 4, false), example(5, 4, 7, 2, 2, true)],
};

function example(n: number, d: number, vocab: number, softcap: number | null, chunk: number, bias: boolean) {
  const targets: TensorType = { dtype: 'int64', shape: [n] };
  const inputs = [floats(n, d), floats(vocab, d), targets, floats(n), ...(bias ? [floats(vocab)] : [])];
  return { inputs, attributes: { softcap, chunk, bias }, below: vocab };
}

/** See {@link linearCrossEntropyOp}: losses are negative log-likelihoods, in nats. */
export function linearCrossEntropy(
  hidden: Tensor,
  head: LinearHead,
  targets: Tensor,
  weights: Tensor,
  chunk: number,
): HeadLoss {
  const inputs = [hidden, head.weight, targets, weights, ...(head.bias ? [head.bias] : [])];
  const attributes = { softcap: head.softcap, chunk, bias: head.bias !== undefined };
  const [loss, perToken] = apply(linearCrossEntropyOp, inputs, attributes);
  return { loss: loss!, perToken: perToken! };
}
