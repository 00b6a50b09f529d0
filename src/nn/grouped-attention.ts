import type { Tensor } from '../graph/tensor.ts';
import type { AttentionSettings, SequenceContext } from './attention.ts';
import { Linear } from './linear.ts';
import { Module } from './module.ts';
import type { Part } from './parts.ts';
import type { RotaryEmbedding } from './positions.ts';

/**
 * Attention with separate projections, in which groups of query heads share one key and value head: with as many
 * key heads as heads it is multi-head attention, with one it is multi-query.
 */
export class GroupedQueryAttention extends Module {
  readonly q_proj: Linear;
  readonly k_proj: Linear;
  readonly v_proj: Linear;
  readonly o_proj: Linear;
  private readonly options: { settings: AttentionSettings; rope: RotaryEmbedding; bias: boolean };

  constructor(
    readonly typeName: string,
    width: number,
    settings: AttentionSettings,
    rope: RotaryEmbedding,
    { bias, std }: { bias: boolean; std: number },
  ) {
    super();
    const { heads, kvHeads, headDim } = settings;
    this.q_proj = new Linear(width, heads * headDim, { bias, std });
    this.k_proj = new Linear(width, kvHeads * headDim, { bias, std });
    this.v_proj = new Linear(width, kvHeads * headDim, { bias, std });
    this.o_proj = new Linear(heads * headDim, width, { bias, std });
    // One object, so that the rotary module, which the whole model shares, is not taken for a child of this one.
    this.options = { settings, rope, bias };
  }

  override describe(): Part {
    return { part: 'attention', ...this.options.settings, bias: this.options.bias };
  }

  /** x `[…, width]` → `[…, width]`. */
  forward(x: Tensor, context: SequenceContext): Tensor {
    const q = this.q_proj.forward(x);
    const k = this.k_proj.forward(x);
    const v = this.v_proj.forward(x);
    return this.o_proj.forward(context.attend(q, k, v, this.options.settings, this.options.rope));
  }
}
