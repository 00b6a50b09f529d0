import type { CausalLM } from '../families/family.ts';
import type { WeightSource } from '../onnx/weights.ts';

export type Weights = ReadonlyMap<string, WeightSource>;

/** A model with its weights and some text to measure it on. */
export interface Subject {
  readonly model: CausalLM;
  readonly weights: Weights;
  /** Token ids of `batch` concatenated sequences: `[batch · seq]`. */
  readonly ids: Int32Array;
  readonly batch: number;
}
