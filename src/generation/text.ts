import { RopewalkError } from '../errors.ts';

/**
 * Text that streams until one of several strings appears. What could be the beginning of a stop string is held back
 * until it is clear that it is not. The stop string that is complete first ends the text, and of several that end with
 * the same character the longest, so that the text does not depend on the pieces in which it came.
 */
export class StopStrings {
  private held = '';
  private ended = false;

  /** @throws RopewalkError when one of them is empty. */
  constructor(private readonly stops: readonly string[]) {
    if (stops.includes('')) throw new RopewalkError('a stop string is empty; give the text to stop before.');
  }

  /** Whether a stop string has appeared. */
  get stopped(): boolean {
    return this.ended;
  }

  /** New text in, text that may be shown out: never a stop string nor what follows it. */
  push(text: string): string {
    if (this.ended) return '';
    const all = this.held + text;
    let start = -1;
    let end = Number.POSITIVE_INFINITY;
    for (const stop of this.stops) {
      const at = all.indexOf(stop);
      if (at < 0) continue;
      const stopEnd = at + stop.length;
      if (stopEnd < end || (stopEnd === end && at < start)) [start, end] = [at, stopEnd];
    }
    if (start >= 0) {
      this.ended = true;
      this.held = '';
      return all.slice(0, start);
    }
    const keep = this.possibleBeginning(all);
    this.held = all.slice(all.length - keep);
    return all.slice(0, all.length - keep);
  }

  /** What was held back, when no more text comes. */
  flush(): string {
    const rest = this.held;
    this.held = '';
    return rest;
  }

  /** Length of the longest end of `text` that a stop string begins with. */
  private possibleBeginning(text: string): number {
    const longest = Math.max(0, ...this.stops.map((stop) => stop.length - 1));
    for (let length = Math.min(longest, text.length); length > 0; length--) {
      const tail = text.slice(text.length - length);
      if (this.stops.some((stop) => stop.startsWith(tail))) return length;
    }
    return 0;
  }
}
