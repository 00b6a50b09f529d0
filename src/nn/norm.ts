import { add, layerNorm, mul, rmsNorm, scalar } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import { Module, Parameter } from './module.ts';
import type { NormPart, Part } from './parts.ts';

/** PyTorch prints 1e-05 where JavaScript prints 0.00001. */
function pythonFloat(value: number): string {
  const text = String(value);
  if (value !== 0 && Math.abs(value) < 1e-4) {
    const [mantissa, exponent] = value.toExponential().split('e-');
    return `${mantissa}e-${exponent!.padStart(2, '0')}`;
  }
  return Number.isInteger(value) ? value.toFixed(1) : text;
}

/**
 * x / sqrt(mean(x²) + ε) · (weight + offset). It normalizes the length of every row, so that neither activations nor
 * gradients grow or vanish over many layers, without LayerNorm's mean and bias.
 */
export class RMSNorm extends Module {
  readonly weight: Parameter;

  readonly #weightOffset: 0 | 1;

  /** @param weightOffset 1 in Gemma, whose stored weights start at 0; 0 in Llama. */
  constructor(
    readonly typeName: string,
    readonly width: number,
    readonly epsilon: number,
    weightOffset: 0 | 1 = 0,
  ) {
    super();
    this.#weightOffset = weightOffset;
    this.weight = new Parameter([width], { fill: 1 - weightOffset });
  }

  override extra(): string {
    return `(${this.width},), eps=${pythonFloat(this.epsilon)}`;
  }

  override describe(): Part {
    const { width, epsilon } = this;
    const weightOffset = this.#weightOffset;
    return { part: 'norm', kind: 'RMSNorm', width, epsilon, weightOffset };
  }

  /** x `[…, width]` → the same shape. @param factor of the result. */
  forward(x: Tensor, factor = 1): Tensor {
    const weight = this.weight.tensor;
    const shifted = this.#weightOffset === 0 ? weight : add(weight, scalar(1));
    return rmsNorm(x, times(shifted, factor), this.epsilon);
  }
}

/** (x − mean) / sqrt(variance + ε) · weight + bias. */
export class LayerNorm extends Module {
  readonly typeName = 'LayerNorm';
  readonly weight: Parameter;
  readonly bias: Parameter;

  constructor(
    readonly width: number,
    readonly epsilon: number,
  ) {
    super();
    this.weight = new Parameter([width], { fill: 1 });
    this.bias = new Parameter([width], { fill: 0 });
  }

  override extra(): string {
    return `(${this.width},), eps=${pythonFloat(this.epsilon)}, elementwise_affine=True, bias=True`;
  }

  override describe(): Part {
    return { part: 'norm', kind: 'LayerNorm', width: this.width, epsilon: this.epsilon, weightOffset: 0 };
  }

  /** x `[…, width]` → the same shape. @param factor of the result. */
  forward(x: Tensor, factor = 1): Tensor {
    return layerNorm(x, times(this.weight.tensor, factor), times(this.bias.tensor, factor), this.epsilon);
  }
}

function times(weight: Tensor, factor: number): Tensor {
  return factor === 1 ? weight : mul(weight, scalar(factor));
}

/** What PyTorch prints in place of a missing norm. It computes nothing. */
export class Identity extends Module {
  readonly typeName = 'Identity';
}

/** A norm as data. */
export type NormSettings = Omit<NormPart, 'part' | 'width'>;

export type Norm = RMSNorm | LayerNorm;

/** @param typeName the class that PyTorch prints for an RMSNorm; a LayerNorm is always `LayerNorm`. */
export function createNorm(
  typeName: string,
  width: number,
  { kind, epsilon, weightOffset }: NormSettings,
): Norm {
  return kind === 'LayerNorm'
    ? new LayerNorm(width, epsilon)
    : new RMSNorm(typeName, width, epsilon, weightOffset === 0 ? 0 : 1);
}
