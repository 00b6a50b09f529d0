import { constant, scalarValue } from './operators/elementwise.ts';
import { type Attributes, type Dialect, Node, type Tensor } from './tensor.ts';
import { topologicalOrder } from './traverse.ts';
import type { Values } from './values.ts';

/** Constants up to this many elements are computed when the graph is built. */
const FOLD_LIMIT = 1 << 20;

/**
 * An equal graph with less in it: composites without a lowering expanded, equal nodes merged, constants folded,
 * multiplications by one and additions of zero removed. Nodes behind different barriers are different nodes, so
 * nothing is merged across a recomputation barrier.
 *
 * @param dialect which lowerings exist.
 * @returns the outputs in the new graph, in order. Nodes that nothing depends on are gone.
 */
export function simplify(outputs: readonly Tensor[], dialect: Dialect): Tensor[] {
  const replaced = new Map<Tensor, Tensor>();
  const seen = new Map<string, readonly Tensor[]>();
  const identities = new Map<object, number>();
  const rewrite = (roots: readonly Tensor[]) => {
    for (const node of topologicalOrder(roots, replaced)) {
      if (node.outputs.every((output) => replaced.has(output))) continue;
      const inputs = node.inputs.map((input) => replaced.get(input) ?? input);
      const results = simplifyNode(node, inputs);
      node.outputs.forEach((output, i) => {
        replaced.set(output, results[i]!);
        // What is new is simple already: expansions built on it stop here.
        replaced.set(results[i]!, results[i]!);
      });
    }
    return roots.map((root) => replaced.get(root) ?? root);
  };
  const simplifyNode = (node: Node, inputs: readonly Tensor[]): readonly Tensor[] => {
    const { operator, attributes } = node;
    const usable =
      operator.lower &&
      !(operator.engineOnly && dialect === 'standard') &&
      (operator.fits?.(inputs, attributes, dialect) ?? true);
    if (!usable && operator.expand) return rewrite(operator.expand(inputs, attributes));
    const shortcut = identity(node, inputs) ?? fold(node, inputs);
    if (shortcut) return [shortcut];
    if (operator.unique) return rebuild(node, inputs);
    const key = `${operator.name}(${inputs.map(tensorKey).join()})${attributesKey(attributes, identities)}`;
    const equal = seen.get(key);
    if (equal) return equal;
    const outputs = rebuild(node, inputs);
    seen.set(key, outputs);
    return outputs;
  };
  return rewrite(outputs);
}

function rebuild(node: Node, inputs: readonly Tensor[]): readonly Tensor[] {
  const same = inputs.every((input, i) => input === node.inputs[i]);
  return same ? node.outputs : new Node(node.operator, inputs, node.attributes).outputs;
}

function tensorKey(tensor: Tensor): string {
  return `${tensor.node.id}.${tensor.index}`;
}

/** Equal attributes give equal text; large arrays count as equal only when they are the same array. */
function attributesKey(attributes: Attributes, identities: Map<object, number>): string {
  return JSON.stringify(attributes, (_key, value: unknown) => {
    if (typeof value === 'object' && value !== null) {
      if ('terms' in value) return String(value);
      const length = 'length' in value && typeof value.length === 'number' ? value.length : 0;
      if (length > 64) {
        if (!identities.has(value)) identities.set(value, identities.size);
        return `array ${identities.get(value)}`;
      }
    }
    return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
  });
}

/** x + 0, x · 1, x / 1, a transpose undone, a reshape of a reshape. */
function identity(node: Node, inputs: readonly Tensor[]): Tensor | undefined {
  const [a, b] = inputs;
  const keepsShape = (x: Tensor) => x.rank === node.outputs[0]!.rank;
  switch (node.operator.name) {
    case 'add':
      if (scalarValue(a!) === 0 && keepsShape(b!)) return b;
      return scalarValue(b!) === 0 && keepsShape(a!) ? a : undefined;
    case 'mul':
      if (scalarValue(a!) === 1 && keepsShape(b!)) return b;
      return scalarValue(b!) === 1 && keepsShape(a!) ? a : undefined;
    case 'sub':
    case 'div':
      return scalarValue(b!) === (node.operator.name === 'sub' ? 0 : 1) && keepsShape(a!) ? a : undefined;
    case 'neg':
      return a!.node.operator.name === 'neg' ? a!.node.inputs[0] : undefined;
    case 'reshape':
    case 'transpose':
      return undoes(node, a!);
    default:
      return undefined;
  }
}

function undoes(node: Node, x: Tensor): Tensor | undefined {
  if (x.node.operator !== node.operator) return undefined;
  const source = x.node.inputs[0]!;
  if (node.operator.name === 'transpose') {
    const outer = (node.attributes as { permutation: readonly number[] }).permutation;
    const inner = (x.node.attributes as { permutation: readonly number[] }).permutation;
    return outer.every((axis, i) => inner[axis] === i) ? source : undefined;
  }
  const same = node.outputs[0]!.shape.map(String).join() === source.shape.map(String).join();
  return same ? source : undefined;
}

function fold(node: Node, inputs: readonly Tensor[]): Tensor | undefined {
  const { operator } = node;
  if (inputs.length === 0 || node.outputs.length !== 1 || operator.unique || !operator.evaluate)
    return undefined;
  const output = node.outputs[0]!;
  if (output.dtype === 'bool') return undefined;
  const values: Values[] = [];
  for (const input of inputs) {
    if (input.node.operator.name !== 'constant') return undefined;
    values.push(input.node.operator.evaluate!([], input.node.attributes)[0]!);
  }
  const size = output.shape.reduce<number>((n, dim) => (typeof dim === 'number' ? n * dim : Number.NaN), 1);
  if (!(size <= FOLD_LIMIT)) return undefined;
  const value = operator.evaluate(values, node.attributes)[0]!;
  return constant(value.data, value.shape, output.dtype);
}
