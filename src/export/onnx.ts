import type { CausalLM } from '../families/family.ts';
import { logitsOf } from '../generation/decoder.ts';
import { sizeOf } from '../graph/dims.ts';
import type { Tensor } from '../graph/tensor.ts';
import { emitModel, type WeightSource } from '../onnx/emit.ts';
import { toOldestOpset } from '../onnx/proto.ts';
import { ExportSequence } from './sequence.ts';
import { type StoredWeight, storeWeights } from './weights.ts';

/** A weight's offset in the data file. */
export interface PlacedWeight extends StoredWeight {
  readonly dtype: 'float32' | 'float16';
  readonly offset: number;
  readonly byteLength: number;
}

export interface OnnxModel {
  /** The model file: the graph, without the weights. */
  readonly bytes: Uint8Array;
  /** The contents of the data file, by increasing offset, with zeros in between. */
  readonly weights: readonly PlacedWeight[];
  readonly dataBytes: number;
}

export interface OnnxModelOptions {
  /** With past_key_values and present, for generation; without, only for whole sequences. Default true. */
  readonly cache?: boolean;
  /** The type of weight matrices in the data file; vectors and all computations stay float32. Default float32. */
  readonly dtype?: 'float32' | 'float16';
  /** The data file's name, in the same folder as the model file. */
  readonly dataFile: string;
}

/** The alignment at which the operating system can map a tensor on its own, and of small tensors. */
const PAGE = 4096;
const SMALL_ALIGNMENT = 64;

/**
 * A model as ONNX with only ai.onnx operators (opset 18, or 20 with a GELU) and its weights in a separate data file,
 * so that any runtime can run it. Inputs and outputs are those of {@link ExportSequence}, with `logits` float32
 * `[batch, time, vocab]` first; with and without caches, the data file is the same.
 */
export function onnxModel(model: CausalLM, options: OnnxModelOptions): OnnxModel {
  const { cache = true, dtype = 'float32', dataFile } = options;
  const context = new ExportSequence(cache);
  const logits = logitsOf(model, model.hiddenStates(context));
  const named = new Map<string, Tensor>([['logits', logits], ...context.present]);
  const stored = storeWeights([...named.values()]);
  const { placed, end } = place(stored.weights, dtype);
  const sources = placed.map(({ name, offset, byteLength, dtype }): [string, WeightSource] => {
    return [name, { file: { location: dataFile, offset, byteLength, dtype } }];
  });
  const outputs = new Map([...named.keys()].map((name, i) => [name, stored.outputs[i]!]));
  const { bytes } = emitModel(outputs, { dialect: 'standard', weights: new Map(sources) });
  return { bytes: toOldestOpset(bytes), weights: placed, dataBytes: end };
}

function place(weights: readonly StoredWeight[], matrices: 'float32' | 'float16') {
  let end = 0;
  // By name, so that the file does not depend on the order of the graphs.
  const placed = [...weights].sort(byName).map((weight): PlacedWeight => {
    const dtype = weight.shape.length > 1 && !weight.constant ? matrices : 'float32';
    const byteLength = sizeOf(weight.shape) * (dtype === 'float32' ? 4 : 2);
    const alignment = byteLength >= PAGE ? PAGE : SMALL_ALIGNMENT;
    const offset = Math.ceil(end / alignment) * alignment;
    end = offset + byteLength;
    return { ...weight, dtype, offset, byteLength };
  });
  return { placed, end };
}

function byName(a: StoredWeight, b: StoredWeight): number {
  return a.name < b.name ? -1 : 1;
}
