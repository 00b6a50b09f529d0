import { productSum } from '../../graph/lowerings/product-sum.ts';
import { headLogits, logSumExp } from '../../graph/operators/head.ts';
import {
  add,
  addAlong,
  constant,
  input,
  matmul,
  mul,
  parameter,
  reduceSum,
  reshape,
  softmax,
  sub,
  takeAlong,
} from '../../graph/operators/index.ts';
import { softcapGradient } from '../../graph/operators/softcap.ts';
import type { Tensor } from '../../graph/tensor.ts';
import type { HeadParts } from './block-head.ts';

type RowsParts = Pick<HeadParts, 'model' | 'width' | 'trains'>;

/** The inputs that gradients of weights are added to. */
export const SUMS = { weight: 'weight_sum', bias: 'bias_sum' } as const;

function rowsLoss({ model, width }: RowsParts, rows: number) {
  const { weight, bias, softcap } = model.head;
  const hidden = input('hidden', 'float32', [rows, width]);
  const head = {
    weight: parameter('weight', weight.shape),
    ...(bias && { bias: parameter('bias', bias.shape) }),
    softcap,
  };
  const targets = input('targets', 'int32', [rows, 1]);
  const weights = input('weights', 'float32', [rows, 1]);
  const logits = headLogits(hidden, head);
  const probs = softmax(logits);
  const losses = sub(logSumExp(logits, probs), takeAlong(logits, targets));
  const loss = reshape(reduceSum(mul(losses, weights), [0, 1]), [1]);
  return { hidden, head, targets, weights, logits, probs, loss };
}

/** Σ weight · loss of some rows. */
export function rowsLossGraph(parts: RowsParts, rows: number): Map<string, Tensor> {
  return new Map([['loss', rowsLoss(parts, rows).loss]]);
}

/** The loss of some rows and its gradients; those of trained weights are added to inputs. */
export function rowsGradientGraph(parts: RowsParts, rows: number): Map<string, Tensor> {
  const { hidden, head, targets, weights, logits, probs, loss } = rowsLoss(parts, rows);
  // d loss / d logits = weight · (probs − onehot). The row's weight is applied to the narrow side of each product.
  const missed = constant(new Float32Array(rows).fill(-1), [rows, 1]);
  const dCapped = addAlong(probs, targets, missed);
  const dLogits = head.softcap === null ? dCapped : softcapGradient(logits, dCapped, head.softcap);
  const outputs = new Map([
    ['loss', loss],
    ['dHidden', mul(matmul(dLogits, head.weight), weights)],
  ]);
  const { weight, bias } = parts.model.head;
  if (parts.trains(weight.path)) {
    const sum = input(SUMS.weight, 'float32', weight.shape);
    outputs.set('dWeight', productSum(dLogits, mul(hidden, weights), sum, { transA: true }));
  }
  if (bias && parts.trains(bias.path)) {
    const sum = input(SUMS.bias, 'float32', bias.shape);
    outputs.set('dBias', add(reshape(matmul(weights, dLogits, { transA: true }), bias.shape), sum));
  }
  return outputs;
}
