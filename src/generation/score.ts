import { RopewalkError } from '../errors.ts';
import type { CausalLM } from '../families/family.ts';
import type { WeightSource } from '../onnx/emit.ts';
import type { Engine, SessionSettings } from '../runtime/engine.ts';
import { Executable } from '../runtime/executable.ts';
import { checkIds, type Decoder, fullLogitsGraph } from './decoder.ts';

/** A block of logit rows when a long sequence is scored without a cache. */
export interface LogitRows {
  /** Index of the first row. */
  readonly start: number;
  /** `[rows, vocab]`, row-major. */
  readonly logits: Float32Array;
}

/** Ids in a row: `first` … `first + count − 1`. */
export interface IdRange {
  readonly first: number;
  readonly count: number;
}

/**
 * Negative log-likelihood of `target` under one row of logits, in nats; computed in float64.
 *
 * @param omitted entries that get no probability
 */
function negativeLogLikelihood(logits: Float32Array, target: number, omitted?: IdRange): number {
  const parts = omitted
    ? [logits.subarray(0, omitted.first), logits.subarray(omitted.first + omitted.count)]
    : [logits];
  let max = Number.NEGATIVE_INFINITY;
  for (const part of parts) for (const logit of part) if (logit > max) max = logit;
  let sum = 0;
  for (const part of parts) for (const logit of part) sum += Math.exp(logit - max);
  return max + Math.log(sum) - logits[target]!;
}

/**
 * Logits of a whole sequence in one pass without a cache.
 *
 * @throws RopewalkError if it exceeds the model's positions.
 */
export async function* fullLogits(
  engine: Engine,
  model: CausalLM,
  weights: ReadonlyMap<string, WeightSource>,
  ids: ArrayLike<number>,
  settings: SessionSettings = {},
): AsyncGenerator<LogitRows, void> {
  checkLength(model, ids.length);
  checkIds(ids, model.config.vocab_size);
  const graph = fullLogitsGraph(model, 1, ids.length);
  const executable = await Executable.compile(engine, graph, { ...settings, weights });
  const { logits } = await executable.run({ input_ids: { data: Int32Array.from(ids), shape: [ids.length] } });
  await executable.release();
  yield { start: 0, logits: logits!.data as Float32Array };
}

/** The same through the cache, `chunk` tokens at a time. The decoder must return all rows. */
export async function* cachedLogits(
  decoder: Decoder,
  ids: ArrayLike<number>,
  chunk: number,
): AsyncGenerator<LogitRows, void> {
  checkLength(decoder.model, ids.length);
  const cache = decoder.newCache();
  const all = Int32Array.from(ids);
  try {
    for (let start = 0; start < all.length; start += chunk) {
      yield { start, logits: await decoder.forward(all.subarray(start, start + chunk), cache, 'all') };
    }
  } finally {
    cache.release();
  }
}

function checkLength(model: CausalLM, length: number): void {
  if (length === 0) throw new RopewalkError('there are no tokens to score.');
  if (length > model.maxPositions) {
    throw new RopewalkError(
      `${length} tokens are more than the model's ${model.maxPositions} positions${model.beyondPositions}; score a shorter text.`,
    );
  }
}

export interface Score {
  /** The number of predicted tokens: each after the first of its window. */
  readonly tokens: number;
  /** In nats. */
  readonly meanNegativeLogLikelihood: number;
  readonly perplexity: number;
}

/** Sums the next-token loss over rows of logits. */
export class Scorer {
  #sum = 0;
  #tokens = 0;
  readonly #omitted: IdRange | undefined;

  /** @param omitted entries of the vocabulary that get no probability */
  constructor(omitted?: IdRange) {
    this.#omitted = omitted;
  }

  /** @param ids the sequence that the rows belong to. */
  add(block: LogitRows, ids: ArrayLike<number>, vocabSize: number): void {
    this.addLosses(this.losses(block, ids, vocabSize));
  }

  /** The losses of the rows, in nats, without adding them: for {@link addLosses}, perhaps in another process. */
  losses({ start, logits }: LogitRows, ids: ArrayLike<number>, vocabSize: number): Float64Array {
    const rows = Math.min(logits.length / vocabSize, ids.length - start - 1);
    return Float64Array.from({ length: Math.max(0, rows) }, (_, row) =>
      negativeLogLikelihood(
        logits.subarray(row * vocabSize, (row + 1) * vocabSize),
        ids[start + row + 1]!,
        this.#omitted,
      ),
    );
  }

  /** Adds losses of {@link losses}, in the order of the text. */
  addLosses(losses: Float64Array): void {
    for (const loss of losses) this.#sum += loss;
    this.#tokens += losses.length;
  }

  /** The mean over all added tokens. */
  result(): Score {
    const mean = this.#sum / this.#tokens;
    return { tokens: this.#tokens, meanNegativeLogLikelihood: mean, perplexity: Math.exp(mean) };
  }
}

/**
 * Splits a long text into windows of at most `size` tokens for scoring. Each begins with the last token of the
 * previous one, so that every token but the first is predicted exactly once.
 */
export function* scoringWindows(ids: Int32Array, size: number): Generator<Int32Array, void> {
  if (size < 2) throw new RopewalkError(`a scoring window must hold at least 2 tokens, but is ${size}.`);
  for (let start = 0; start === 0 || start < ids.length - 1; start += size - 1) {
    yield ids.subarray(start, start + size);
  }
}
