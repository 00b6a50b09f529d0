/** Half-open ranges of UTF-16 positions `[start, end)` of a text, sorted and disjoint. */
export type Span = readonly [start: number, end: number];

/** The spans of `text.slice(from, to)`. */
export function sliceSpans(spans: readonly Span[], from: number, to: number): Span[] {
  const kept: Span[] = [];
  for (const [start, end] of spans) {
    if (Math.min(end, to) > Math.max(start, from)) {
      kept.push([Math.max(start, from) - from, Math.min(end, to) - from]);
    }
  }
  return kept;
}

/** Appends a span, merging it with the last one if adjacent. */
export function pushSpan(spans: [number, number][], start: number, end: number): void {
  if (end <= start) return;
  const last = spans.at(-1);
  if (last && last[1] >= start) last[1] = Math.max(last[1], end);
  else spans.push([start, end]);
}
