import { RopewalkError } from '../errors.ts';
import type { CausalLM } from '../families/family.ts';
import type { Distribution } from './distribution.ts';
import type { GenerationOptions } from './generate.ts';
import { Sampler } from './sampler.ts';

/** The state of one sequence: chooses the next token, and decides when it ends. */
export class Continuation {
  readonly sampler: Sampler;
  #count = 0;
  #stopped = false;

  /** @param context ids before the first new one. */
  constructor(
    readonly options: GenerationOptions,
    context: Iterable<number>,
  ) {
    this.sampler = new Sampler(options);
    this.sampler.observe(context);
  }

  /** The number of tokens that may still be generated. */
  get left(): number {
    return this.finished ? 0 : this.options.maxTokens - this.#count;
  }

  get finished(): boolean {
    return this.#stopped || this.#count === this.options.maxTokens;
  }

  /**
   * Chooses the next token from its logits `[vocab]`, which are changed.
   *
   * @param guessed a token that was drawn from `from`; without `from`, the guess is not a sample.
   */
  next(logits: Float32Array, guessed?: number, from?: Distribution): number {
    const { constraint, stopTokens } = this.options;
    const id =
      guessed === undefined || !from
        ? this.sampler.next(logits, constraint)
        : this.sampler.nextGuessed(logits, guessed, from, constraint);
    constraint?.accept(id);
    this.#count++;
    this.#stopped = stopTokens?.includes(id) === true || constraint?.finished === true;
    return id;
  }
}

/**
 * Refuses prompts and continuations that exceed the model's positions.
 *
 * @param start the position of the prompt's first token.
 */
export function checkRoom(model: CausalLM, start: number, prompt: number, maxTokens: number): void {
  if (!Number.isInteger(maxTokens) || maxTokens < 0) {
    throw new RopewalkError(
      `the number of tokens to generate must be a whole number of at least 0, but is ${maxTokens}.`,
    );
  }
  const room = model.maxPositions - start;
  if (prompt + maxTokens > room) {
    throw new RopewalkError(
      `${prompt} prompt tokens and ${maxTokens} new ones do not fit into the model's ${room} positions${model.beyondPositions}. Shorten the prompt or ask for fewer tokens.`,
    );
  }
}
