import { Decoder } from '../generation/decoder.ts';
import type { Engine } from '../runtime/engine.ts';
import type { Learner } from './learner.ts';

/**
 * A decoder with the weights that a learner has now. It borrows their arrays; those of a device are copied for each use, and
 * run on the processor.
 */
export class CurrentDecoder {
  #decoder: Promise<Decoder> | undefined;

  readonly #engine: Engine;
  readonly #learner: Learner;

  constructor(engine: Engine, learner: Learner) {
    this.#engine = engine;
    this.#learner = learner;
  }

  async use<T>(run: (decoder: Decoder) => Promise<T>): Promise<T> {
    this.#decoder ??= this.#make();
    try {
      return await run(await this.#decoder);
    } finally {
      if (this.#learner.onDevice) await this.release();
    }
  }

  async release(): Promise<void> {
    const decoder = this.#decoder;
    this.#decoder = undefined;
    await (await decoder)?.release();
  }

  async #make(): Promise<Decoder> {
    const engine = (this.#learner.onDevice && this.#engine.processor?.()) ?? this.#engine;
    return Decoder.borrowing(engine, this.#learner.model, await this.#learner.values());
  }
}
