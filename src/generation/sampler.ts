import { RopewalkError } from '../errors.ts';
import { Random } from '../random.ts';
import type { TokenConstraint } from '../structured/constraint.ts';
import { type Distribution, distribution, excess, probabilityOf } from './distribution.ts';

export interface SamplingOptions {
  /** Always takes the most likely token and ignores the other options. */
  readonly greedy?: boolean;
  /** Logits are divided by this. Default 1; 0 is greedy. */
  readonly temperature?: number;
  /** Only the k most likely tokens may be drawn; ties by smaller id. */
  readonly topK?: number;
  /** Only the most likely tokens that together reach this probability, 0 < p ≤ 1. */
  readonly topP?: number;
  /** Only tokens at least this fraction as likely as the most likely, 0 ≤ p ≤ 1. */
  readonly minP?: number;
  /** Values above 1 make tokens that have occurred less likely (Keskar et al. 2019, arXiv:1909.05858). Default 1. */
  readonly repetitionPenalty?: number;
  /** Subtracted from a token's logit for each time it has been drawn, −2 to 2 (OpenAI's formula). Default 0. */
  readonly frequencyPenalty?: number;
  /** Subtracted from a token's logit once it has been drawn, −2 to 2 (OpenAI's formula). Default 0. */
  readonly presencePenalty?: number;
  /** Added to the logits of tokens, by id, −100 to 100: −100 practically excludes a token. */
  readonly logitBias?: Readonly<Record<number, number>>;
  /** Equal seeds draw equal tokens. Default 0. */
  readonly seed?: number;
}

function checkOptions(options: SamplingOptions): void {
  const check = (name: string, value: number | undefined, fits: (value: number) => boolean, what: string) => {
    if (value !== undefined && !fits(value))
      throw new RopewalkError(`${name} must be ${what}, but is ${value}.`);
  };
  check(
    'temperature',
    options.temperature,
    (t) => t >= 0 && Number.isFinite(t),
    'at least 0 (which is greedy)',
  );
  check('top-k', options.topK, (k) => Number.isInteger(k) && k >= 1, 'a whole number of at least 1');
  check('top-p', options.topP, (p) => p > 0 && p <= 1, 'above 0 and at most 1');
  check('min-p', options.minP, (p) => p >= 0 && p <= 1, 'from 0 to 1');
  check('repetition penalty', options.repetitionPenalty, (r) => r > 0 && Number.isFinite(r), 'above 0');
  const fits = (most: number) => (value: number) => Math.abs(value) <= most;
  check('frequency penalty', options.frequencyPenalty, fits(2), 'from −2 to 2');
  check('presence penalty', options.presencePenalty, fits(2), 'from −2 to 2');
  for (const [id, bias] of Object.entries(options.logitBias ?? {})) {
    check(`the logit bias of token ${id}`, bias, fits(100), 'from −100 to 100');
  }
}

export { distribution };

function checkLogits(logits: Float32Array): void {
  for (let i = 0; i < logits.length; i++) {
    // False for NaN and +Infinity.
    if (logits[i]! < Number.POSITIVE_INFINITY) continue;
    throw new RopewalkError('the model produced logits that are NaN; its weights are damaged.');
  }
}

/** Index of the largest logit; the first if tied. */
export function argmax(logits: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}

/**
 * Draws tokens from logits. The steps are in the order of `transformers`: repetition penalty, temperature, top-k,
 * top-p, min-p, draw; the frequency and presence penalties and the bias come after the repetition penalty.
 */
export class Sampler {
  readonly #random: Random;
  readonly #seen = new Set<number>();
  /** How often each token has been drawn. */
  readonly #drawn = new Map<number, number>();

  readonly #options: SamplingOptions;

  constructor(options: SamplingOptions = {}) {
    checkOptions(options);
    this.#options = options.temperature === 0 ? { ...options, greedy: true } : options;
    this.#random = new Random(options.seed ?? 0);
  }

  /** Counts tokens as having occurred: the prompt and what has been drawn. */
  observe(ids: Iterable<number>): void {
    for (const id of ids) this.#seen.add(id);
  }

  /**
   * @param logits `[vocab]`; changed in place by the repetition penalty and the constraint. −Infinity: never drawn.
   * @param constraint excludes tokens after the penalty, before top-k and the rest.
   * @throws RopewalkError if one is NaN or +Infinity.
   */
  next(logits: Float32Array, constraint?: TokenConstraint): number {
    this.#process(logits, [], constraint);
    return this.#take(this.#options.greedy ? argmax(logits) : this.draw(distribution(logits, this.#options)));
  }

  /**
   * Like {@link next} for a speculated token: accepts or replaces it by the rule of speculative sampling. The result
   * has exactly the same distribution as without speculation (Leviathan et al. 2023, arXiv:2211.17192, theorem in
   * A.1).
   *
   * @param guessed a token that was drawn from `from`.
   */
  nextGuessed(
    logits: Float32Array,
    guessed: number,
    from: Distribution,
    constraint?: TokenConstraint,
  ): number {
    if (this.#options.greedy) return this.next(logits, constraint);
    this.#process(logits, [], constraint);
    const wanted = distribution(logits, this.#options);
    const stands = this.#random.next() * probabilityOf(from, guessed) < probabilityOf(wanted, guessed);
    return this.#take(stands ? guessed : this.draw(excess(wanted, from)));
  }

  /**
   * The distribution of the next token.
   *
   * @param logits `[vocab]`, changed in place by the repetition penalty.
   * @param after tokens that count as having occurred, in addition to the observed ones.
   */
  probabilities(logits: Float32Array, after: readonly number[]): Distribution {
    this.#process(logits, after);
    if (!this.#options.greedy) return distribution(logits, this.#options);
    return { ids: [argmax(logits)], probabilities: Float64Array.of(1) };
  }

  /** Draws a token. */
  draw({ ids, probabilities }: Distribution): number {
    let rest = this.#random.next();
    for (let i = 0; i < ids.length; i++) {
      rest -= probabilities[i]!;
      if (rest < 0) return ids[i]!;
    }
    // Rounding left a remainder: it goes to the last token that can be drawn.
    const last = probabilities.findLastIndex((probability) => probability > 0);
    return ids[last]!;
  }

  #take(id: number): number {
    this.#seen.add(id);
    this.#drawn.set(id, (this.#drawn.get(id) ?? 0) + 1);
    return id;
  }

  #process(logits: Float32Array, after: readonly number[], constraint?: TokenConstraint): void {
    const { repetitionPenalty = 1 } = this.#options;
    if (repetitionPenalty !== 1) {
      const seen = after.length === 0 ? this.#seen : new Set([...this.#seen, ...after]);
      for (const id of seen) {
        const logit = logits[id]!;
        logits[id] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
      }
    }
    this.#penalize(logits, after);
    for (const [id, bias] of Object.entries(this.#options.logitBias ?? {})) logits[Number(id)]! += bias;
    checkLogits(logits);
    constraint?.mask(logits);
  }

  /** logit − count · frequencyPenalty − (count > 0) · presencePenalty, of the tokens that have been drawn. */
  #penalize(logits: Float32Array, after: readonly number[]): void {
    const { frequencyPenalty = 0, presencePenalty = 0 } = this.#options;
    if (frequencyPenalty === 0 && presencePenalty === 0) return;
    const counts = after.length === 0 ? this.#drawn : new Map(this.#drawn);
    for (const id of after) counts.set(id, (counts.get(id) ?? 0) + 1);
    for (const [id, count] of counts) logits[id]! -= count * frequencyPenalty + presencePenalty;
  }
}
