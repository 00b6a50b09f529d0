import { RopewalkError } from '../errors.ts';

/** Text to search, and whether it is visible: special tokens are not. */
interface Part {
  readonly text: string;
  readonly shown: boolean;
}

/** The range of a stop string, as positions in the text including all parts. */
interface Found {
  readonly start: number;
  readonly end: number;
}

/**
 * Passes text through until one of several strings appears. A possible beginning of a stop string is held back until
 * it is clear that it is not one. The stop string that is complete first ends the text, or the longest of several
 * that end at the same character, so the result does not depend on how the text is split into pieces.
 *
 * Special tokens are searched too, as by `stop_strings` of transformers, although they are not visible: a stop string
 * may be one of them, contain one, or be part of one. The visible text never contains a stop string either.
 */
export class StopStrings {
  #held: readonly Part[] = [];
  #ended = false;

  readonly #stops: readonly string[];

  /** @throws RopewalkError if one of them is empty. */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
    if (stops.includes('')) throw new RopewalkError('a stop string is empty; give the text to stop before.');
  }

  /** Whether a stop string has appeared. */
  get stopped(): boolean {
    return this.#ended;
  }

  /**
   * Takes new text and returns the text that may be shown: never a stop string nor what follows it.
   *
   * @param shown false for text that is only searched: the content of a special token.
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

  /** The text held back, once no more text comes. */
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
      // The end is the position after the last character, not that of the next one.
      found = first(found, { start: place(at), end: place(at + stop.length - 1) + 1 });
    }
    return found;
  }

  /** Length of the longest suffix of `text` that is a prefix of a stop string. */
  #possibleBeginning(text: string): number {
    const longest = Math.max(0, ...this.#stops.map((stop) => stop.length - 1));
    for (let length = Math.min(longest, text.length); length > 0; length--) {
      const tail = text.slice(text.length - length);
      if (this.#stops.some((stop) => stop.startsWith(tail))) return length;
    }
    return 0;
  }
}

/** The one that ends first; if two end together, the longer. */
function first(a: Found | undefined, b: Found | undefined): Found | undefined {
  if (!a || !b) return a ?? b;
  return b.end < a.end || (b.end === a.end && b.start < a.start) ? b : a;
}

/** The texts in which stop strings are searched, with mappings of positions to the whole text. */
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

/** The parts between two positions. */
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
