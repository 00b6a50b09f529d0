import { add, linear, matmul } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import { Module, Parameter } from './module.ts';

const capital = (flag: boolean) => (flag ? 'True' : 'False');

/** y = x · weightᵀ + bias; weight `[out, in]` as PyTorch stores it. */
export class Linear extends Module {
  readonly typeName = 'Linear';
  readonly weight: Parameter;
  readonly bias?: Parameter;

  /** @param options.tied a weight shared with another module: an embedding that is also the head. */
  constructor(
    inFeatures: number,
    outFeatures: number,
    options: { bias: boolean; std: number; tied?: Parameter },
  ) {
    super();
    this.weight = options.tied ?? new Parameter([outFeatures, inFeatures], { normal: options.std });
    if (options.bias) this.bias = new Parameter([outFeatures], { fill: 0 });
  }

  override extra(): string {
    const [out, inner] = this.weight.shape;
    return `in_features=${inner}, out_features=${out}, bias=${capital(this.bias !== undefined)}`;
  }

  /** x `[…, in]` → `[…, out]`. */
  forward(x: Tensor): Tensor {
    return linear(x, this.weight.tensor, this.bias?.tensor);
  }
}

/** GPT-2's linear layer, whose weight is stored transposed: `[in, out]`. */
export class Conv1D extends Module {
  readonly typeName = 'Conv1D';
  readonly weight: Parameter;
  readonly bias: Parameter;

  constructor(inFeatures: number, outFeatures: number, std: number) {
    super();
    this.weight = new Parameter([inFeatures, outFeatures], { normal: std });
    this.bias = new Parameter([outFeatures], { fill: 0 });
  }

  override extra(): string {
    const [inner, out] = this.weight.shape;
    return `nf=${out}, nx=${inner}`;
  }

  /** x `[…, in]` → `[…, out]`. */
  forward(x: Tensor): Tensor {
    return add(matmul(x, this.weight.tensor), this.bias.tensor);
  }
}

/**
 * The identity, printed because the checkpoint's own tree has it: Ropewalk trains without dropout (FEATURES.md says
 * so, and so does the trainer when p > 0).
 */
export class Dropout extends Module {
  readonly typeName = 'Dropout';

  constructor(readonly p: number) {
    super();
  }

  override extra(): string {
    return `p=${Number.isInteger(this.p) ? this.p.toFixed(1) : this.p}, inplace=False`;
  }
}

/** How a checkpoint stores the weights of linear layers: PyTorch's `[out, in]`, or GPT-2's `[in, out]`. */
export type LinearLayout = 'out, in' | 'in, out';

export type LinearModule = Linear | Conv1D;

/** A linear layer in a checkpoint's layout. `[in, out]` always has a bias, as GPT-2's layers do. */
export function linearModule(
  inFeatures: number,
  outFeatures: number,
  { bias, std, layout = 'out, in' }: { bias: boolean; std: number; layout?: LinearLayout | undefined },
): LinearModule {
  return layout === 'in, out'
    ? new Conv1D(inFeatures, outFeatures, std)
    : new Linear(inFeatures, outFeatures, { bias, std });
}
