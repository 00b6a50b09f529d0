import type { Node, Tensor } from './tensor.ts';

/**
 * Every node that the outputs depend on, each after its inputs. Iterative: graphs are deeper than the call stack.
 *
 * @param known tensors whose nodes need not be visited.
 */
export function topologicalOrder(outputs: readonly Tensor[], known?: ReadonlyMap<Tensor, unknown>): Node[] {
  const order: Node[] = [];
  const done = new Set<Node>();
  const stack: { node: Node; next: number }[] = [];
  const visit = (node: Node) => {
    if (done.has(node)) return;
    done.add(node);
    stack.push({ node, next: 0 });
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!;
      const tensor = top.node.inputs[top.next++];
      const child = tensor?.node;
      if (child === undefined) {
        order.push(top.node);
        stack.pop();
      } else if (!done.has(child) && !known?.has(tensor!)) {
        done.add(child);
        stack.push({ node: child, next: 0 });
      }
    }
  };
  for (const output of outputs) if (!known?.has(output)) visit(output.node);
  return order;
}
