import { RopewalkError } from '../../errors.ts';
import type { Decoder } from '../decoder.ts';
import type { KeyValueCache } from './key-value-cache.ts';

export interface PrefixCacheOptions {
  /** Most memory that is held, in bytes; default 1 GiB. What has not been used for longest goes first. */
  readonly maxBytes?: number;
}

interface Entry {
  readonly ids: readonly number[];
  readonly cache: KeyValueCache;
}

/**
 * Keys and values of recent texts of one decoder, so that a text that begins as one of them runs only what is new.
 * Logits are those without it, up to the order of sums: chunks of the prompt begin elsewhere.
 *
 * A rolling cache (of a sliding window) serves a beginning only while the rows are there that the window at its end
 * needs: all of a text that is not much longer than the window, and the end of one that is.
 */
export class PrefixCache {
  /** The one that was used last is the last. */
  readonly #entries: Entry[] = [];
  readonly #maxBytes: number;

  constructor(
    readonly decoder: Decoder,
    { maxBytes = 2 ** 30 }: PrefixCacheOptions = {},
  ) {
    if (!(maxBytes >= 0)) {
      throw new RopewalkError(`the size of a prefix cache must be at least 0 bytes, but is ${maxBytes}.`);
    }
    decoder.requireExactActivations('a prefix cache');
    this.#maxBytes = maxBytes;
  }

  /** Memory held, in bytes. */
  get bytes(): number {
    return this.#entries.reduce((sum, { cache }) => sum + cache.bytes, 0);
  }

  /** Texts held. */
  get size(): number {
    return this.#entries.length;
  }

  /** @throws RopewalkError for another decoder than its own. */
  check(decoder: Decoder): void {
    if (decoder === this.decoder) return;
    throw new RopewalkError('the prefix cache belongs to another decoder; make one for this decoder.');
  }

  /** Forgets all prefixes. */
  clear(): void {
    this.#entries.length = 0;
  }

  /**
   * A cache with the longest known beginning of a text, for the caller alone.
   *
   * @param ids of the text, of which at least the last remains to be run.
   * @returns the cache; its position says how many tokens need not run.
   */
  take(ids: ArrayLike<number>): KeyValueCache {
    let best: Entry | undefined;
    let longest = 0;
    for (const entry of this.#entries) {
      const common = Math.min(commonBeginning(entry.ids, ids), ids.length - 1);
      // Of equal ones the last, which has been used most recently.
      if (common < Math.max(1, longest) || !entry.cache.canTruncate(common)) continue;
      best = entry;
      longest = common;
    }
    if (!best) return this.decoder.newCache();
    this.#entries.splice(this.#entries.indexOf(best), 1);
    // A text that continues another: its later cache serves the beginning as well.
    if (longest === best.ids.length && !best.cache.rolls) return best.cache;
    this.#entries.push(best);
    return best.cache.clone(longest);
  }

  /**
   * Keeps what a text has left. The cache must not be used afterwards, except through {@link take}.
   *
   * @param ids whose first `cache.position` are in the cache.
   */
  put(ids: ArrayLike<number>, cache: KeyValueCache): void {
    const { position } = cache;
    if (position === 0 || cache.bytes > this.#maxBytes) return;
    const held = Array.from(ids).slice(0, position);
    for (let i = this.#entries.length - 1; i >= 0; i--) {
      const other = this.#entries[i]!;
      const common = commonBeginning(other.ids, held);
      if (common === position && other.cache.canTruncate(position)) {
        // Nothing new: the other one has been used.
        this.#entries.push(...this.#entries.splice(i, 1));
        return;
      }
      if (common === other.ids.length && cache.canTruncate(common)) this.#entries.splice(i, 1);
    }
    this.#entries.push({ ids: held, cache });
    let { bytes } = this;
    while (bytes > this.#maxBytes) bytes -= this.#entries.shift()!.cache.bytes;
  }
}

function commonBeginning(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const most = Math.min(a.length, b.length);
  let common = 0;
  while (common < most && a[common] === b[common]) common++;
  return common;
}
