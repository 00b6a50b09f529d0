import { RopewalkError } from '../errors.ts';
import { sameShape, shapeText } from './dims.ts';
import { add } from './operators/elementwise.ts';
import { scalar } from './operators/sources.ts';
import type { Node, Tensor } from './tensor.ts';
import { topologicalOrder } from './traverse.ts';

/**
 * Reverse-mode differentiation: the gradients of a scalar as a graph.
 *
 * @param loss a float32 tensor of shape [], or of any shape with a seed.
 * @param inputs the tensors to differentiate with respect to.
 * @param seed the gradient of `loss`, in its shape: Σ loss · seed is then differentiated. This is how part of a model
 *   is differentiated, given the gradient of what follows.
 * @returns one gradient for each input, in its shape; undefined if the loss does not depend on it. A tensor used
 *   several times gets the sum.
 * @throws RopewalkError when the loss is not a scalar, or an operator in between has no derivative.
 */
export function differentiate(
  loss: Tensor,
  inputs: readonly Tensor[],
  seed?: Tensor,
): (Tensor | undefined)[] {
  if (seed && !(sameShape(seed.shape, loss.shape) && seed.dtype === loss.dtype)) {
    throw new RopewalkError(
      `differentiate: the seed is ${seed.dtype}${shapeText(seed.shape)}, but its output is ${loss.dtype}${shapeText(loss.shape)}.`,
    );
  }
  if ((loss.rank !== 0 && !seed) || loss.dtype !== 'float32') {
    throw new RopewalkError(
      `differentiate: the loss must be a float32 scalar, but is ${loss.dtype}${shapeText(loss.shape)}; sum or average it first.`,
    );
  }
  const order = topologicalOrder([loss]);
  const sources = new Set(inputs);
  const active = new Set<Tensor>(inputs);
  for (const node of order) {
    if (node.inputs.some((tensor) => active.has(tensor)) && !node.operator.stopsGradient) {
      for (const output of node.outputs) active.add(output);
    }
  }
  const gradients = new Map<Tensor, Tensor>([[loss, seed ?? scalar(1)]]);
  for (const node of order.reverse()) {
    if (node.outputs.every((output) => !gradients.has(output))) continue;
    if (!node.inputs.some((tensor) => active.has(tensor))) continue;
    const results = backward(node, gradients, active);
    node.inputs.forEach((tensor, i) => {
      const gradient = results[i];
      if (!gradient || !active.has(tensor)) return;
      if (!sameShape(gradient.shape, tensor.shape)) {
        throw new RopewalkError(
          `${node.operator.name}: its derivative returned ${shapeText(gradient.shape)} for an input of ${shapeText(tensor.shape)}.`,
        );
      }
      const sum = gradients.get(tensor);
      gradients.set(tensor, sum ? add(sum, gradient) : gradient);
    });
    for (const output of node.outputs) if (!sources.has(output)) gradients.delete(output);
  }
  return inputs.map((tensor) => gradients.get(tensor));
}

function backward(node: Node, gradients: ReadonlyMap<Tensor, Tensor>, active: ReadonlySet<Tensor>) {
  const { operator, inputs, outputs, attributes } = node;
  if (operator.stopsGradient) return [];
  const given = outputs.map((output) => gradients.get(output));
  const beyond = given.slice(operator.primaryOutputs ?? given.length).findIndex((gradient) => gradient);
  if (beyond >= 0) {
    throw new RopewalkError(
      `${operator.name}: it has no derivative through its output ${(operator.primaryOutputs ?? 0) + beyond}, which the loss uses.`,
    );
  }
  const wanted = inputs.map((tensor) => active.has(tensor));
  if (operator.differentiate) {
    return operator.differentiate({ inputs, outputs, gradients: given, wanted, attributes });
  }
  throw new RopewalkError(
    `${operator.name}: it has no derivative, but the loss depends on a trained value through it.`,
  );
}
