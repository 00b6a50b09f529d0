import {
  add,
  addAlong,
  exp,
  input,
  log,
  matmul,
  mul,
  parameter,
  reduceMax,
  reshape,
  scalar,
  softcap,
  softmax,
  sub,
  takeAlong,
} from '../../graph/operators/index.ts';
import type { Tensor } from '../../graph/tensor.ts';
import type { HeadParts } from './block-head.ts';

/** What the passes over a chunk of the vocabulary depend on. */
export type ChunkParts = Pick<HeadParts, 'model' | 'rows' | 'width' | 'trains'>;

function chunkLogits({ rows, width, model }: ChunkParts, size: number) {
  const hidden = input('hidden', 'float32', [rows, width]);
  const weight = parameter('weight', [size, width]);
  let logits = matmul(hidden, weight, { transB: true });
  if (model.head.bias) logits = add(logits, parameter('bias', [size]));
  if (model.head.softcap !== null) logits = softcap(logits, model.head.softcap);
  return { hidden, weight, logits, places: input('places', 'int32', [rows, 1]) };
}

/** log Σ exp of a chunk's logits in each row, and the targets' logits. @param keeps whether the logits are an output too. */
export function chunkLossGraph(parts: ChunkParts, size: number, keeps: boolean): Map<string, Tensor> {
  const { logits, places } = chunkLogits(parts, size);
  // log Σ exp from the largest probability, which is at least 1 / size: no underflow.
  const largest = reduceMax(softmax(logits), [1]);
  return new Map([
    ['log_sum_exp', sub(reduceMax(logits, [1]), log(largest))],
    ['target_logits', takeAlong(logits, places)],
    ...(keeps ? [['logits', logits] as const] : []),
  ]);
}

/** A chunk's part of the gradients. @param kept whether the logits are an input. */
export function chunkGradientGraph(parts: ChunkParts, size: number, kept: boolean): Map<string, Tensor> {
  const { rows, model, trains } = parts;
  const computed = chunkLogits(parts, size);
  const { hidden, weight, places } = computed;
  const logits = kept ? input('logits', 'float32', [rows, size]) : computed.logits;
  const column = (name: string) => input(name, 'float32', [rows, 1]);
  const weights = column('weights');
  // d loss / d logits = weight · (probs − onehot). The row's weight is applied to the narrow side of each product.
  let dLogits = addAlong(exp(sub(logits, column('log_sum_exp'))), places, column('hit'));
  const { softcap: cap, bias } = model.head;
  if (cap !== null) {
    const t = mul(logits, scalar(1 / cap));
    dLogits = mul(dLogits, sub(scalar(1), mul(t, t)));
  }
  const outputs = new Map([['dHidden', mul(matmul(dLogits, weight), weights)]]);
  if (trains(model.head.weight.path)) {
    outputs.set('dWeight', matmul(dLogits, mul(hidden, weights), { transA: true }));
  }
  if (bias && trains(bias.path)) {
    outputs.set('dBias', reshape(matmul(weights, dLogits, { transA: true }), [size]));
  }
  return outputs;
}
