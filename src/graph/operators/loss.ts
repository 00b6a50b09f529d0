import { RopewalkError } from '../../errors.ts';
import { sameDim } from '../dims.ts';
import { apply, type Operator, shapeError, type Tensor, type TensorType } from '../tensor.ts';
import { add, constant, log, mul, scalar, sub } from './elementwise.ts';
import { addAlong, takeAlong } from './indexing.ts';
import { matmul } from './matmul.ts';
import { softcap } from './norms.ts';
import { reduceMax, reduceSum, softmax } from './reduce.ts';
import { concat, reshape, slice } from './shape.ts';

export interface LinearCrossEntropyAttributes {
  /** The final logits' soft-cap; null for none. */
  readonly softcap: number | null;
  /** Rows of hidden states whose logits exist at one time. */
  readonly chunk: number;
  readonly bias: boolean;
}

/**
 * The head and the loss in one: Σ_i weightᵢ · −log softmax(cap(hiddenᵢ · Wᵀ + b))[targetᵢ], without ever holding the
 * logits of more than `chunk` rows. The gradients are further outputs, made chunk by chunk while the probabilities
 * are at hand, and cut away when nobody asks for them.
 *
 * Inputs: hidden [n, d], W [vocab, d], targets [n], weights [n] (no gradient), b [vocab] if `bias`.
 * Outputs: loss [], losses [n, 1] without weights, dHidden [n, d], dW [vocab, d], db [vocab] if `bias`.
 */
export const linearCrossEntropyOp: Operator<LinearCrossEntropyAttributes> = {
  name: 'linearCrossEntropy',
  primaryOutputs: 1,
  infer(inputs, attributes) {
    const [hidden, weight, targets, weights, bias] = inputs;
    const fits =
      hidden?.shape.length === 2 &&
      weight?.shape.length === 2 &&
      sameDim(hidden.shape[1]!, weight.shape[1]!) &&
      targets?.shape.length === 1 &&
      sameDim(targets.shape[0]!, hidden.shape[0]!) &&
      targets.dtype !== 'float32' &&
      weights?.shape.length === 1 &&
      sameDim(weights.shape[0]!, hidden.shape[0]!) &&
      attributes.bias === !!bias;
    if (!fits) {
      throw shapeError(
        'linearCrossEntropy',
        inputs,
        'needs hidden [n, d], weight [vocab, d], targets [n], weights [n]',
      );
    }
    const losses: TensorType = { dtype: 'float32', shape: [hidden.shape[0]!, 1] };
    const loss: TensorType = { dtype: 'float32', shape: [] };
    return bias ? [loss, losses, hidden, weight, bias] : [loss, losses, hidden, weight];
  },
  expand([hidden, weight, targets, weights, bias], { softcap: cap, chunk }) {
    const [rows] = hidden!.shape;
    if (typeof rows !== 'number')
      throw new RopewalkError('linearCrossEntropy: the number of rows must be known.');
    const losses: Tensor[] = [];
    const dHidden: Tensor[] = [];
    let dWeight: Tensor | undefined;
    let dBias: Tensor | undefined;
    for (let start = 0; start < rows; start += chunk) {
      const end = Math.min(rows, start + chunk);
      const h = slice(hidden!, 0, start, end);
      const target = reshape(slice(targets!, 0, start, end), [end - start, 1]);
      const w = reshape(slice(weights!, 0, start, end), [end - start, 1]);
      let logits = matmul(h, weight!, { transB: true });
      if (bias) logits = add(logits, bias);
      if (cap !== null) logits = softcap(logits, cap);
      const probs = softmax(logits);
      // log Σ exp(logits) through the largest probability, which is at least 1 / vocab: one pass, nothing underflows.
      const logSumExp = sub(reduceMax(logits, [1]), log(reduceMax(probs, [1])));
      losses.push(sub(logSumExp, takeAlong(logits, target)));
      // d loss / d logits = weight · (probs − onehot). The row's weight goes to the narrow side of each product.
      let dLogits = addAlong(
        probs,
        target,
        constant(new Float32Array(end - start).fill(-1), [end - start, 1]),
      );
      if (cap !== null) {
        const t = mul(logits, scalar(1 / cap));
        dLogits = mul(dLogits, sub(scalar(1), mul(t, t)));
      }
      dHidden.push(mul(matmul(dLogits, weight!), w));
      const partWeight = matmul(dLogits, mul(h, w), { transA: true });
      dWeight = dWeight ? add(dWeight, partWeight) : partWeight;
      if (bias) {
        const partBias = reshape(matmul(w, dLogits, { transA: true }), bias.shape);
        dBias = dBias ? add(dBias, partBias) : partBias;
      }
    }
    const all = concat(losses, 0);
    const total = reshape(reduceSum(mul(all, reshape(weights!, [rows, 1])), [0, 1]), []);
    const outputs = [total, all, concat(dHidden, 0), dWeight!];
    return dBias ? [...outputs, dBias] : outputs;
  },
  differentiate({ outputs, gradients, attributes }) {
    const by = (x: Tensor) => mul(x, gradients[0]!);
    const [, , dHidden, dWeight, dBias] = outputs as Tensor[];
    const result = [by(dHidden!), by(dWeight!), undefined, undefined];
    return attributes.bias ? [...result, by(dBias!)] : result;
  },
  examples: [example(6, 4, 5, null, 6, false), example(6, 4, 5, 1.5, 4, false), example(5, 4, 7, 2, 2, true)],
};

function example(n: number, d: number, vocab: number, cap: number | null, chunk: number, bias: boolean) {
  const inputs: TensorType[] = [
    { dtype: 'float32', shape: [n, d] },
    { dtype: 'float32', shape: [vocab, d] },
    { dtype: 'int64', shape: [n] },
    { dtype: 'float32', shape: [n] },
  ];
  if (bias) inputs.push({ dtype: 'float32', shape: [vocab] });
  return { inputs, attributes: { softcap: cap, chunk, bias }, below: vocab };
}

export interface LinearCrossEntropy {
  /** Σ weight · negative log-likelihood, in nats. */
  readonly loss: Tensor;
  /** Each row's negative log-likelihood `[n, 1]`, without its weight; no gradient flows through it. */
  readonly perToken: Tensor;
}

/** See {@link linearCrossEntropyOp}. */
export function linearCrossEntropy(
  hidden: Tensor,
  head: { weight: Tensor; bias?: Tensor | undefined; softcap: number | null },
  targets: Tensor,
  weights: Tensor,
  chunk: number,
): LinearCrossEntropy {
  const inputs = [hidden, head.weight, targets, weights, ...(head.bias ? [head.bias] : [])];
  const attributes = { softcap: head.softcap, chunk, bias: head.bias !== undefined };
  const [loss, perToken] = apply(linearCrossEntropyOp, inputs, attributes);
  return { loss: loss!, perToken: perToken! };
}
