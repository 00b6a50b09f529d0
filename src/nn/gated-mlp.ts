import { mul } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import { Linear } from './linear.ts';
import type { Activation } from './mlp.ts';
import { Module } from './module.ts';
import type { Part } from './parts.ts';

/**
 * down(activation(gate(x)) · up(x)): one half of the hidden layer decides how much of the other half passes. With
 * SiLU it is SwiGLU, with GELU GeGLU. Shazeer 2020, arXiv:2002.05202.
 */
export class GatedMlp extends Module {
  readonly gate_proj: Linear;
  readonly up_proj: Linear;
  readonly down_proj: Linear;
  readonly act_fn: Activation;

  constructor(
    readonly typeName: string,
    private readonly width: number,
    private readonly hidden: number,
    activation: Activation,
    private readonly options: { bias: boolean; std: number },
  ) {
    super();
    this.gate_proj = new Linear(width, hidden, options);
    this.up_proj = new Linear(width, hidden, options);
    this.down_proj = new Linear(hidden, width, options);
    this.act_fn = activation;
  }

  override describe(): Part {
    const { width, hidden, options, act_fn } = this;
    return { part: 'mlp', activation: act_fn.kind, gated: true, width, hidden, bias: options.bias };
  }

  /** x `[…, width]` → `[…, width]`. */
  forward(x: Tensor): Tensor {
    return this.down_proj.forward(
      mul(this.act_fn.forward(this.gate_proj.forward(x)), this.up_proj.forward(x)),
    );
  }
}
