import type { CausalLM } from '../../families/family.ts';
import { symbol } from '../../graph/dims.ts';
import { input } from '../../graph/operators/index.ts';
import type { WeightSource } from '../../onnx/weights.ts';
import type { Engine, SessionSettings } from '../../runtime/engine.ts';
import { Executable } from '../../runtime/executable.ts';
import { logitsOf } from '../decoder.ts';
import type { TapValue } from './taps.ts';

/**
 * The logit lens (nostalgebraist 2020): what a model would predict if it ended at some layer. The final norm and the
 * head, including its cap, are applied to values of the residual stream.
 */
export class LogitLens {
  readonly #executable: Executable;

  private constructor(executable: Executable) {
    this.#executable = executable;
  }

  /** @param weights every parameter by its path, in float32. */
  static async create(
    engine: Engine,
    model: CausalLM,
    weights: ReadonlyMap<string, WeightSource>,
    settings: SessionSettings = {},
  ): Promise<LogitLens> {
    const stream = input('stream', 'float32', [symbol('rows'), model.head.weight.shape[1]!]);
    const outputs = new Map([['logits', logitsOf(model, model.stages.finish(stream))]]);
    return new LogitLens(await Executable.compile(engine, outputs, { ...settings, weights }));
  }

  /** @param stream `[rows, width]`, such as the tap `layers.3.output`. @returns logits `[rows, vocab]`. */
  async run({ data, shape }: TapValue): Promise<TapValue> {
    const { logits } = await this.#executable.run({ stream: { data, shape: [...shape] } });
    return { data: logits!.data as Float32Array, shape: logits!.shape };
  }

  /** Frees the engine's memory. */
  release(): Promise<void> {
    return this.#executable.release();
  }
}
