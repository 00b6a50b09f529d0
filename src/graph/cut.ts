import { constantOp, input, inputOp, parameterName } from './operators/sources.ts';
import { substitute } from './rewrite.ts';
import { type DType, isNodeOf, type Node, type Tensor } from './tensor.ts';
import { topologicalOrder } from './traverse.ts';

/** A part of a graph. Parts run one after another; each may take what earlier ones passed on. */
export interface GraphPart {
  /** The graph's outputs that this part computes, and what it passes on, by name. */
  readonly outputs: ReadonlyMap<string, Tensor>;
  /** Inputs that are outputs of earlier parts. */
  readonly taken: ReadonlySet<string>;
}

/** How far from the ideal place a cut may be, as a share of a part's weights. */
const SLACK = 0.3;
/** More values than this do not pass a cut. */
const MOST_PASSED = 8;

/**
 * Cuts a graph into parts with about the same weights, where few values pass from one to the next. What depends on
 * no weight, such as a mask, is computed again in each part that needs it.
 *
 * @param outputs the graph's outputs, by name.
 * @param sizeOf the size of a parameter.
 * @param count how many parts are wanted.
 * @returns the parts in the order in which they must run: fewer than `count` where there is no good place to cut.
 */
export function cutGraph(
  outputs: ReadonlyMap<string, Tensor>,
  sizeOf: (parameter: Tensor) => number,
  count: number,
): GraphPart[] {
  const order = count > 1 ? topologicalOrder([...outputs.values()]) : [];
  const light = weightless(order);
  const places = cutPlaces(order, light, sizeOf, count);
  if (places.length === 0) return [{ outputs, taken: new Set() }];
  const partOf = new Map<Node, number>();
  order.forEach((node, i) => {
    partOf.set(node, places.filter((place) => place <= i).length);
  });
  const passed = new Map<Tensor, string>();
  for (const node of order) {
    for (const tensor of node.inputs) {
      const isFromEarlier = !light.has(tensor.node) && partOf.get(tensor.node)! < partOf.get(node)!;
      const isComputed = parameterName(tensor.node) === undefined;
      if (isFromEarlier && isComputed && !passed.has(tensor)) passed.set(tensor, `passed ${passed.size}`);
    }
  }
  return Array.from({ length: places.length + 1 }, (_, part) => {
    const earlier = new Map(
      [...passed]
        .filter(([{ node }]) => partOf.get(node)! < part)
        .map(([tensor, name]) => [tensor, input(name, tensor.dtype as PassedType, tensor.shape)]),
    );
    const own = [
      ...[...outputs].filter(([, { node }]) => (light.has(node) ? part === 0 : partOf.get(node) === part)),
      ...[...passed].flatMap(([tensor, name]): [string, Tensor][] =>
        partOf.get(tensor.node) === part ? [[name, tensor]] : [],
      ),
    ];
    const roots = substitute(
      own.map(([, tensor]) => tensor),
      earlier,
    );
    const names = new Set([...earlier.values()].map(inputName));
    const taken = topologicalOrder(roots).flatMap((node) => {
      const name = isNodeOf(node, inputOp) ? node.attributes.name : '';
      return names.has(name) ? [name] : [];
    });
    return {
      outputs: new Map(own.map(([name], i) => [name, roots[i]!])),
      taken: new Set(taken),
    };
  });
}

type PassedType = Exclude<DType, 'bool'>;

function inputName({ node }: Tensor): string {
  return isNodeOf(node, inputOp) ? node.attributes.name : '';
}

/** Nodes that depend on no parameter. */
function weightless(order: readonly Node[]): Set<Node> {
  const found = new Set<Node>();
  for (const node of order) {
    if (parameterName(node) === undefined && node.inputs.every((tensor) => found.has(tensor.node)))
      found.add(node);
  }
  return found;
}

/** Positions in the order of the nodes, before each of which a part ends. */
function cutPlaces(
  order: readonly Node[],
  light: ReadonlySet<Node>,
  sizeOf: (parameter: Tensor) => number,
  count: number,
): number[] {
  const firstUse = new Map<Tensor, number>();
  const lastUse = new Map<Tensor, number>();
  const position = new Map(order.map((node, i) => [node, i]));
  order.forEach((node, i) => {
    for (const tensor of node.inputs) {
      if (!firstUse.has(tensor)) firstUse.set(tensor, i);
      lastUse.set(tensor, i);
    }
  });
  // How many values are alive before each node, as differences.
  const starts = new Float64Array(order.length + 1);
  const weight = new Float64Array(order.length + 1);
  for (const [tensor, last] of lastUse) {
    const { node } = tensor;
    const name = parameterName(node);
    if (isNodeOf(node, constantOp) || light.has(node)) continue;
    const first = name === undefined ? position.get(node)! : firstUse.get(tensor)!;
    // A weight is in one part only, and values that are not numbers do not pass.
    const cost = name !== undefined || tensor.dtype === 'bool' ? MOST_PASSED + 1 : 1;
    starts[first + 1]! += cost;
    starts[last + 1]! -= cost;
    if (name !== undefined) weight[first + 1]! += sizeOf(tensor);
  }
  for (let i = 1; i <= order.length; i++) {
    starts[i]! += starts[i - 1]!;
    weight[i]! += weight[i - 1]!;
  }
  const total = weight[order.length]!;
  const places: number[] = [];
  for (let k = 1; k < count; k++) {
    const ideal = (total * k) / count;
    let best: { place: number; passed: number; off: number } | undefined;
    for (let place = (places.at(-1) ?? 0) + 1; place < order.length; place++) {
      const off = Math.abs(weight[place]! - ideal);
      const passed = starts[place]!;
      if (off > (SLACK * total) / count || passed > MOST_PASSED || passed === 0) continue;
      if (!best || passed < best.passed || (passed === best.passed && off < best.off))
        best = { place, passed, off };
    }
    if (best) places.push(best.place);
  }
  return places;
}
