import { RopewalkError } from '../errors.ts';
import type { CausalLM } from '../families/family.ts';
import { input, linear, reshape, slice, softcap } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import { CachedSequence, FullSequence, type LayerCache } from '../nn/attention.ts';
import type { RotaryEmbedding } from '../nn/positions.ts';
import type { WeightSource } from '../onnx/emit.ts';
import type { Engine } from '../runtime/engine.ts';
import { type CompileOptions, Executable, type HostTensor } from '../runtime/executable.ts';
import { KeyValueCache } from './cache.ts';

/** Hidden states → logits, the final cap included. hidden `[…, width]` → `[…, vocab]`. */
export function logitsOf(model: CausalLM, hidden: Tensor): Tensor {
  const { weight, bias, softcap: cap } = model.head;
  const logits = linear(hidden, weight.tensor, bias?.tensor);
  return cap === null ? logits : softcap(logits, cap);
}

/** Logits of whole sequences without a cache: input `input_ids` `[batch · seq]`, output `logits` `[batch · seq, vocab]`. */
export function fullLogitsGraph(
  model: CausalLM,
  batch: number,
  seq: number,
  queryBlock?: number,
): Map<string, Tensor> {
  const ids = input('input_ids', 'int32', [batch * seq]);
  return new Map([
    ['logits', logitsOf(model, model.hiddenStates(new FullSequence(ids, batch, seq, queryBlock)))],
  ]);
}

/** A model ready to continue sequences, one run for each chunk of new tokens. */
export class Decoder {
  private constructor(
    readonly model: CausalLM,
    private readonly executable: Executable,
    private readonly layers: readonly LayerCache[],
    private readonly ropes: readonly RotaryEmbedding[],
  ) {}

  /**
   * @param weights every parameter by its path.
   * @param rows whether a run returns the logits of its last token or of all of them.
   */
  static async create(
    engine: Engine,
    model: CausalLM,
    weights: ReadonlyMap<string, WeightSource>,
    rows: 'last' | 'all' = 'last',
    settings: Omit<CompileOptions, 'weights'> = {},
  ): Promise<Decoder> {
    const context = new CachedSequence();
    const hidden = model.hiddenStates(context);
    const wanted = rows === 'last' ? slice(hidden, 1, -1, null) : hidden;
    const count = rows === 'last' ? 1 : context.time;
    const logits = logitsOf(model, wanted);
    const outputs = new Map([
      ['logits', reshape(logits, [count, logits.shape[2]!])],
      ['new_rows', context.newRows()],
    ]);
    const executable = await Executable.compile(engine, outputs, { ...settings, weights });
    return new Decoder(model, executable, context.layers, context.ropes);
  }

  newCache(): KeyValueCache {
    return new KeyValueCache(this.layers);
  }

  /**
   * Runs new tokens after those in the cache and adds them to it.
   *
   * @returns logits `[1, vocab]` of the last token, or `[tokens, vocab]`.
   */
  async forward(ids: ArrayLike<number>, cache: KeyValueCache): Promise<Float32Array> {
    const time = ids.length;
    const start = cache.position;
    if (time === 0) throw new RopewalkError('there are no tokens to run.');
    if (start + time > this.model.maxPositions) {
      throw new RopewalkError(
        `the sequence would be ${start + time} tokens long, but this model's positions end at ${this.model.maxPositions}. Shorten the prompt or ask for fewer tokens.`,
      );
    }
    checkIds(ids, this.model.config.vocab_size);
    const positions = Int32Array.from({ length: time }, (_, i) => start + i);
    const feeds: Record<string, HostTensor> = cache.feeds(time);
    feeds.input_ids = { data: Int32Array.from(ids), shape: [1, time] };
    feeds.position_ids = { data: positions, shape: [1, time] };
    this.ropes.forEach((rope, i) => {
      const { cos, sin } = rope.table(positions);
      const shape = [time, rope.headDim / 2];
      feeds[`rope.${i}.cos`] = { data: cos, shape };
      feeds[`rope.${i}.sin`] = { data: sin, shape };
    });
    const { logits, new_rows } = await this.executable.run(feeds);
    cache.append(new_rows!.data as Float32Array, time);
    return logits!.data as Float32Array;
  }

  async release(): Promise<void> {
    await this.executable.release();
  }
}

/** An id outside the vocabulary would read foreign memory in some engines: refused here. */
export function checkIds(ids: ArrayLike<number>, vocabSize: number): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
      throw new RopewalkError(
        `token id ${id} at position ${i} is outside the vocabulary of ${vocabSize}; is this the model's own tokenizer?`,
      );
    }
  }
}
