import { RopewalkError } from '../../errors.ts';
import { type Dim, sameDim } from '../dims.ts';
import { floats, shapeError, type Tensor, type TensorType } from '../tensor.ts';
import { reduceSum, reshape } from './broadcast.ts';
import { add, log, mul, sub } from './elementwise.ts';
import { linear, matmul } from './matmul.ts';
import { reduceMax } from './reduce.ts';
import { concat, slice } from './shape.ts';
import { softcap, softcapGradient } from './softcap.ts';

/** A head: logits are softcap(hidden · weightᵀ + bias), weight `[vocab, d]`, bias `[vocab]`. */
export interface LinearHead {
  readonly weight: Tensor;
  readonly bias?: Tensor | undefined;
  /** null for none. */
  readonly softcap: number | null;
}

/** hidden `[…, d]` → `[…, vocab]`, the cap included. */
export function headLogits(hidden: Tensor, { weight, bias, softcap: cap }: LinearHead): Tensor {
  const logits = linear(hidden, weight, bias);
  return cap === null ? logits : softcap(logits, cap);
}

/** log Σ exp from the largest probability, which is at least 1 / vocab: one pass, no underflow. */
export function logSumExp(logits: Tensor, probs: Tensor): Tensor {
  return sub(reduceMax(logits, [1]), log(reduceMax(probs, [1])));
}

/** The inputs of a head's loss: hidden `[n, d]`, targets and weights `[n]`. */
export interface HeadLossInputs extends LinearHead {
  readonly hidden: Tensor;
  readonly targets: Tensor;
  readonly weights: Tensor;
}

/** The outputs of a head's loss. */
export interface HeadLoss {
  /** Σ weight · loss over the rows, []. */
  readonly loss: Tensor;
  /** Loss per row `[n, 1]`, unweighted; no gradient flows through it. */
  readonly perToken: Tensor;
}

export function isVector(x: TensorType | undefined, size: Dim): boolean {
  return x?.shape.length === 1 && sameDim(x.shape[0]!, size);
}

/**
 * The shape rule of a head's loss, whose first inputs are hidden `[n, d]`, weight `[vocab, d]`, targets and weights
 * `[n]`: the loss `[]`, losses `[n, 1]`, and the gradients of hidden and weight.
 */
export function headLossTypes(name: string, inputs: readonly TensorType[]): TensorType[] {
  const [hidden, weight, targets, weights] = inputs;
  const fits =
    hidden?.shape.length === 2 &&
    weight?.shape.length === 2 &&
    sameDim(hidden.shape[1]!, weight.shape[1]!) &&
    isVector(targets, hidden.shape[0]!) &&
    targets!.dtype !== 'float32' &&
    isVector(weights, hidden.shape[0]!);
  if (!fits) {
    throw shapeError(name, inputs, 'needs hidden [n, d], weight [vocab, d], targets [n], weights [n]');
  }
  return [floats(), { dtype: 'float32', shape: [hidden.shape[0]!, 1] }, hidden, weight];
}

/** The loss of some rows: per row `[rows, 1]`, and its gradient with respect to the logits before the cap. */
interface RowsLoss {
  readonly loss: Tensor;
  readonly dLogits: Tensor;
}

/**
 * A head's loss with only the logits of `chunk` rows at a time. The gradients are computed chunk by chunk while the
 * probabilities are in memory, and removed from the graph if nothing uses them.
 *
 * @param lossOf takes the capped logits `[rows, vocab]` and targets `[rows, 1]` of the rows from `start` up to `end`.
 * @returns loss, losses, and the gradients of hidden, weight and, if there is one, bias.
 */
export function expandHeadLoss(
  name: string,
  { hidden, targets, weights, ...head }: HeadLossInputs,
  chunk: number,
  lossOf: (logits: Tensor, target: Tensor, start: number, end: number) => RowsLoss,
): Tensor[] {
  const { weight, bias, softcap: cap } = head;
  const [rows] = hidden.shape;
  if (typeof rows !== 'number') throw new RopewalkError(`${name}: the number of rows must be known.`);
  const losses: Tensor[] = [];
  const dHidden: Tensor[] = [];
  let dWeight: Tensor | undefined;
  let dBias: Tensor | undefined;
  const sum = (before: Tensor | undefined, part: Tensor) => (before ? add(before, part) : part);
  for (let start = 0; start < rows; start += chunk) {
    const end = Math.min(rows, start + chunk);
    const h = slice(hidden, 0, start, end);
    const target = reshape(slice(targets, 0, start, end), [end - start, 1]);
    const w = reshape(slice(weights, 0, start, end), [end - start, 1]);
    const logits = headLogits(h, head);
    const { loss, dLogits: dCapped } = lossOf(logits, target, start, end);
    const dLogits = cap === null ? dCapped : softcapGradient(logits, dCapped, cap);
    losses.push(loss);
    // The row's weight is applied to the narrow side of each product.
    dHidden.push(mul(matmul(dLogits, weight), w));
    dWeight = sum(dWeight, matmul(dLogits, mul(h, w), { transA: true }));
    if (bias) dBias = sum(dBias, reshape(matmul(w, dLogits, { transA: true }), bias.shape));
  }
  const all = concat(losses, 0);
  const total = reshape(reduceSum(mul(all, reshape(weights, [rows, 1])), [0, 1]), []);
  const outputs = [total, all, concat(dHidden, 0), dWeight!];
  return dBias ? [...outputs, dBias] : outputs;
}

/**
 * The gradients computed with a loss, in the places of its `inputs` inputs: hidden, weight, and the bias at `biasAt`.
 */
export function headGradients(
  [, , dHidden, dWeight, dBias]: readonly Tensor[],
  gradient: Tensor,
  inputs: number,
  biasAt: number,
): (Tensor | undefined)[] {
  const result = new Array<Tensor | undefined>(inputs).fill(undefined);
  result[0] = mul(dHidden!, gradient);
  result[1] = mul(dWeight!, gradient);
  if (dBias) result[biasAt] = mul(dBias, gradient);
  return result;
}
