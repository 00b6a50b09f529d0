import { gatherRows, mul, scalar } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import { Module, Parameter } from './module.ts';
import type { Part } from './parts.ts';

/** A row of numbers for every token (or position). */
export class Embedding extends Module {
  readonly weight: Parameter;
  readonly typeName: string;
  readonly #options: { readonly scale?: number; readonly paddingId?: number | undefined };

  /** @param options.scale multiplies the looked-up rows, never the weight: a tied head is not scaled. */
  constructor(
    rows: number,
    width: number,
    std: number,
    options: { scale?: number; paddingId?: number | undefined; typeName?: string } = {},
  ) {
    super();
    this.typeName = options.typeName ?? 'Embedding';
    this.weight = new Parameter([rows, width], { normal: std });
    this.#options = options;
  }

  override extra(): string {
    const { paddingId } = this.#options;
    return `${this.weight.shape.join(', ')}${paddingId === undefined ? '' : `, padding_idx=${paddingId}`}`;
  }

  override describe(): Part {
    const [vocabSize, width] = this.weight.shape as [number, number];
    return { part: 'token embedding', vocabSize, width, scale: this.#options.scale ?? 1 };
  }

  /** ids `[…]` → `[…, width]`. */
  forward(ids: Tensor): Tensor {
    const rows = gatherRows(this.weight.tensor, ids);
    const { scale } = this.#options;
    return scale === undefined ? rows : mul(rows, scalar(Math.fround(scale)));
  }
}
