import type { KeyValueCache } from '../../generation/cache/key-value-cache.ts';
import type { Decoder } from '../../generation/decoder.ts';
import { prefill } from '../../generation/prefill.ts';
import type { LikelihoodJob } from './likelihoods.ts';

/** A context, and the indices of its jobs. */
interface SharedContext {
  readonly context: readonly number[];
  readonly members: readonly number[];
}

/**
 * Contexts that run one after another. Their results depend on nothing else, down to the last bit, so that portions may run
 * in any process: which rows a run of the model has decides in which order it adds.
 */
export interface LikelihoodPortion {
  /** Tokens with which all contexts begin: a multiple of {@link BEGINNING_CHUNK}. */
  readonly beginning: readonly number[];
  /** In the order of their tokens. */
  readonly contexts: readonly SharedContext[];
}

/** Tokens of a beginning that run at a time. */
const BEGINNING_CHUNK = 64;

/** Portions that a list of jobs is cut into, if it is neither short nor long. */
const PORTIONS = 16;

/**
 * Cuts jobs into portions of consecutive contexts, which share the most.
 *
 * @param batch continuations that run together: a portion has at least so many, and about four times as many at most.
 */
export function likelihoodPortions(jobs: readonly LikelihoodJob[], batch: number): LikelihoodPortion[] {
  const size = Math.min(4 * batch, Math.max(batch, Math.ceil(jobs.length / PORTIONS)));
  const portions: LikelihoodPortion[] = [];
  let contexts: SharedContext[] = [];
  let count = 0;
  for (const one of byContext(jobs)) {
    contexts.push(one);
    count += one.members.length;
    if (count < size) continue;
    portions.push(portionOf(contexts));
    contexts = [];
    count = 0;
  }
  if (contexts.length > 0) portions.push(portionOf(contexts));
  return portions;
}

function portionOf(contexts: readonly SharedContext[]): LikelihoodPortion {
  const [first, last] = [contexts[0]!.context, contexts.at(-1)!.context];
  // In order, what the first and the last share is shared by all. A context's last token is not part of it.
  return {
    beginning: first.slice(0, wholeChunks(Math.min(commonBeginning(first, last), first.length - 1))),
    contexts,
  };
}

function wholeChunks(tokens: number): number {
  return tokens - (tokens % BEGINNING_CHUNK);
}

/** The cache of a portion's beginning, of which the next portion's often runs on. */
export class Beginnings {
  readonly #decoder: Decoder;
  readonly #cache: KeyValueCache;
  #held: readonly number[] = [];

  constructor(decoder: Decoder) {
    this.#decoder = decoder;
    this.#cache = decoder.newCache();
  }

  /** @returns a cache of these tokens, with the same bits whatever ran before. */
  async cacheOf(beginning: readonly number[], signal: AbortSignal | undefined): Promise<KeyValueCache> {
    if (beginning.length === 0) return this.#decoder.newCache();
    const common = wholeChunks(commonBeginning(this.#held, beginning));
    // What a rolling cache still has depends on how far it went.
    const stays = common === this.#held.length || (!this.#cache.rolls && this.#cache.canTruncate(common));
    if (!stays) this.#cache.truncate(0);
    else if (common < this.#cache.position) this.#cache.truncate(common);
    this.#held = beginning;
    const rest = beginning.slice(this.#cache.position);
    if (rest.length > 0) await prefill(this.#decoder, this.#cache, rest, BEGINNING_CHUNK, signal);
    return this.#cache.clone();
  }
}

/** Jobs by context, in the order of the contexts' tokens. */
function byContext(jobs: readonly LikelihoodJob[]): SharedContext[] {
  const groups = new Map<string, { context: readonly number[]; members: number[] }>();
  for (const [i, { context }] of jobs.entries()) {
    const key = context.join(',');
    const group = groups.get(key);
    if (group) group.members.push(i);
    else groups.set(key, { context, members: [i] });
  }
  return [...groups.values()].sort((a, b) => compareTokens(a.context, b.context));
}

function compareTokens(a: readonly number[], b: readonly number[]): number {
  const common = commonBeginning(a, b);
  return (a[common] ?? -1) - (b[common] ?? -1);
}

/** The number of tokens with which both begin. */
export function commonBeginning(a: readonly number[], b: readonly number[]): number {
  const most = Math.min(a.length, b.length);
  let common = 0;
  while (common < most && a[common] === b[common]) common++;
  return common;
}
