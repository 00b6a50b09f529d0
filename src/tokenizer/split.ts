import { codePointLength } from './unicode/text.ts';

/** What happens to the matches of a splitting pattern: the Rust library's `SplitDelimiterBehavior`. */
export const SPLIT_BEHAVIORS = [
  'Removed',
  'Isolated',
  'MergedWithPrevious',
  'MergedWithNext',
  'Contiguous',
] as const;
export type SplitBehavior = (typeof SPLIT_BEHAVIORS)[number];

/** Receives the start and end of a part of a text. */
export type EmitRange = (start: number, end: number) => void;

/**
 * Calls `found` with every match of a global expression, from left to right. An empty match directly after another
 * match does not count, as in Oniguruma's Rust binding.
 */
export function eachMatch(expression: RegExp, text: string, found: EmitRange): void {
  if (text === '') return; // The library finds no matches here, not even empty ones.
  let last = -1;
  let next = 0;
  for (;;) {
    // Saved here, since `found` may search with the same expression.
    expression.lastIndex = next;
    const match = expression.exec(text);
    if (!match) return;
    const start = match.index;
    const end = start + match[0].length;
    next = start === end ? end + codePointLength(text, end) : end;
    if (start === end && end === last) continue;
    last = end;
    found(start, end);
  }
}

/** Splits a text at the matches of an expression; parts come in order, without empty ones. */
export function split(
  text: string,
  expression: RegExp,
  behavior: SplitBehavior,
  invert: boolean,
  emit: EmitRange,
): void {
  if (behavior === 'Isolated') splitIsolated(text, expression, emit);
  else splitSegments(segments(text, expression, invert), behavior, emit);
}

function splitIsolated(text: string, expression: RegExp, emit: EmitRange): void {
  let end = 0;
  eachMatch(expression, text, (start, stop) => {
    if (start > end) emit(end, start);
    if (stop > start) emit(start, stop);
    end = stop;
  });
  if (end < text.length) emit(end, text.length);
}

interface Segment {
  start: number;
  end: number;
  readonly isDelimiter: boolean;
}

/** The text as matches, which may be empty, and the parts between them. */
function segments(text: string, expression: RegExp, invert: boolean): Segment[] {
  const all: Segment[] = [];
  let at = 0;
  eachMatch(expression, text, (start, end) => {
    if (start > at) all.push({ start: at, end: start, isDelimiter: invert });
    all.push({ start, end, isDelimiter: !invert });
    at = end;
  });
  if (at < text.length) all.push({ start: at, end: text.length, isDelimiter: invert });
  return all;
}

function splitSegments(all: Segment[], behavior: SplitBehavior, emit: EmitRange): void {
  const parts: Segment[] = [];
  const forward = behavior !== 'MergedWithNext';
  let previous = false;
  for (let i = 0; i < all.length; i++) {
    const segment = all[forward ? i : all.length - 1 - i]!;
    const { isDelimiter } = segment;
    const joins =
      behavior === 'Contiguous'
        ? isDelimiter === previous
        : isDelimiter && !previous && behavior !== 'Removed';
    const last = parts.at(-1);
    if (joins && last) {
      if (forward) last.end = segment.end;
      else last.start = segment.start;
    } else if (behavior !== 'Removed' || !isDelimiter) parts.push(segment);
    previous = isDelimiter;
  }
  if (!forward) parts.reverse();
  for (const { start, end } of parts) if (end > start) emit(start, end);
}
