/** Half-open ranges of UTF-16 positions `[start, end)` of a text, in order, apart from each other. */
export type Span = readonly [start: number, end: number];

/** The spans of `text + more`. */
export function joinSpans(first: readonly Span[], length: number, second: readonly Span[]): Span[] {
  const joined = [...first];
  for (const [start, end] of second) push(joined, start + length, end + length);
  return joined;
}

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

/** Two characters that occur in no text of a rendering: they enclose the spans while text is only a string. */
export interface Marks {
  readonly open: string;
  readonly close: string;
}

/** Private-use characters that `text` does not contain; undefined where it has them all. */
export function unusedMarks(text: string): Marks | undefined {
  const used = new Set(text);
  const free: string[] = [];
  for (let code = 0xe000; code < 0xf8ff && free.length < 2; code++) {
    const character = String.fromCharCode(code);
    if (!used.has(character)) free.push(character);
  }
  return free.length === 2 ? { open: free[0]!, close: free[1]! } : undefined;
}

/** Writes marks around the spans. */
export function mark(text: string, spans: readonly Span[], { open, close }: Marks): string {
  let marked = '';
  let at = 0;
  for (const [start, end] of spans) {
    marked += text.slice(at, start) + open + text.slice(start, end) + close;
    at = end;
  }
  return marked + text.slice(at);
}

/** Takes the marks out again. */
export function unmark(marked: string, { open, close }: Marks): { text: string; spans: Span[] } {
  const spans: Span[] = [];
  let text = '';
  let at = 0;
  for (let start = marked.indexOf(open); start >= 0; start = marked.indexOf(open, at)) {
    const end = marked.indexOf(close, start);
    text += marked.slice(at, start);
    push(spans, text.length, text.length + end - start - 1);
    text += marked.slice(start + 1, end);
    at = end + 1;
  }
  return { text: text + marked.slice(at), spans };
}

/** Adds a span, as part of the last one where it touches it. */
function push(spans: Span[], start: number, end: number): void {
  if (end <= start) return;
  const last = spans.at(-1);
  if (last && last[1] >= start) spans[spans.length - 1] = [last[0], Math.max(last[1], end)];
  else spans.push([start, end]);
}
