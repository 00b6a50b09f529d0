import type { CausalLM } from '../../families/family.ts';
import { differentiate } from '../../graph/differentiate.ts';
import { sizeOf } from '../../graph/dims.ts';
import { halfProducts } from '../../graph/half-products.ts';
import {
  constant,
  type InputAttributes,
  input,
  parameter as parameterInput,
} from '../../graph/operators/index.ts';
import { type Partition, partition } from '../../graph/partition.ts';
import { substitute } from '../../graph/rewrite.ts';
import type { Dialect, Tensor } from '../../graph/tensor.ts';
import { topologicalOrder } from '../../graph/traverse.ts';
import type { Precision } from '../../runtime/devices.ts';
import { gradientName, type SequenceShape, sequenceContext } from '../graph.ts';

/** A weight of a piece of a model. */
export interface PieceParameter {
  /** Its path in the model. */
  readonly path: string;
  /** Its name in the piece: the path without the prefix that all paths of the piece share. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly tensor: Tensor;
}

/** A stage of a model as a separate graph; weights are inputs by their names in the piece. */
export interface Piece {
  /** The output of the stage before, `[rows, width]`; the embedding has none. */
  readonly x?: Tensor;
  /** Its own output, `[rows, width]`. */
  readonly y: Tensor;
  readonly parameters: readonly PieceParameter[];
}

/** The stages of a model for rows of one shape, in order: embedding, layers, final norm. */
export function modelPieces(model: CausalLM, shape: SequenceShape): Piece[] {
  const { embed, layers, finish } = model.stages;
  const context = sequenceContext(shape);
  const first = embed(context);
  const x = input('x', 'float32', first.shape);
  return [piece(first), ...layers.map((layer) => piece(layer(x, context), x)), piece(finish(x), x)];
}

function piece(y: Tensor, x?: Tensor): Piece {
  const inputs = topologicalOrder([y]).filter(({ operator }) => operator.name === 'input');
  const weights = inputs.filter(({ attributes }) => (attributes as InputAttributes).parameter);
  const paths = weights.map(({ attributes }) => (attributes as InputAttributes).name);
  const prefix = commonPrefix(paths);
  const parameters = weights.map(({ outputs }, i) => {
    const path = paths[i]!;
    const name = path.slice(prefix.length);
    const shape = outputs[0]!.shape as number[];
    return { path, name, shape, tensor: parameterInput(name, shape) };
  });
  const renamed = new Map(weights.map(({ outputs }, i) => [outputs[0]!, parameters[i]!.tensor]));
  return { ...(x && { x }), y: substitute([y], renamed)[0]!, parameters };
}

/** The prefix that all dotted paths share, including its last dot; never a whole path. */
function commonPrefix(paths: readonly string[]): string {
  const parts = paths.map((path) => path.split('.').slice(0, -1));
  const [first = []] = parts;
  let length = 0;
  while (length < first.length && parts.every((part) => part[length] === first[length])) length++;
  return first
    .slice(0, length)
    .map((part) => `${part}.`)
    .join('');
}

export function forwardGraph({ y }: Piece): Map<string, Tensor> {
  return new Map([['y', y]]);
}

/**
 * The gradients of a piece, given the gradient of its output (`dy`, in y's shape); the forward pass is recomputed
 * inside. The outputs are in the order in which backpropagation finishes them.
 *
 * @param trained names in the piece of the weights whose gradients are wanted.
 * @param inputGradient whether `dx` is wanted.
 */
export function backwardGraph(
  { x, y, parameters }: Piece,
  trained: readonly string[],
  inputGradient: boolean,
  dy: Tensor = input('dy', 'float32', y.shape),
): Map<string, Tensor> {
  const wanted = parameters.filter(({ name }) => trained.includes(name)).reverse();
  const sources = [...wanted.map(({ tensor }) => tensor), ...(inputGradient ? [x!] : [])];
  const gradients = differentiate(y, sources, dy);
  const names = [...wanted.map(({ name }) => gradientName(name)), ...(inputGradient ? ['dx'] : [])];
  return new Map(
    names.map((name, i) => {
      const shape = sources[i]!.shape as number[];
      return [name, gradients[i] ?? constant(new Float32Array(sizeOf(shape)), shape)];
    }),
  );
}

/** The same graph with its products in this precision: see `halfProducts`. */
export function productsIn(
  precision: Precision,
  graph: ReadonlyMap<string, Tensor>,
  dialect: Dialect,
): Map<string, Tensor> {
  if (precision !== 'float16') return new Map(graph);
  const outputs = halfProducts([...graph.values()], dialect);
  return new Map([...graph.keys()].map((name, i) => [name, outputs[i]!]));
}

export interface KeepingGraphs {
  /** `y`, and the values that {@link backward} needs, under its names for them. */
  readonly forward: Map<string, Tensor>;
  /** Like {@link backwardGraph}, computed from the kept values. */
  readonly backward: Map<string, Tensor>;
  readonly kept: Partition['kept'];
}

/** The passes of a piece whose activations are kept between them rather than recomputed. */
export function keepingGraphs(
  piece: Piece,
  trained: readonly string[],
  inputGradient: boolean,
  dialect: Dialect,
  precision: Precision = 'float32',
): KeepingGraphs {
  const dy = input('dy', 'float32', piece.y.shape);
  const gradients = backwardGraph(piece, trained, inputGradient, dy);
  const both = productsIn(precision, new Map([['y', piece.y], ...gradients]), dialect);
  const [y, ...rest] = both.values() as unknown as [Tensor, ...Tensor[]];
  const { first, second, kept } = partition([y], rest, dy, dialect);
  return {
    forward: new Map(['y', ...kept.map(({ name }) => name)].map((name, i) => [name, first[i]!])),
    backward: new Map([...gradients.keys()].map((name, i) => [name, second[i]!])),
    kept,
  };
}
