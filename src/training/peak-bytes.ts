import { sizeOf } from '../graph/dims.ts';
import { reshapeOp } from '../graph/operators/index.ts';
import { simplify } from '../graph/simplify.ts';
import { type Dialect, isNodeOf, type Node, type Tensor } from '../graph/tensor.ts';
import { topologicalOrder } from '../graph/traverse.ts';

/** Peak bytes while outputs are computed in order, without inputs and outputs. */
export function peakBytes(outputs: readonly Tensor[], dialect: Dialect = 'onnxruntime'): number {
  const roots = simplify(outputs, dialect);
  const order = topologicalOrder(roots);
  const last = new Map<Tensor, number>();
  order.forEach((node, at) => {
    for (const tensor of node.inputs) last.set(ownerOf(tensor), at);
  });
  const lasting = new Set(roots.map(ownerOf));
  const ends = new Map<number, Tensor[]>();
  for (const [tensor, at] of last) ends.set(at, [...(ends.get(at) ?? []), tensor]);
  let live = 0;
  let peak = 0;
  order.forEach((node, at) => {
    if (!isStored(node)) for (const tensor of node.outputs) if (counts(tensor)) live += bytesOf(tensor);
    peak = Math.max(peak, live);
    for (const tensor of ends.get(at) ?? []) {
      if (!isStored(tensor.node) && counts(tensor)) live -= bytesOf(tensor);
    }
  });
  return peak;

  function counts(tensor: Tensor): boolean {
    return !lasting.has(tensor) && last.has(tensor);
  }
}

/** Reshaping does not copy: the tensor that holds the data. */
function ownerOf(tensor: Tensor): Tensor {
  let owner = tensor;
  while (isNodeOf(owner.node, reshapeOp)) owner = owner.node.inputs[0]!;
  return owner;
}

/** Whether a node's outputs need no memory here: fed, part of the graph, or a view of another tensor. */
function isStored(node: Node): boolean {
  return node.inputs.length === 0 || isNodeOf(node, reshapeOp);
}

function bytesOf({ dtype, shape }: Tensor): number {
  const size = { float32: 4, float16: 2, int32: 4, int64: 8, bool: 1 }[dtype];
  return size * sizeOf(shape as readonly number[]);
}
