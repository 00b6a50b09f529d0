/** What a span of a text is: input characters, a loop iteration, or the inside of `{% generation %}`. */
export type SpanKind = 'content' | 'turn' | 'generation';

/** For text without a single source. */
export const NO_SOURCE = -1;

/** A half-open range `[start, end)` of UTF-16 positions; content may be empty and still have a position. */
export interface TextSpan {
  readonly start: number;
  readonly end: number;
  readonly kind: SpanKind;
  /** The caller's number of the input that it comes from, or {@link NO_SOURCE}. */
  readonly source: number;
}

const NONE: readonly TextSpan[] = [];

/** An immutable string of a template that tracks where its characters come from. Python counts it in code points. */
export class Text {
  #offsets: Uint32Array | undefined;
  #wide: boolean | undefined;

  /** @param markup whether it is HTML that must not be escaped again (`safe`). */
  constructor(
    readonly value: string,
    readonly spans: readonly TextSpan[] = NONE,
    readonly markup = false,
  ) {}

  /** An input text whose characters are tracked. */
  static of(value: string, source: number): Text {
    return new Text(value, [{ start: 0, end: value.length, kind: 'content', source }]);
  }

  /** Whether characters may take two UTF-16 units. */
  get wide(): boolean {
    this.#wide ??= /[\ud800-\udfff]/.test(this.value);
    return this.#wide;
  }

  /** The number of code points. */
  get length(): number {
    return this.wide ? this.offsets.length - 1 : this.value.length;
  }

  /** The UTF-16 position of each code point, and of the end. */
  get offsets(): Uint32Array {
    if (this.#offsets) return this.#offsets;
    const offsets = new Uint32Array(this.value.length + 1);
    let count = 0;
    for (let at = 0; at < this.value.length; count++) {
      offsets[count] = at;
      at += this.value.codePointAt(at)! > 0xffff ? 2 : 1;
    }
    offsets[count] = this.value.length;
    this.#offsets = offsets.subarray(0, count + 1);
    return this.#offsets;
  }

  /** The UTF-16 position of a code point, from 0 to the length. */
  unit(index: number): number {
    return this.wide ? this.offsets[index]! : index;
  }

  /** The code point index at a UTF-16 position. */
  point(unit: number): number {
    if (!this.wide) return unit;
    const { offsets } = this;
    let [low, high] = [0, offsets.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (offsets[middle]! < unit) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** A substring, by UTF-16 positions. */
  slice(from: number, to: number): Text {
    if (from <= 0 && to >= this.value.length) return this;
    const value = this.value.slice(from, to);
    if (this.spans.length === 0) return value === '' ? EMPTY : new Text(value, NONE, this.markup);
    const kept: TextSpan[] = [];
    for (const span of this.spans) {
      const start = Math.max(span.start, from);
      const end = Math.min(span.end, to);
      const isPlace = span.kind === 'content' && start === end && (span.start === span.end || from === to);
      if (start < end || isPlace) kept.push({ ...span, start: start - from, end: end - from });
    }
    return new Text(value, kept, this.markup);
  }

  /** The same characters, not marked as HTML. */
  plain(): Text {
    return this.markup ? new Text(this.value, this.spans) : this;
  }
}

export const EMPTY = new Text('');

/** Concatenates texts in linear time. */
export class TextBuilder {
  readonly #parts: string[] = [];
  readonly spans: TextSpan[] = [];
  length = 0;

  add(text: Text): void {
    for (const span of text.spans) this.#push(span, this.length);
    this.addString(text.value);
  }

  addString(value: string): void {
    if (value === '') return;
    this.#parts.push(value);
    this.length += value.length;
  }

  /** Marks what has been added since a position. */
  mark(start: number, kind: SpanKind, source: number): void {
    this.spans.push({ start, end: this.length, kind, source });
  }

  build(): Text {
    return new Text(this.#parts.join(''), this.spans);
  }

  #push(span: TextSpan, by: number): void {
    const last = this.spans.at(-1);
    const [start, end] = [span.start + by, span.end + by];
    const touches =
      last?.kind === 'content' &&
      span.kind === 'content' &&
      last.source === span.source &&
      last.end === start;
    if (touches) this.spans[this.spans.length - 1] = { ...last, end };
    else this.spans.push({ ...span, start, end });
  }
}

/** Concatenates `texts`. */
export function concat(texts: readonly Text[]): Text {
  const builder = new TextBuilder();
  for (const text of texts) builder.add(text);
  return builder.build();
}

/** A text derived from others in a way that does not track single characters: all of it counts as theirs. */
export function derived(value: string, sources: readonly Text[]): Text {
  let source: number | undefined;
  for (const { spans } of sources) {
    for (const span of spans) {
      if (span.kind !== 'content') continue;
      source = source === undefined || source === span.source ? span.source : NO_SOURCE;
    }
  }
  return source === undefined ? new Text(value) : Text.of(value, source);
}
