import { staticShape } from '../graph/dims.ts';
import type { InputAttributes } from '../graph/operators/elementwise.ts';
import { gemmRows, matmul, parameter } from '../graph/operators/index.ts';
import { Node, type Tensor } from '../graph/tensor.ts';
import { topologicalOrder } from '../graph/traverse.ts';

/** A tensor of an exported graph that stands in the data file. */
export interface StoredWeight {
  readonly name: string;
  /** As stored. */
  readonly shape: readonly number[];
  /** Stored the other way round than the parameter of this name: `[in, out]`. */
  readonly transposed: boolean;
  /** A table of the graph's own; undefined for a parameter of the model. */
  readonly constant?: ArrayLike<number>;
}

/** Constants above this many numbers go to the data file: a model file has a limit of 2 GiB. */
const LARGE_CONSTANT = 1024;

/**
 * Rewrites a graph so that its weights need no Transpose where it runs:
 * - a matrix that is only multiplied by, transposed, is stored as `[in, out]` and multiplied by as it is;
 * - one that is looked up in as well (a tied embedding) is stored once and multiplied by through Gemm;
 * - large constants (a table of positions) become weights.
 *
 * @returns the new outputs, in order, and what is to be stored, in the order of its first use.
 */
export function storeWeights(outputs: readonly Tensor[]): { outputs: Tensor[]; weights: StoredWeight[] } {
  const order = topologicalOrder(outputs);
  const users = new Map<Tensor, Node[]>();
  for (const node of order) {
    for (const tensor of node.inputs) users.set(tensor, [...(users.get(tensor) ?? []), node]);
  }
  const weights: StoredWeight[] = [];
  const replaced = new Map<Tensor, Tensor>();
  /** Weights that are stored the other way round. */
  const flipped = new Set<Tensor>();
  for (const node of order) {
    const output = node.outputs[0]!;
    const name = parameterName(node);
    const table = largeConstant(node);
    if (name !== undefined) {
      const shape = staticShape(output.shape, `the weight ${name}`);
      const transposed = users.get(output)?.every((user) => isLinear(user, output)) ?? false;
      weights.push({ name, shape: transposed ? shape.toReversed() : shape, transposed });
      if (transposed) {
        replaced.set(output, parameter(name, shape.toReversed()));
        flipped.add(output);
      }
    } else if (table) {
      const constant = `constant.${weights.filter((weight) => weight.constant).length}`;
      weights.push({ name: constant, shape: table.shape, transposed: false, constant: table.data });
      replaced.set(output, parameter(constant, table.shape));
    } else {
      const inputs = node.inputs.map((tensor) => replaced.get(tensor) ?? tensor);
      const [x, weight] = inputs;
      if (isLinear(node, node.inputs[1])) {
        replaced.set(output, flipped.has(node.inputs[1]!) ? matmul(x!, weight!) : gemmRows(x!, weight!));
      } else if (inputs.some((tensor, i) => tensor !== node.inputs[i])) {
        const copy = new Node(node.operator, inputs, node.attributes);
        node.outputs.forEach((old, i) => {
          replaced.set(old, copy.outputs[i]!);
        });
      }
    }
  }
  return { outputs: outputs.map((output) => replaced.get(output) ?? output), weights };
}

function parameterName(node: Node | undefined): string | undefined {
  if (node?.operator.name !== 'input') return undefined;
  const { name, parameter } = node.attributes as InputAttributes;
  return parameter ? name : undefined;
}

function largeConstant(node: Node): { shape: readonly number[]; data: ArrayLike<number> } | undefined {
  if (node.operator.name !== 'constant' || node.outputs[0]!.dtype !== 'float32') return undefined;
  const { shape, data } = node.attributes as { shape: readonly number[]; data: ArrayLike<number> };
  return data.length > LARGE_CONSTANT ? { shape, data } : undefined;
}

/** Whether the node is x · weightᵀ with this weight, a parameter. */
function isLinear(node: Node, weight: Tensor | undefined): boolean {
  if (node.operator.name !== 'matmul' || node.inputs[1] !== weight || node.inputs[0] === weight) return false;
  const { transA, transB, alpha } = node.attributes as { transA: boolean; transB: boolean; alpha: number };
  return transB && !transA && alpha === 1 && parameterName(weight?.node) !== undefined;
}
