import { RopewalkError } from '../errors.ts';
import { type Shape, shapeText } from './dims.ts';
import type { Values } from './values.ts';

export type DType = 'float32' | 'int64' | 'int32' | 'bool';

export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** Anything that JSON can hold, plus the data of constants. */
export type Attributes = object;

/** The attributes of an operator that has none. */
export type None = Record<never, never>;

/** A quantized weight, by the names of its initializers: see `QuantizedMatrix` in the onnx room. */
export interface QuantizedWeight {
  readonly rows: number;
  readonly columns: number;
  readonly bits: 4 | 8;
  readonly block: number;
  /** Whether activations keep their precision, at some speed. */
  readonly exact: boolean;
  readonly data: string;
  readonly scales: string;
  readonly zeroPoints?: string;
  readonly offsets?: string;
}

/**
 * Which operators a graph may be written with: ai.onnx alone (`standard`), or those of com.microsoft too, as ONNX
 * Runtime's CPU kernels have them (`onnxruntime`) or as its WebGPU kernels do (`webgpu`).
 */
export type Dialect = 'onnxruntime' | 'webgpu' | 'standard';

/** What an operator's lowering writes ONNX nodes with. Values are known by their ONNX names. */
export interface Emitter {
  readonly dialect: Dialect;
  /** Adds one ONNX node; returns the names of its outputs. */
  node(
    type: string,
    inputs: readonly string[],
    attributes?: Record<string, number | string | readonly number[] | { readonly float: number }>,
    options?: { readonly domain?: string; readonly outputs?: number },
  ): string[];
  /** A small constant, stored once however often it is asked for. */
  constant(dtype: DType, shape: readonly number[], data: ArrayLike<number>): string;
  /** Set when this value is a quantized weight: it has no float32 form then. */
  quantized(value: string): QuantizedWeight | undefined;
  /** Whether anything reads this output, so that optional ones need not be computed. */
  isUsed(tensor: Tensor): boolean;
}

export interface DerivativeContext<A> {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** The gradient that reached each output; undefined where none did. */
  readonly gradients: readonly (Tensor | undefined)[];
  /** Whether the gradient of each input is wanted. */
  readonly wanted: readonly boolean[];
  readonly attributes: A;
}

export interface Example<A> {
  readonly inputs: readonly TensorType[];
  readonly attributes: A;
  /** Integer inputs are drawn below this (indices); default 4. */
  readonly below?: number;
  /** Inputs that are given, by number, rather than drawn. */
  readonly values?: Readonly<Record<number, readonly number[]>>;
  /** Float inputs are drawn from this range; default [-2, 2]. */
  readonly range?: readonly [number, number];
}

/**
 * Everything there is to know about one operator, in one place. An operator is either primitive (it has a value
 * and a lowering of its own) or composite (it has an expansion, and may add a fused lowering or a derivative that
 * costs less than differentiating the expansion).
 */
export interface Operator<A extends Attributes = Attributes> {
  readonly name: string;
  /** Shape rule. Throws through `shapeError`. */
  infer(inputs: readonly TensorType[], attributes: A): TensorType[];
  /** The value in float64, for tests and constant folding. Composites use their expansion's. */
  evaluate?(inputs: readonly Values[], attributes: A): Values[];
  /** The gradients of the inputs as a graph; undefined for an input that gets none. */
  differentiate?(context: DerivativeContext<A>): (Tensor | undefined)[];
  /** Set when every output is piecewise constant or an index: nothing flows back, and that is no error. */
  readonly stopsGradient?: boolean;
  /** The definition by other operators. */
  expand?(inputs: readonly Tensor[], attributes: A): Tensor[];
  /** ONNX nodes; returns the names of the outputs (trailing unused ones may be left out). */
  lower?(emitter: Emitter, inputs: readonly string[], node: Node<A>): string[];
  /** Set when the lowering needs com.microsoft operators: the standard dialect then uses the expansion. */
  readonly engineOnly?: boolean;
  /** Whether the fused form can do this case; where it cannot, the expansion is used. Default: every case. */
  fits?(inputs: readonly TensorType[], attributes: A, dialect: Dialect): boolean;
  /** How many leading outputs gradients may flow into; the rest serve the derivative. Default: all. */
  readonly primaryOutputs?: number;
  /** Never merged with an equal node: inputs, random sources, recomputation barriers. */
  readonly unique?: boolean;
  /** Set when its value is computed again rather than kept: one pass over numbers at hand, or none. */
  readonly cheap?: boolean;
  /** The tensor that it equals where it changes nothing: x + 0, a transpose undone. */
  identity?(inputs: readonly Tensor[], attributes: A): Tensor | undefined;
  /** The index of the input that may be a quantized weight, and that engines pack if it is a weight. */
  readonly packedInput?: number;
  /** What the property tests try it on. */
  readonly examples: readonly Example<A>[];
}

/**
 * A form that a program never records: a rewriting or an expansion puts it in the place of operators just before a graph
 * is written, where the engine has one kernel for several or reads numbers as they lie. It means its expansion, or its
 * value where it has none, and nothing flows back through it.
 */
export type Lowering<A extends Attributes = Attributes> = Omit<
  Operator<A>,
  'differentiate' | 'stopsGradient' | 'primaryOutputs' | 'unique' | 'cheap' | 'identity' | 'packedInput'
> &
  Required<Pick<Operator<A>, 'lower'>>;

let nextNode = 0;

/** One application of an operator. */
export class Node<A extends Attributes = Attributes> {
  readonly id = nextNode++;
  readonly outputs: readonly Tensor[];

  constructor(
    readonly operator: Operator<A>,
    readonly inputs: readonly Tensor[],
    readonly attributes: A,
  ) {
    const types = operator.infer(inputs, attributes);
    this.outputs = types.map((type, index) => new Tensor(this as Node, index, type));
  }
}

/** A value in the graph: the `index`-th output of `node`. */
export class Tensor implements TensorType {
  readonly dtype: DType;
  readonly shape: Shape;

  constructor(
    readonly node: Node,
    readonly index: number,
    type: TensorType,
  ) {
    this.dtype = type.dtype;
    this.shape = type.shape;
  }

  get rank(): number {
    return this.shape.length;
  }
}

/** Whether a node applies this operator: its attributes are of the operator's type then. */
export function isNodeOf<A extends Attributes>(
  node: Node | undefined,
  operator: Operator<A>,
): node is Node<A> {
  return node?.operator === (operator as Operator);
}

/** A type of float32, as examples have them. */
export function floats(...shape: number[]): TensorType {
  return { dtype: 'float32', shape };
}

/** Applies an operator; the error of a wrong shape is raised here, where the user's program made it. */
export function apply<A extends Attributes>(
  operator: Operator<A>,
  inputs: readonly Tensor[],
  attributes: A,
): readonly Tensor[] {
  return new Node(operator, inputs, attributes).outputs;
}

/** The error of a shape rule: names the operator and the shapes it was given. */
export function shapeError(operator: string, inputs: readonly TensorType[], what: string): RopewalkError {
  const shapes = inputs.map((input) => `${input.dtype}${shapeText(input.shape)}`).join(' and ');
  return new RopewalkError(`${operator}: ${what} (given ${shapes}).`);
}
