import type { CausalLM } from '../families/family.ts';
import type { WeightSource } from '../onnx/weights.ts';

export type Weights = ReadonlyMap<string, WeightSource>;

/** One model with its weights and some text to look at. */
export interface Subject {
  readonly model: CausalLM;
  readonly weights: Weights;
  /** Token ids of `batch` sequences, one after another: `[batch · seq]`. */
  readonly ids: Int32Array;
  readonly batch: number;
}
