import { staticShape } from '../graph/dims.ts';
import { gemmRows } from '../graph/lowerings/gemm-rows.ts';
import { linearWeight, type MatmulAttributes, matmul, matmulOp } from '../graph/operators/matmul.ts';
import {
  type ConstantAttributes,
  constantOp,
  type InputAttributes,
  inputOp,
  parameter,
  parameterName,
} from '../graph/operators/sources.ts';
import { type Rule, rewrite } from '../graph/rewrite.ts';
import type { Node, Tensor } from '../graph/tensor.ts';
import { topologicalOrder } from '../graph/traverse.ts';

/** A tensor of an exported graph that is in the data file. */
export interface StoredWeight {
  readonly name: string;
  /** As stored. */
  readonly shape: readonly number[];
  /** Stored transposed relative to the parameter of this name: `[in, out]`. */
  readonly transposed: boolean;
  /** A table of the graph itself; undefined for a parameter of the model. */
  readonly constant?: ArrayLike<number>;
}

/** Constants with more values go to the data file, because a model file is limited to 2 GiB. */
const LARGE_CONSTANT = 1024;

/**
 * Rewrites a graph so that its weights need no Transpose at run time:
 * - a matrix that is only used transposed in products is stored as `[in, out]` and used directly;
 * - one that is also used for lookups (a tied embedding) is stored once and multiplied by Gemm;
 * - large constants (a table of positions) become weights.
 *
 * @returns the new outputs, in order, and the tensors to store, in the order of first use.
 */
export function storeWeights(outputs: readonly Tensor[]): { outputs: Tensor[]; weights: StoredWeight[] } {
  const weights: StoredWeight[] = [];
  const flipped = flippedWeights(topologicalOrder(outputs));
  const store = (weight: StoredWeight) => {
    weights.push(weight);
    return [parameter(weight.name, weight.shape)];
  };
  const stored: Rule<InputAttributes> = {
    operator: inputOp,
    apply(node) {
      const name = parameterName(node);
      if (name === undefined) return undefined;
      const shape = staticShape(node.outputs[0]!.shape, `the weight ${name}`);
      const transposed = flipped.has(name);
      return store({ name, shape: transposed ? shape.toReversed() : shape, transposed });
    },
  };
  let tables = 0;
  const table: Rule<ConstantAttributes> = {
    operator: constantOp,
    apply({ attributes: { dtype, shape, data } }) {
      if (dtype !== 'float32' || data.length <= LARGE_CONSTANT) return undefined;
      return store({ name: `constant.${tables++}`, shape, transposed: false, constant: data });
    },
  };
  const product: Rule<MatmulAttributes> = {
    operator: matmulOp,
    apply(node, [x, weight]) {
      const name = linearWeight(node);
      if (name === undefined) return undefined;
      return [flipped.has(name) ? matmul(x!, weight!) : gemmRows(x!, weight!)];
    },
  };
  return { outputs: rewrite(outputs, [stored, table, product]), weights };
}

/** Weights that are only used transposed, as the right side of products. */
function flippedWeights(order: readonly Node[]): Set<string> {
  const flipped = new Set<string>();
  const others = new Set<string>();
  for (const node of order) {
    node.inputs.forEach((tensor, i) => {
      const name = parameterName(tensor.node);
      if (name !== undefined) (i === 1 && linearWeight(node) === name ? flipped : others).add(name);
    });
  }
  return new Set([...flipped].filter((name) => !others.has(name)));
}
