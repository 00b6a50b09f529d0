import type { OpenedModel } from '../checkpoint/load.node.ts';
import { weightSources } from '../checkpoint/weight-sources.node.ts';
import { option, RopewalkError, said } from '../errors.ts';
import type { Communicator } from '../ranks/communicator.ts';
import { coresPerRank } from '../ranks/cores.node.ts';
import { grouped } from '../ranks/grouped.ts';
import { createDecoder, type DecoderOptions, decodingEngine } from './decoder.node.ts';
import {
  cachedLogits,
  fullLogits,
  type IdRange,
  type LogitRows,
  type Score,
  Scorer,
  scoringWindows,
} from './score.ts';

/**
 * Without a cache, the scores of all token pairs exist at the same time: longer texts are split into windows of this
 * many tokens.
 */
export const SCORING_WINDOW = 1024;

/**
 * Weights that the engine cannot read in place are read once, for a decoder, which processes texts in chunks of this
 * many tokens.
 */
const CHUNK = 256;

/** Options for scoring a text. */
export interface ScoreModelOptions extends DecoderOptions {
  /**
   * Tokens that go through the cache at a time. By default a whole window runs at once without a cache, if the engine
   * can read the weights in place.
   */
  readonly chunk?: number | undefined;
  /** Longest window; by default, and at most, the model's positions. */
  readonly window?: number | undefined;
  /** Refuses a text longer than one window. */
  readonly whole?: boolean | undefined;
  /** Receives the logits of each window, block by block; must read all of them. */
  readonly onLogits?: (
    blocks: AsyncIterable<Float32Array>,
    shape: readonly [tokens: number, vocab: number],
  ) => Promise<void>;
  /** Tokens that get no probability: the loss is that of the others alone. The text must have none of them. */
  readonly omitted?: IdRange | undefined;
  /** Processes that share the windows. Every one of them is given the same options. */
  readonly ranks?: Communicator | undefined;
  /** Called after each window; with several ranks, after a window of each. */
  readonly onWindow?: (done: number, total: number) => void;
}

/**
 * How well an opened model predicts a text that is scored once: weights are read in place if possible. A text longer
 * than a window is scored in windows, each beginning with the last token of the previous one.
 *
 * @throws RopewalkError for fewer than two tokens and, if `whole` is set, for more than one window.
 */
export async function scoreModel(
  opened: OpenedModel,
  tokens: ArrayLike<number>,
  options: ScoreModelOptions = {},
): Promise<Score> {
  const ids = Int32Array.from(tokens);
  if (ids.length < 2)
    throw new RopewalkError('scoring needs at least two tokens: the first predicts the second.');
  const { maxPositions, config } = opened.model;
  const windows = [...scoringWindows(ids, Math.min(options.window ?? maxPositions, maxPositions))];
  const { ranks } = options;
  if (options.whole && ranks) {
    throw new RopewalkError(
      'logits and gradients are those of one window, which one process computes; start it alone.',
    );
  }
  if (options.whole && windows.length > 1) {
    throw new RopewalkError(
      said`this requires a text of one window, but ${ids.length} tokens need ${windows.length}; shorten it or raise ${option('window')} (the model has ${maxPositions} positions).`,
    );
  }
  const threads = options.threads ?? (ranks && coresPerRank(ranks));
  const { rowsOf, release } = await logitsBy(opened, { ...options, threads });
  const { omitted } = options;
  if (omitted && ids.some((id) => id >= omitted.first && id < omitted.first + omitted.count)) {
    throw new RopewalkError('the text has one of the tokens that get no probability.');
  }
  const scorer = new Scorer(omitted);
  try {
    let done = 0;
    for await (const group of grouped(windows, ranks?.size ?? 1)) {
      const window = group[ranks?.rank ?? 0];
      const losses: Float64Array[] = [];
      if (window) {
        const scored = scoring(rowsOf(window), window, scorer, config.vocab_size, losses);
        if (options.onLogits) await options.onLogits(scored, [window.length, config.vocab_size]);
        else for await (const _ of scored);
      }
      for (const each of ranks ? await collectLosses(ranks, losses) : losses) scorer.addLosses(each);
      done += group.length;
      options.onWindow?.(done, windows.length);
    }
  } finally {
    await release();
  }
  return ranks ? fromFirst(ranks, scorer.result()) : scorer.result();
}

/** The losses of every rank's window on the first rank, to be added up in the order of the text. */
async function collectLosses(ranks: Communicator, losses: readonly Float64Array[]): Promise<Float64Array[]> {
  const all = await ranks.collect(Buffer.concat(losses.map(({ buffer }) => new Uint8Array(buffer))));
  return all.map((bytes) => new Float64Array(Uint8Array.from(bytes).buffer));
}

/** The first rank's value, on every rank. @param value plain JSON. */
async function fromFirst<T>(ranks: Communicator, value: T): Promise<T> {
  return JSON.parse((await ranks.gather(JSON.stringify(value)))[0]!) as T;
}

/**
 * Computes the logits of a window: a decoder with its cache, or the whole graph over weights that stay in their file.
 */
async function logitsBy(opened: OpenedModel, options: ScoreModelOptions) {
  const chunk = options.chunk ?? (isReadInPlace(opened, options) ? undefined : CHUNK);
  if (chunk !== undefined) {
    const decoder = await createDecoder(opened, options);
    return {
      rowsOf: (window: Int32Array) => cachedLogits(decoder, window, chunk),
      release: () => decoder.release(),
    };
  }
  const engine = options.engine ?? decodingEngine(opened.model, options);
  const { weights, folder, close } = await weightSources(opened, options);
  const settings = folder === undefined ? {} : { weightsFolder: folder };
  return {
    rowsOf: (window: Int32Array) => fullLogits(engine, opened.model, weights, window, settings),
    release: async () => close(),
  };
}

function isReadInPlace({ checkpoint, names }: OpenedModel, { quantize }: DecoderOptions): boolean {
  const verbatim = (name: string) => checkpoint.tensors.info(name).verbatim;
  return (quantize === undefined || quantize === 'none') && [...names.values()].every(verbatim);
}

/** Passes blocks of logits through, and scores them. @param losses receives those of each block. */
async function* scoring(
  rows: AsyncIterable<LogitRows>,
  ids: Int32Array,
  scorer: Scorer,
  vocab: number,
  losses: Float64Array[],
) {
  for await (const block of rows) {
    losses.push(scorer.losses(block, ids, vocab));
    yield block.logits;
  }
}
