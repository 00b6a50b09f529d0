import { RopewalkError } from '../errors.ts';
import { type Shape, shapeText } from './dims.ts';
import type { Values } from './values.ts';

export type DType = 'float32' | 'float16' | 'int64' | 'int32' | 'bool';

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
  /** Whether activations keep their precision, at the cost of some speed. */
  readonly exact: boolean;
  readonly data: string;
  readonly scales: string;
  readonly zeroPoints?: string;
  readonly offsets?: string;
}

/**
 * Which operators a graph may use: only ai.onnx (`standard`), or also those of com.microsoft that ONNX Runtime's CPU
 * kernels (`onnxruntime`) or its WebGPU kernels (`webgpu`) implement, or those that provider libraries take, such as
 * OpenVINO's (`library`).
 */
export type Dialect = 'onnxruntime' | 'webgpu' | 'library' | 'standard';

/** Writes an operator's ONNX nodes. Values are identified by their ONNX names. */
export interface Emitter {
  readonly dialect: Dialect;
  /** Adds one ONNX node; returns the names of its outputs. */
  node(
    type: string,
    inputs: readonly string[],
    attributes?: Record<string, number | string | readonly number[] | { readonly float: number }>,
    options?: { readonly domain?: string; readonly outputs?: number },
  ): string[];
  /** A small constant, stored once however often it is requested. */
  constant(dtype: DType, shape: readonly number[], data: ArrayLike<number>): string;
  /** Set when this value is a quantized weight, which has no float32 form. */
  quantized(value: string): QuantizedWeight | undefined;
  /** Whether anything reads this output, so that optional ones need not be computed. */
  isUsed(tensor: Tensor): boolean;
}

export interface DerivativeContext<A> {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** The gradient of each output; undefined if there is none. */
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
  /** Inputs with fixed values, by index, rather than drawn. */
  readonly values?: Readonly<Record<number, readonly number[]>>;
  /** Float inputs are drawn from this range; default [-2, 2]. */
  readonly range?: readonly [number, number];
}

/**
 * Everything about one operator, in one place. An operator is either primitive (it has its own value and lowering) or
 * composite (it has an expansion, and may add a fused lowering or a derivative that costs less than differentiating
 * the expansion).
 */
export interface Operator<A extends Attributes = Attributes> {
  readonly name: string;
  /** Shape rule. Throws through `shapeError`. */
  infer(inputs: readonly TensorType[], attributes: A): TensorType[];
  /** The value in float64, for tests and constant folding. Composites use their expansion's. */
  evaluate?(inputs: readonly Values[], attributes: A): Values[];
  /** The gradients of the inputs as a graph; undefined for an input that gets none. */
  differentiate?(context: DerivativeContext<A>): (Tensor | undefined)[];
  /** Set when every output is piecewise constant or an index: nothing flows back, and that is not an error. */
  readonly stopsGradient?: boolean;
  /** The definition in terms of other operators. */
  expand?(inputs: readonly Tensor[], attributes: A): Tensor[];
  /** ONNX nodes; returns the names of the outputs (trailing unused ones may be left out). */
  lower?(emitter: Emitter, inputs: readonly string[], node: Node<A>): string[];
  /** Set when the lowering needs com.microsoft operators: the standard dialect then uses the expansion. */
  readonly engineOnly?: boolean;
  /** Whether the fused form supports this case; otherwise the expansion is used. Default: every case. */
  fits?(inputs: readonly TensorType[], attributes: A, dialect: Dialect): boolean;
  /** How many leading outputs gradients may flow into; the rest are for the derivative. Default: all. */
  readonly primaryOutputs?: number;
  /** Never merged with an equal node: inputs, random sources, recomputation barriers. */
  readonly unique?: boolean;
  /** Set when its value is recomputed rather than kept: at most one pass over its inputs. */
  readonly cheap?: boolean;
  /** The tensor that it equals if it changes nothing: x + 0, a transpose undone. */
  identity?(inputs: readonly Tensor[], attributes: A): Tensor | undefined;
  /** The index of the input that may be a quantized weight, and that engines pack if it is a weight. */
  readonly packedInput?: number;
  /** Cases for the property tests. */
  readonly examples: readonly Example<A>[];
}

/**
 * An operator that programs never record: a rewrite or an expansion inserts it just before a graph is written, where
 * the engine has one kernel for several operators or reads weights as they are stored. It means its expansion, or its
 * value if it has none, and no gradient flows through it.
 */
export type Lowering<A extends Attributes = Attributes> = Omit<
  Operator<A>,
  'differentiate' | 'stopsGradient' | 'primaryOutputs' | 'unique' | 'identity' | 'packedInput'
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

/** Whether a node applies this operator; narrows the type of its attributes. */
export function isNodeOf<A extends Attributes>(
  node: Node | undefined,
  operator: Operator<A>,
): node is Node<A> {
  return node?.operator === (operator as Operator);
}

/** A float32 type, for examples. */
export function floats(...shape: number[]): TensorType {
  return { dtype: 'float32', shape };
}

/** Applies an operator. Shape errors are thrown here, where the user's program caused them. */
export function apply<A extends Attributes>(
  operator: Operator<A>,
  inputs: readonly Tensor[],
  attributes: A,
): readonly Tensor[] {
  return new Node(operator, inputs, attributes).outputs;
}

/** The error of a shape rule: names the operator and the given shapes. */
export function shapeError(operator: string, inputs: readonly TensorType[], what: string): RopewalkError {
  const shapes = inputs.map((input) => `${input.dtype}${shapeText(input.shape)}`).join(' and ');
  return new RopewalkError(`${operator}: ${what} (given ${shapes}).`);
}
