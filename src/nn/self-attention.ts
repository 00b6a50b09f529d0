import { reshape, slice } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { AttentionSettings, SequenceContext } from './attention.ts';
import { adopt, type ModuleNames } from './layout.ts';
import { type LinearLayout, type LinearModule, linearModule } from './linear.ts';
import { Module } from './module.ts';
import { createNorm, type Norm, type NormSettings } from './norm.ts';
import type { Part } from './parts.ts';
import type { RotaryEmbedding } from './positions.ts';

export type AttentionRole =
  | 'query'
  | 'key'
  | 'value'
  | 'fused'
  | 'output'
  | 'queryNorm'
  | 'keyNorm'
  | 'dropout'
  | 'outputDropout';

export interface AttentionOptions {
  readonly names: ModuleNames<AttentionRole> & { readonly norm: string };
  readonly width: number;
  readonly std: number;
  readonly outputStd: number;
  readonly rope: RotaryEmbedding | null;
  readonly bias: { readonly projections: boolean; readonly output: boolean };
  /** Per-head norms of queries and keys, before the rotation. */
  readonly headNorm?: NormSettings | undefined;
  readonly layout?: LinearLayout | undefined;
  /** Printed only. */
  readonly dropouts?: Readonly<Partial<Record<'dropout' | 'outputDropout', Module>>>;
}

/**
 * Attention in which groups of query heads share one key and value head: with one key head per query head it is
 * multi-head attention, with a single one multi-query. Queries, keys and values come from three projections, or from
 * the columns of one (`fused`).
 */
export class SelfAttention extends Module {
  readonly typeName: string;
  readonly #settings: AttentionSettings;
  readonly #rope: RotaryEmbedding | null;
  readonly #bias: AttentionOptions['bias'];
  readonly #query: LinearModule | undefined;
  readonly #key: LinearModule | undefined;
  readonly #value: LinearModule | undefined;
  readonly #fused: LinearModule | undefined;
  readonly #output: LinearModule;
  readonly #queryNorm: Norm | undefined;
  readonly #keyNorm: Norm | undefined;

  constructor(settings: AttentionSettings, options: AttentionOptions) {
    super();
    const { names, width, std, outputStd, rope, bias, headNorm, layout, dropouts } = options;
    const { heads, kvHeads, headDim } = settings;
    this.typeName = names.type;
    this.#settings = settings;
    this.#rope = rope;
    this.#bias = bias;
    const projection = (columns: number) =>
      linearModule(width, columns, { bias: bias.projections, std, layout });
    if (names.children.fused) {
      this.#fused = projection((heads + 2 * kvHeads) * headDim);
    } else {
      this.#query = projection(heads * headDim);
      this.#key = projection(kvHeads * headDim);
      this.#value = projection(kvHeads * headDim);
    }
    this.#output = linearModule(heads * headDim, width, { bias: bias.output, std: outputStd, layout });
    if (headNorm) {
      this.#queryNorm = createNorm(names.norm, headDim, headNorm);
      this.#keyNorm = createNorm(names.norm, headDim, headNorm);
    }
    adopt(this, names.children, {
      query: this.#query,
      key: this.#key,
      value: this.#value,
      fused: this.#fused,
      output: this.#output,
      queryNorm: this.#queryNorm,
      keyNorm: this.#keyNorm,
      ...dropouts,
    });
  }

  override describe(): Part {
    const { projections, output } = this.#bias;
    return {
      part: 'attention',
      ...this.#settings,
      bias: projections,
      outputBias: output,
      headNorm: this.#queryNorm !== undefined,
      rotary: this.#rope !== null,
    };
  }

  /** x `[…, width]` → `[…, width]`. */
  forward(x: Tensor, context: SequenceContext): Tensor {
    const { heads, kvHeads } = this.#settings;
    const { q, k, v } = this.#project(x);
    const queries = this.#queryNorm ? this.#normed(q, heads, this.#queryNorm) : q;
    const keys = this.#keyNorm ? this.#normed(k, kvHeads, this.#keyNorm) : k;
    return this.#output.forward(context.attend(queries, keys, v, this.#settings, this.#rope));
  }

  #project(x: Tensor): { q: Tensor; k: Tensor; v: Tensor } {
    if (!this.#fused) {
      return { q: this.#query!.forward(x), k: this.#key!.forward(x), v: this.#value!.forward(x) };
    }
    const { heads, kvHeads, headDim } = this.#settings;
    const all = this.#fused.forward(x);
    const columns = (start: number, count: number) =>
      slice(all, all.rank - 1, start * headDim, (start + count) * headDim);
    return {
      q: columns(0, heads),
      k: columns(heads, kvHeads),
      v: columns(heads + kvHeads, kvHeads),
    };
  }

  /** x `[…, n · head_dim]`, normalized per head. */
  #normed(x: Tensor, count: number, norm: Norm): Tensor {
    const { headDim } = this.#settings;
    const heads = reshape(x, [...x.shape.slice(0, -1), count, headDim]);
    return reshape(norm.forward(heads), x.shape);
  }
}
