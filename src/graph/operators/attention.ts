import { sameDim, sameShape } from '../dims.ts';
import { apply, floats, type Operator, shapeError, type Tensor, type TensorType } from '../tensor.ts';
import { reduceSum } from './broadcast.ts';
import { add, mul, sub } from './elementwise.ts';
import { matmul } from './matmul.ts';
import { softmax } from './reduce.ts';
import { softcap, softcapGradient } from './softcap.ts';

export interface AttentionAttributes {
  /** Factor of the scores: head_dim ** -0.5, or query_pre_attn_scalar ** -0.5 in Gemma 2. */
  readonly scale: number;
  /** Scores are squashed into (−softcap, softcap) before the mask; null for none. */
  readonly softcap: number | null;
}

/** Added to the score of a key that a query may not see: far below any real score, and finite in float32. */
export const MASKED = -1e30;

/**
 * Softmax attention over heads: out = softmax(mask + cap(scale · q kᵀ)) v. The queries of heads that share keys are
 * stacked along the rows, so grouped keys and values are never repeated. The outputs probs and scores (capped, before
 * the mask; only with a cap) are for the derivative. Vaswani et al. 2017, arXiv:1706.03762; grouped queries: Ainslie
 * et al. 2023, arXiv:2305.13245.
 */
export const attentionOp: Operator<AttentionAttributes> = {
  name: 'attention',
  primaryOutputs: 1,
  infer(inputs, { softcap }) {
    const [q, k, v, mask] = inputs;
    const fits =
      q?.shape.length === 4 &&
      k?.shape.length === 4 &&
      v?.shape.length === 4 &&
      sameShape(k.shape.slice(0, 3), v.shape.slice(0, 3)) &&
      sameShape(q.shape.slice(0, 2), k.shape.slice(0, 2)) &&
      sameDim(q.shape[3]!, k.shape[3]!) &&
      fitsMask(mask, q, k);
    if (!fits) {
      throw shapeError(
        'attention',
        inputs,
        'needs q [batch, kv, rows, d], k and v [batch, kv, keys, d], mask [rows, keys] or [batch, 1, rows, keys]',
      );
    }
    const scores = { dtype: 'float32', shape: [...q.shape.slice(0, 3), k.shape[2]!] } as const;
    const out: TensorType = { dtype: 'float32', shape: [...q.shape.slice(0, 3), v.shape[3]!] };
    return softcap === null ? [out, scores] : [out, scores, scores];
  },
  expand([q, k, v, mask], { scale, softcap: cap }) {
    const scores = matmul(q!, k!, { transB: true, alpha: scale });
    const capped = cap === null ? scores : softcap(scores, cap);
    const probs = softmax(add(capped, mask!));
    const out = matmul(probs, v!);
    return cap === null ? [out, probs] : [out, probs, capped];
  },
  // With P the probabilities: dS = P (dP − Σ dP P), and Σ_keys dP P = Σ_d dO O, which is far shorter.
  differentiate({ inputs, outputs, gradients, attributes: { scale, softcap: cap } }) {
    const [q, k, v] = inputs as [Tensor, Tensor, Tensor];
    const [out, probs, capped] = outputs as [Tensor, Tensor, Tensor | undefined];
    const dOut = gradients[0]!;
    const dProbs = matmul(dOut, v, { transB: true });
    const dot = reduceSum(mul(dOut, out), [3]);
    const dCapped = mul(probs, sub(dProbs, dot));
    const dScores = capped && cap !== null ? softcapGradient(capped, dCapped, cap) : dCapped;
    return [
      matmul(dScores, k, { alpha: scale }),
      matmul(dScores, q, { transA: true, alpha: scale }),
      matmul(probs, dOut, { transA: true }),
      undefined,
    ];
  },
  examples: [null, 1.5].flatMap((softcap) =>
    [floats(6, 3), floats(2, 1, 6, 3)].map((mask) => ({
      inputs: [floats(2, 2, 6, 4), floats(2, 2, 3, 4), floats(2, 2, 3, 4), mask],
      attributes: { scale: 0.5, softcap },
    })),
  ),
};

function fitsMask(mask: TensorType | undefined, q: TensorType, k: TensorType): boolean {
  if (!mask) return false;
  const [rows, keys] = mask.shape.slice(-2);
  const perSequence = mask.shape.length === 4 && sameDim(mask.shape[0]!, q.shape[0]!) && mask.shape[1] === 1;
  return (
    (mask.shape.length === 2 || perSequence) && sameDim(rows!, q.shape[2]!) && sameDim(keys!, k.shape[2]!)
  );
}

/**
 * q `[batch, kv, group · time, d]`, k and v `[batch, kv, keys, d]`, mask `[group · time, keys]` or, per sequence,
 * `[batch, 1, group · time, keys]` (added to the scores; no gradient) → `[batch, kv, group · time, d]`.
 */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  mask: Tensor,
  attributes: AttentionAttributes,
): Tensor {
  return apply(attentionOp, [q, k, v, mask], attributes)[0]!;
}
