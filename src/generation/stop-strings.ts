import { RopewalkError } from '../errors.ts';

/** Text that is looked through, and whether it is shown: special tokens are not. */
interface Part {
  readonly text: string;
  readonly shown: boolean;
}

/** Where a stop string lies, as places in the text with all its parts. */
interface Found {
  readonly start: number;
  readonly end: number;
}

/**
 * Text that streams until one of several strings appears. What could be the beginning of a stop string is held back
 * until it is clear that it is not. The stop string that is complete first ends the text, and of several that end with
 * the same character the longest, so that the text does not depend on the pieces in which it came.
 *
 * Special tokens are looked through as well, as `stop_strings` of transformers does, though they are not shown: a stop
 * string may be one of them, hold one, or be a part of one. What is shown never holds a stop string either.
 */
export class StopStrings {
  #held: readonly Part[] = [];
  #ended = false;

  readonly #stops: readonly string[];

  /** @throws RopewalkError when one of them is empty. */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
    if (stops.includes('')) throw new RopewalkError('a stop string is empty; give the text to stop before.');
  }

  /** Whether a stop string has appeared. */
  get stopped(): boolean {
    return this.#ended;
  }

  /**
   * New text in, text that may be shown out: never a stop string nor what follows it.
   *
   * @param shown false for what is only looked through: the content of a special token.
   */
  push(text: string, shown = true): string {
    if (this.#ended) return '';
    const parts = [...this.#held, { text, shown }];
    const views = viewsOf(parts);
    const found = views.map(({ view, place }) => this.#find(view, place)).reduce(first);
    if (found) {
      this.#ended = true;
      this.#held = [];
      return shownOf(parts, 0, found.start);
    }
    const certain = Math.min(
      ...views.map(({ view, place }) => place(view.length - this.#possibleBeginning(view))),
    );
    this.#held = cut(parts, certain, Number.POSITIVE_INFINITY);
    return shownOf(parts, 0, certain);
  }

  /** What was held back, when no more text comes. */
  flush(): string {
    const rest = shownOf(this.#held, 0, Number.POSITIVE_INFINITY);
    this.#held = [];
    return rest;
  }

  #find(view: string, place: (at: number) => number): Found | undefined {
    let found: Found | undefined;
    for (const stop of this.#stops) {
      const at = view.indexOf(stop);
      if (at < 0) continue;
      // The end is the place behind the last character, not that of the next one.
      found = first(found, { start: place(at), end: place(at + stop.length - 1) + 1 });
    }
    return found;
  }

  /** Length of the longest end of `text` that a stop string begins with. */
  #possibleBeginning(text: string): number {
    const longest = Math.max(0, ...this.#stops.map((stop) => stop.length - 1));
    for (let length = Math.min(longest, text.length); length > 0; length--) {
      const tail = text.slice(text.length - length);
      if (this.#stops.some((stop) => stop.startsWith(tail))) return length;
    }
    return 0;
  }
}

/** The one that ends first; of two that end together the longer. */
function first(a: Found | undefined, b: Found | undefined): Found | undefined {
  if (!a || !b) return a ?? b;
  return b.end < a.end || (b.end === a.end && b.start < a.start) ? b : a;
}

/** The texts that stop strings are looked for in, and where in the whole text a place in each is. */
function viewsOf(parts: readonly Part[]) {
  const whole = { view: parts.map(({ text }) => text).join(''), place: (at: number) => at };
  if (parts.every(({ shown }) => shown)) return [whole];
  const place = (at: number) => {
    let before = 0;
    let left = at;
    for (const { text, shown } of parts) {
      if (shown && left < text.length) return before + left;
      before += text.length;
      if (shown) left -= text.length;
    }
    return before;
  };
  return [whole, { view: shownOf(parts, 0, Number.POSITIVE_INFINITY), place }];
}

function shownOf(parts: readonly Part[], start: number, end: number): string {
  return cut(parts, start, end)
    .filter(({ shown }) => shown)
    .map(({ text }) => text)
    .join('');
}

/** The parts between two places. */
function cut(parts: readonly Part[], start: number, end: number): Part[] {
  const result: Part[] = [];
  let at = 0;
  for (const { text, shown } of parts) {
    const piece = text.slice(Math.max(0, start - at), Math.max(0, end - at));
    if (piece !== '') result.push({ text: piece, shown });
    at += text.length;
  }
  return result;
}
