import { sameShape, staticShape } from '../graph/dims.ts';
import type { CachedAttentionAttributes } from '../graph/operators/cached-attention.ts';
import type { InputAttributes } from '../graph/operators/elementwise.ts';
import { addRmsNorm, input, matmul, parameter, split } from '../graph/operators/index.ts';
import { Node, type Tensor } from '../graph/tensor.ts';
import { topologicalOrder } from '../graph/traverse.ts';
import { type QuantizedSource, type RowLookup, stackQuantized, type WeightSource } from './weights.ts';

type Weights = ReadonlyMap<string, WeightSource>;

/** Rows that the host looks up and feeds: an input of the graph in place of an embedding. */
export interface HostLookup {
  /** The graph's input that is fed with the rows. */
  readonly input: string;
  /** The graph's input that holds the row numbers. */
  readonly ids: string;
  readonly rows: RowLookup;
}

/**
 * Rewrites a graph whose weights stand still, for inference:
 * - an embedding whose rows the host can look up becomes an input, so that the engine does not hold the table twice
 *   (once to look up, once packed as the tied head);
 * - attention over a cache takes queries, keys and values as they come out of one product, undivided;
 * - a residual sum and the RMSNorm behind it are one pass;
 * - quantised products of the same activations (queries, keys and values; gate and up) become one product of the
 *   stacked matrices: a decode step is hundreds of small products, and each costs a start.
 */
export function prepareInference(
  outputs: readonly Tensor[],
  weights: Weights,
): { outputs: Tensor[]; weights: Map<string, WeightSource>; lookups: HostLookup[] } {
  if (weights.size === 0) return { outputs: [...outputs], weights: new Map(), lookups: [] };
  const order = topologicalOrder(outputs);
  const changed = new Map(weights);
  const lookups: HostLookup[] = [];
  const groups = groupProducts(order, weights);
  const sums = normedSums(order);
  const merged = new Map<readonly Node[], readonly Tensor[]>();
  const replaced = new Map<Tensor, Tensor>();
  for (const node of order) {
    const inputs = node.inputs.map((tensor) => replaced.get(tensor) ?? tensor);
    const lookup = hostLookup(node, inputs, weights);
    if (lookup) {
      if (!lookups.some((other) => other.input === lookup.input)) lookups.push(lookup);
      replaced.set(node.outputs[0]!, input(lookup.input, 'float32', node.outputs[0]!.shape));
      continue;
    }
    const group = groups.get(node);
    if (group) {
      let parts = merged.get(group);
      if (!parts) {
        parts = mergeGroup(group, inputs[0]!, changed);
        merged.set(group, parts);
      }
      replaced.set(node.outputs[0]!, parts[group.indexOf(node)]!);
      continue;
    }
    const packed = packAttention(node, inputs);
    if (packed) {
      node.outputs.forEach((output, i) => {
        replaced.set(output, packed.outputs[i]!);
      });
      continue;
    }
    const norm = sums.get(node.outputs[0]!);
    if (norm) {
      const [x, y] = inputs as [Tensor, Tensor];
      const weight = replaced.get(norm.inputs[1]!) ?? norm.inputs[1]!;
      const { epsilon } = norm.attributes as { epsilon: number };
      const [normed, sum] = addRmsNorm(x, y, weight, epsilon);
      replaced.set(node.outputs[0]!, sum).set(norm.outputs[0]!, normed);
      continue;
    }
    if (node.outputs[0] && replaced.has(node.outputs[0])) continue;
    if (inputs.every((tensor, i) => tensor === node.inputs[i])) continue;
    const copy = new Node(node.operator, inputs, node.attributes);
    node.outputs.forEach((output, i) => {
      replaced.set(output, copy.outputs[i]!);
    });
  }
  return { outputs: outputs.map((output) => replaced.get(output) ?? output), weights: changed, lookups };
}

function parameterName(tensor: Tensor | undefined): string | undefined {
  if (tensor?.node.operator.name !== 'input') return undefined;
  const attributes = tensor.node.attributes as InputAttributes;
  return attributes.parameter ? attributes.name : undefined;
}

function hostLookup(node: Node, [table, ids]: readonly Tensor[], weights: Weights): HostLookup | undefined {
  if (node.operator.name !== 'gatherRows' || ids?.node.operator.name !== 'input') return undefined;
  const name = parameterName(table);
  const rows = name === undefined ? undefined : weights.get(name)?.rows;
  if (!rows) return undefined;
  const idsName = (ids.node.attributes as InputAttributes).name;
  return { input: `${name}[${idsName}]`, ids: idsName, rows };
}

/** Sums of two activations, and the RMSNorm that is taken of each. */
function normedSums(order: readonly Node[]): Map<Tensor, Node> {
  const found = new Map<Tensor, Node>();
  for (const norm of order) {
    if (norm.operator.name !== 'rmsNorm') continue;
    const sum = norm.inputs[0]!;
    const [x, y] = sum.node.inputs;
    // The weight must not wait for the sum: a parameter, or what is made of one alone.
    const standing = topologicalOrder([norm.inputs[1]!]).every(
      ({ operator, attributes }) =>
        operator.name === 'constant' ||
        operator.name === 'add' ||
        (operator.name === 'input' && (attributes as InputAttributes).parameter),
    );
    if (sum.node.operator.name === 'add' && sameShape(x!.shape, y!.shape) && standing && !found.has(sum))
      found.set(sum, norm);
  }
  return found;
}

/** Attention over what a split has divided, in one piece. */
function packAttention({ operator, attributes }: Node, inputs: readonly Tensor[]): Node | undefined {
  if (operator.name !== 'cachedAttention') return undefined;
  const { packed, rotates } = attributes as CachedAttentionAttributes;
  const [q, k, v, ...rest] = inputs as [Tensor, Tensor, Tensor, ...Tensor[]];
  const { node } = q;
  const divides =
    node.operator.name === 'split' &&
    node.outputs.length === 3 &&
    [q, k, v].every((tensor, i) => tensor === node.outputs[i]);
  if (packed || !rotates || !divides) return undefined;
  return new Node(operator, [node.inputs[0]!, ...rest], { ...attributes, packed: true });
}

/** Products that can be one, by each of their nodes. */
function groupProducts(order: readonly Node[], weights: Weights): Map<Node, readonly Node[]> {
  const uses = new Map<string, number>();
  const byInput = new Map<string, Node[]>();
  for (const node of order) {
    for (const tensor of node.inputs) {
      const name = parameterName(tensor);
      if (name !== undefined) uses.set(name, (uses.get(name) ?? 0) + 1);
    }
    if (node.operator.name !== 'matmul') continue;
    const source = quantizedOf(node, weights);
    if (!source) continue;
    const [x] = node.inputs as [Tensor];
    const kind = [
      x.node.id,
      x.index,
      source.bits,
      source.block,
      source.hasOffsets,
      source.hasZeroPoints,
      source.exact,
    ].join();
    byInput.set(kind, [...(byInput.get(kind) ?? []), node]);
  }
  const groups = new Map<Node, readonly Node[]>();
  for (const nodes of byInput.values()) {
    const alone = nodes.filter((node) => uses.get(parameterName(node.inputs[1])!) === 1);
    if (alone.length > 1) for (const node of alone) groups.set(node, alone);
  }
  return groups;
}

function quantizedOf(node: Node, weights: Weights): QuantizedSource | undefined {
  const { transA, transB, alpha } = node.attributes as { transA: boolean; transB: boolean; alpha: number };
  const name = parameterName(node.inputs[1]);
  if (transA || !transB || alpha !== 1 || name === undefined) return undefined;
  const source = weights.get(name);
  return source && 'quantized' in source ? source.quantized : undefined;
}

function mergeGroup(group: readonly Node[], x: Tensor, weights: Map<string, WeightSource>) {
  const names = group.map((node) => parameterName(node.inputs[1])!);
  const name = names.join('+');
  const quantized = names.map((each) => (weights.get(each) as { quantized: QuantizedSource }).quantized);
  const sizes = group.map((node) => staticShape(node.inputs[1]!.shape, 'a weight')[0]!);
  const stacked = stackQuantized(quantized);
  weights.set(name, { quantized: stacked });
  const weight = parameter(name, [stacked.rows, stacked.columns]);
  return split(matmul(x, weight, { transB: true }), x.rank - 1, sizes);
}
