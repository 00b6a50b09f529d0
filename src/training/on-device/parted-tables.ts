import { option as named, said } from '../../errors.ts';
import type { CausalLM } from '../../families/family.ts';
import {
  add,
  addAlong,
  concat,
  constant,
  gatherRows,
  gatherRowsOp,
  input,
  log,
  matmul,
  mul,
  parameter,
  placesIn,
  reduceMax,
  reduceSum,
  reshape,
  scalar,
  slice,
  softcap,
  softcapGradient,
  softmax,
  sub,
  takeAlong,
} from '../../graph/operators/index.ts';
import { type Rule, rewrite } from '../../graph/rewrite.ts';
import { isNodeOf, type Tensor } from '../../graph/tensor.ts';
import { topologicalOrder } from '../../graph/traverse.ts';
import { OptionError } from '../../options.ts';
import type { Precision } from '../../runtime/devices.ts';
import type { Piece, PieceParameter } from '../blocks/block-graph.ts';
import { type HeadGraph, headGraph } from '../blocks/block-head.ts';
import { gradientName } from '../graph.ts';
import { crossEntropy, type Loss } from '../loss.ts';
import type { WeightPart } from './device-weights.ts';

/** Bytes of the logits of the rows that a head computes at a time. */
const LOGITS_BYTES = 128 * 2 ** 20;

/** Before they are rounded to float16, gradients of logits are multiplied by this: small probabilities then keep their digits. */
const HALF_LOGITS = 256;

type Parts = ReadonlyMap<string, readonly WeightPart[]>;

/** The weights that may have several parts: those of which the embedding reads rows, and the head. */
export function tablesOf(model: CausalLM, { y, parameters }: Piece): Set<string> {
  const tables = new Set<Tensor>();
  const others = new Set<Tensor>();
  for (const node of topologicalOrder([y])) {
    const isLookup = isNodeOf(node, gatherRowsOp);
    for (const [i, tensor] of node.inputs.entries()) (isLookup && i === 0 ? tables : others).add(tensor);
  }
  const isTable = ({ tensor }: PieceParameter) => tables.has(tensor) && !others.has(tensor);
  return new Set([...parameters.filter(isTable).map(({ path }) => path), model.head.weight.path]);
}

/** The embedding with tables in parts: a row is read from every part, and counts where the part has it. */
export function partedEmbedding(piece: Piece, parts: Parts): Piece {
  const made = new Map<Tensor, PieceParameter[]>();
  const parameters = piece.parameters.flatMap((whole) => {
    const several = parts.get(whole.path)!;
    if (several.length === 1) return [whole];
    const own = several.map(({ name, shape }) => {
      return { path: name, name, shape, tensor: parameter(name, shape) };
    });
    made.set(whole.tensor, own);
    return own;
  });
  if (made.size === 0) return piece;
  const rule: Rule = {
    operator: gatherRowsOp,
    apply(_node, [table, ids]) {
      const own = made.get(table!);
      if (!own) return undefined;
      let start = 0;
      const rows = own.map(({ tensor, shape }) => {
        const [count] = shape as [number, number];
        const [places, hits] = placesIn(ids!, { start, rows: count });
        start += count;
        const found = gatherRows(tensor, places);
        return mul(found, reshape(hits, [...ids!.shape, 1]));
      });
      return [rows.reduce((sum, each) => add(sum, each))];
    },
  };
  return { ...piece, y: rewrite([piece.y], [rule])[0]!, parameters };
}

export interface DeviceHeadParts {
  readonly model: CausalLM;
  readonly rows: number;
  readonly width: number;
  readonly trains: (path: string) => boolean;
  /** Of the products. Default float32. */
  readonly precision?: Precision;
}

/**
 * The head's graph. Next-token prediction computes the logits of some rows at a time, from every part of the weight.
 *
 * @throws OptionError for another loss if the weight has several parts.
 */
export function deviceHeadGraph(head: DeviceHeadParts, parts: Parts, loss: Loss): HeadGraph {
  const weights = parts.get(head.model.head.weight.path)!;
  if (loss === crossEntropy) return crossEntropyGraph(head, weights);
  if (weights.length > 1) {
    throw new OptionError(
      'device',
      said`a loss other than cross-entropy needs the whole head in one tensor, which is too large for a device here; train on the CPU (${named('device', 'cpu')}).`,
    );
  }
  return headGraph(head, loss);
}

function crossEntropyGraph(
  { model, rows, width, trains, precision = 'float32' }: DeviceHeadParts,
  parts: readonly WeightPart[],
): HeadGraph {
  const { weight, bias, softcap: cap } = model.head;
  const isHalf = precision === 'float16';
  const [vocabSize] = weight.shape as [number, number];
  const hidden = input('hidden', 'float32', [rows, width]);
  const targets = input('targets', 'int32', [rows]);
  const weights = input('weights', 'float32', [rows]);
  const tables = parts.map(({ name, shape }) => parameter(name, shape));
  const chunk = Math.max(1, Math.min(rows, Math.floor(LOGITS_BYTES / (4 * vocabSize))));
  let losses: Tensor | undefined;
  let dBias: Tensor | undefined;
  const dHidden: Tensor[] = [];
  const dTables: (Tensor | undefined)[] = tables.map(() => undefined);
  const sum = (before: Tensor | undefined, more: Tensor) => (before ? add(before, more) : more);
  for (let start = 0; start < rows; start += chunk) {
    const end = Math.min(rows, start + chunk);
    const column = (x: Tensor) => reshape(slice(x, 0, start, end), [end - start, 1]);
    const h = slice(hidden, 0, start, end);
    const [target, share] = [column(targets), column(weights)];
    const w = isHalf ? mul(share, scalar(1 / HALF_LOGITS)) : share;
    const products = tables.map((table) => matmul(h, table, { transB: true }));
    let logits = products.length > 1 ? concat(products, 1) : products[0]!;
    if (bias) logits = add(logits, parameter(bias.path, bias.shape));
    if (cap !== null) logits = softcap(logits, cap);
    const probs = softmax(logits);
    // log Σ exp from the largest probability, which is at least 1 / vocabulary: no underflow.
    const logSum = sub(reduceMax(logits, [1]), log(reduceMax(probs, [1])));
    losses = sum(losses, reduceSum(mul(sub(logSum, takeAlong(logits, target)), share), [0, 1]));
    // d loss / d logits = weight · (probs − onehot). The row's weight is applied to the narrow side of each product.
    const missed = constant(new Float32Array(end - start).fill(-1), [end - start, 1]);
    let dLogits = addAlong(probs, target, missed);
    if (cap !== null) dLogits = softcapGradient(logits, dLogits, cap);
    if (isHalf) dLogits = mul(dLogits, scalar(HALF_LOGITS));
    let first = 0;
    let dRows: Tensor | undefined;
    const weighted = mul(h, w);
    for (const [i, table] of tables.entries()) {
      const last = first + parts[i]!.shape[0]!;
      const own = tables.length > 1 ? slice(dLogits, 1, first, last) : dLogits;
      dRows = sum(dRows, matmul(own, table));
      dTables[i] = sum(dTables[i], matmul(own, weighted, { transA: true }));
      first = last;
    }
    dHidden.push(mul(dRows!, w));
    if (bias) dBias = sum(dBias, reshape(matmul(w, dLogits, { transA: true }), bias.shape as number[]));
  }
  const gradients = new Map([['dHidden', dHidden.length > 1 ? concat(dHidden, 0) : dHidden[0]!]]);
  const trained: string[] = [];
  const train = (name: string, gradient: Tensor) => {
    trained.push(name);
    gradients.set(gradientName(name), gradient);
  };
  if (bias && trains(bias.path)) train(bias.path, dBias!);
  if (trains(weight.path)) for (const [i, { name }] of parts.entries()) train(name, dTables[i]!);
  return { trained, loss: reshape(losses!, []), gradients };
}
