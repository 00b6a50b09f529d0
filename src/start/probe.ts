import type { CausalLM } from '../families/family.ts';
import { input } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import { FullSequence } from '../nn/attention.ts';
import type { WeightSource } from '../onnx/emit.ts';
import type { Engine } from '../runtime/engine.ts';
import { Executable } from '../runtime/executable.ts';

export type Weights = ReadonlyMap<string, WeightSource>;

/** One model with its weights and some text to look at. */
export interface Subject {
  readonly model: CausalLM;
  readonly weights: Weights;
  /** Token ids of `batch` sequences, one after another: `[batch · seq]`. */
  readonly ids: Int32Array;
  readonly batch: number;
  readonly seq: number;
}

/** Final activations of a subject as a graph over the input `input_ids`. */
export function hiddenOf({ model, ids, batch, seq }: Subject): Tensor {
  return model.hiddenStates(new FullSequence(input('input_ids', 'int32', [ids.length]), batch, seq));
}

/** Computes values inside a subject's graph: any tensors of a graph that {@link hiddenOf} is part of. */
export async function look(
  engine: Engine,
  subject: Subject,
  tensors: readonly Tensor[],
): Promise<Float32Array[]> {
  const outputs = new Map(tensors.map((tensor, i) => [`value${i}`, tensor]));
  const executable = await Executable.compile(engine, outputs, { weights: subject.weights });
  try {
    const ids = { data: subject.ids, shape: [subject.ids.length] };
    const results = await executable.run({ input_ids: ids });
    return tensors.map((_, i) => results[`value${i}`]!.data as Float32Array);
  } finally {
    await executable.release();
  }
}
