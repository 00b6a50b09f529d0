import { gelu, relu, silu } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import { Module } from './module.ts';

export const activationFunctions = { relu, gelu, silu } as const;
export type ActivationKind = keyof typeof activationFunctions;

/** An activation as a module, so that it stands in the printed tree. */
export class Activation extends Module {
  constructor(
    readonly typeName: string,
    readonly kind: ActivationKind,
  ) {
    super();
  }

  forward(x: Tensor): Tensor {
    return activationFunctions[this.kind](x);
  }
}
