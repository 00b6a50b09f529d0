import { apply, isNodeOf, type Node, type Operator, type Tensor } from '../tensor.ts';

export interface ConstantAttributes {
  readonly dtype: 'float32' | 'int64' | 'int32';
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** A value known when the graph is built. */
export const constantOp: Operator<ConstantAttributes> = {
  name: 'constant',
  infer: (_inputs, { dtype, shape }) => [{ dtype, shape }],
  evaluate: (_inputs, { shape, data }) => [{ shape, data: Float64Array.from(data) }],
  stopsGradient: true,
  lower: (e, _inputs, { attributes }) => [e.constant(attributes.dtype, attributes.shape, attributes.data)],
  examples: [],
};

export function constant(
  data: ArrayLike<number>,
  shape: readonly number[],
  dtype: ConstantAttributes['dtype'] = 'float32',
) {
  return apply(constantOp, [], { dtype, shape, data })[0]!;
}

export function scalar(value: number): Tensor {
  return constant([value], []);
}

/** The value of a constant scalar, or undefined for anything else. */
export function scalarValue(tensor: Tensor): number | undefined {
  if (!isNodeOf(tensor.node, constantOp)) return undefined;
  const { data } = tensor.node.attributes;
  return data.length === 1 && tensor.rank === 0 ? data[0] : undefined;
}

export interface InputAttributes {
  readonly name: string;
  readonly dtype: 'float32' | 'float16' | 'int64' | 'int32';
  readonly shape: Tensor['shape'];
  /** A weight: an input when training, an initializer for inference. */
  readonly parameter?: boolean;
}

/** A value given when the graph runs. */
export const inputOp: Operator<InputAttributes> = {
  name: 'input',
  infer: (_inputs, { dtype, shape }) => [{ dtype, shape }],
  stopsGradient: true,
  unique: true,
  examples: [],
};

export function input(name: string, dtype: InputAttributes['dtype'], shape: Tensor['shape']): Tensor {
  return apply(inputOp, [], { name, dtype, shape })[0]!;
}

/** A float32 weight, identified by its path. */
export function parameter(name: string, shape: Tensor['shape']): Tensor {
  return apply(inputOp, [], { name, dtype: 'float32', shape, parameter: true })[0]!;
}

/** The path of a weight node; undefined for anything else. */
export function parameterName(node: Node | undefined): string | undefined {
  return isNodeOf(node, inputOp) && node.attributes.parameter ? node.attributes.name : undefined;
}
