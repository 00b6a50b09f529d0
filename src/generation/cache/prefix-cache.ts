import { RopewalkError } from '../../errors.ts';
import type { Decoder } from '../decoder.ts';
import type { KeyValueCache } from './key-value-cache.ts';

export interface PrefixCacheOptions {
  /** The largest total size in bytes; default 1 GiB. The least recently used entries are evicted first. */
  readonly maxBytes?: number;
}

interface Entry {
  readonly ids: readonly number[];
  readonly cache: KeyValueCache;
}

/**
 * Keys and values of recent texts of one decoder: a text that shares a prefix with one of them runs only the rest.
 * Logits equal those without it, up to the order of sums: prompt chunks begin elsewhere.
 *
 * A rolling cache (of a sliding window) can serve a prefix only while the rows of the window at its end exist: any
 * prefix of a text not much longer than the window, and only the end of a longer one.
 */
export class PrefixCache {
  /** In order of use; the most recently used is last. */
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

  /** Memory in use, in bytes. */
  get bytes(): number {
    return this.#entries.reduce((sum, { cache }) => sum + cache.bytes, 0);
  }

  /** The number of texts. */
  get size(): number {
    return this.#entries.length;
  }

  /** @throws RopewalkError for a decoder other than its own. */
  check(decoder: Decoder): void {
    if (decoder === this.decoder) return;
    throw new RopewalkError('the prefix cache belongs to another decoder; make one for this decoder.');
  }

  /** Removes all entries. */
  clear(): void {
    for (const { cache } of this.#entries.splice(0)) cache.release();
  }

  /**
   * A cache with the longest known prefix of a text, owned by the caller.
   *
   * @param ids of the text, of which at least the last remains to be run.
   * @returns the cache; its position is the number of tokens that need not run.
   */
  take(ids: ArrayLike<number>): KeyValueCache {
    let best: Entry | undefined;
    let longest = 0;
    for (const entry of this.#entries) {
      const common = Math.min(commonBeginning(entry.ids, ids), ids.length - 1);
      // Among equal ones the last, which was used most recently.
      if (common < Math.max(1, longest) || !entry.cache.canTruncate(common)) continue;
      best = entry;
      longest = common;
    }
    if (!best) return this.decoder.newCache();
    this.#entries.splice(this.#entries.indexOf(best), 1);
    // A text that continues another: its later cache also serves the prefix.
    if (longest === best.ids.length && !best.cache.rolls) return best.cache;
    this.#entries.push(best);
    return best.cache.clone(longest);
  }

  /**
   * Adds the cache of a text. It must not be used afterwards, except through {@link take}.
   *
   * @param ids whose first `cache.position` are in the cache.
   */
  put(ids: ArrayLike<number>, cache: KeyValueCache): void {
    const { position } = cache;
    if (position === 0 || cache.bytes > this.#maxBytes) {
      cache.release();
      return;
    }
    const held = Array.from(ids).slice(0, position);
    for (let i = this.#entries.length - 1; i >= 0; i--) {
      const other = this.#entries[i]!;
      const common = commonBeginning(other.ids, held);
      if (common === position && other.cache.canTruncate(position)) {
        // Nothing new: marks the existing entry as used.
        this.#entries.push(...this.#entries.splice(i, 1));
        cache.release();
        return;
      }
      if (common === other.ids.length && cache.canTruncate(common))
        this.#entries.splice(i, 1)[0]!.cache.release();
    }
    this.#entries.push({ ids: held, cache });
    let { bytes } = this;
    while (bytes > this.#maxBytes) {
      const oldest = this.#entries.shift()!.cache;
      bytes -= oldest.bytes;
      oldest.release();
    }
  }
}

function commonBeginning(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const most = Math.min(a.length, b.length);
  let common = 0;
  while (common < most && a[common] === b[common]) common++;
  return common;
}
