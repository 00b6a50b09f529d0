import type { Budget } from './budget.ts';
import { isSpaceCode, LINE_ENDS } from './characters.ts';
import { JinjaError } from './errors.ts';
import { EMPTY, Text, TextBuilder } from './text.ts';

/** Which ends of a text are stripped. */
export type Ends = 'both' | 'start' | 'end';

/** `str.strip(characters)`; white space by default. */
export function strip(text: Text, ends: Ends, characters: Text | undefined, budget: Budget): Text {
  budget.spendText(text.value.length);
  const { value } = text;
  const set = characters && new Set(characters.value);
  if (set && (characters.wide || text.wide)) return stripPoints(text, ends, set);
  const drops = (at: number) => (set ? set.has(value[at]!) : isSpaceCode(value.charCodeAt(at)));
  let [start, end] = [0, value.length];
  if (ends !== 'end') while (start < end && drops(start)) start++;
  if (ends !== 'start') while (end > start && drops(end - 1)) end--;
  budget.spend((start + value.length - end) / 16);
  return text.slice(start, end);
}

function stripPoints(text: Text, ends: Ends, set: ReadonlySet<string>): Text {
  let [start, end] = [0, text.length];
  const drops = (index: number) => set.has(text.value.slice(text.unit(index), text.unit(index + 1)));
  if (ends !== 'end') while (start < end && drops(start)) start++;
  if (ends !== 'start') while (end > start && drops(end - 1)) end--;
  return text.slice(text.unit(start), text.unit(end));
}

/** `str.split(separator, most)`. */
export function split(text: Text, separator: Text | undefined, most: number, budget: Budget): Text[] {
  budget.spendText(text.value.length);
  if (!separator) return splitSpaces(text, most, budget);
  const places = occurrences(text, separator, most, budget);
  return cutAt(text, places, separator.value.length);
}

/** `str.rsplit(separator, most)`. */
export function splitFromEnd(text: Text, separator: Text | undefined, most: number, budget: Budget): Text[] {
  if (most < 0) return split(text, separator, most, budget);
  budget.spendText(text.value.length);
  if (!separator) return splitSpacesFromEnd(text, most, budget);
  if (separator.value === '') throw new JinjaError('empty separator');
  const places: number[] = [];
  const { value } = text;
  budget.spendSearch(value.length, separator.value.length);
  let end = value.length;
  while (places.length < most) {
    const at =
      end < separator.value.length ? -1 : value.lastIndexOf(separator.value, end - separator.value.length);
    if (at < 0) break;
    places.unshift(at);
    budget.spend(1 + places.length / 64);
    end = at;
  }
  return cutAt(text, places, separator.value.length);
}

/** Positions of a substring, from left to right. */
function occurrences(text: Text, part: Text, most: number, budget: Budget): number[] {
  if (part.value === '') throw new JinjaError('empty separator');
  budget.spendSearch(text.value.length, part.value.length);
  const places: number[] = [];
  let at = text.value.indexOf(part.value);
  while (at >= 0 && (most < 0 || places.length < most)) {
    places.push(at);
    at = text.value.indexOf(part.value, at + part.value.length);
  }
  budget.spendItems(places.length);
  return places;
}

function cutAt(text: Text, places: readonly number[], length: number): Text[] {
  const parts: Text[] = [];
  let from = 0;
  for (const at of places) {
    parts.push(text.slice(from, at));
    from = at + length;
  }
  parts.push(text.slice(from, text.value.length));
  return parts;
}

function splitSpaces(text: Text, most: number, budget: Budget): Text[] {
  const parts: Text[] = [];
  const { value } = text;
  let at = 0;
  for (;;) {
    while (at < value.length && isSpaceCode(value.charCodeAt(at))) at++;
    if (at >= value.length) return parts;
    budget.spendItems(parts.length > 1000 ? parts.length / 1000 : 1);
    if (most >= 0 && parts.length === most) {
      parts.push(text.slice(at, value.length));
      return parts;
    }
    const start = at;
    while (at < value.length && !isSpaceCode(value.charCodeAt(at))) at++;
    parts.push(text.slice(start, at));
  }
}

function splitSpacesFromEnd(text: Text, most: number, budget: Budget): Text[] {
  const parts: Text[] = [];
  const { value } = text;
  let at = value.length;
  for (;;) {
    while (at > 0 && isSpaceCode(value.charCodeAt(at - 1))) at--;
    if (at <= 0) return parts.reverse();
    budget.spend(1);
    if (parts.length === most) {
      parts.push(text.slice(0, at));
      return parts.reverse();
    }
    const end = at;
    while (at > 0 && !isSpaceCode(value.charCodeAt(at - 1))) at--;
    parts.push(text.slice(at, end));
  }
}

/** `str.splitlines(keepEnds)`. */
export function splitLines(text: Text, keepEnds: boolean, budget: Budget): Text[] {
  budget.spendText(text.value.length);
  const lines: Text[] = [];
  let from = 0;
  for (const end of text.value.matchAll(LINE_ENDS)) {
    budget.spend(1 / 4);
    lines.push(text.slice(from, end.index + (keepEnds ? end[0].length : 0)));
    from = end.index + end[0].length;
  }
  if (from < text.value.length) lines.push(text.slice(from, text.value.length));
  budget.spendItems(lines.length);
  return lines;
}

/** `str.replace(old, fresh, most)`. */
export function replace(text: Text, old: Text, fresh: Text, most: number, budget: Budget): Text {
  const places = old.value === '' ? everyPlace(text, most, budget) : occurrences(text, old, most, budget);
  if (places.length === 0) return text;
  budget.spendText(text.value.length + places.length * fresh.value.length);
  budget.spend(places.length / 8);
  const builder = new TextBuilder();
  let from = 0;
  for (const at of places) {
    builder.add(text.slice(from, at));
    builder.add(fresh);
    from = at + old.value.length;
  }
  builder.add(from === text.value.length && from > 0 ? EMPTY : text.slice(from, text.value.length));
  return builder.build();
}

/** The positions before each character, and at the end. */
function everyPlace(text: Text, most: number, budget: Budget): number[] {
  const count = most < 0 ? text.length + 1 : Math.min(most, text.length + 1);
  budget.spendItems(count);
  return Array.from({ length: count }, (_, i) => text.unit(i));
}

/** `separator.join(texts)`. */
export function join(separator: Text, texts: readonly Text[], budget: Budget): Text {
  let length = separator.value.length * Math.max(0, texts.length - 1);
  for (const { value } of texts) length += value.length;
  budget.spendText(length);
  const builder = new TextBuilder();
  texts.forEach((text, i) => {
    if (i > 0) builder.add(separator);
    builder.add(text);
  });
  return builder.build();
}

/** `text * count`. */
export function repeat(text: Text, count: number, budget: Budget): Text {
  if (count <= 0) return EMPTY;
  if (text.spans.length === 0) {
    budget.spendText(text.value.length * count);
    return new Text(text.value.repeat(count));
  }
  budget.spendItems(count);
  return join(EMPTY, new Array<Text>(count).fill(text), budget);
}

/** The text padded to a width in code points. */
export function pad(
  text: Text,
  width: number,
  fill: string,
  place: 'left' | 'right' | 'center',
  budget: Budget,
): Text {
  const missing = width - text.length;
  if (missing <= 0) return text;
  budget.spendText(text.value.length + missing * fill.length);
  // Python's center puts the extra space on the left if the width is odd.
  const before = place === 'left' ? 0 : place === 'right' ? missing : (missing >> 1) + (missing & width & 1);
  const builder = new TextBuilder();
  builder.addString(fill.repeat(before));
  builder.add(text);
  builder.addString(fill.repeat(missing - before));
  return builder.build();
}

/** The range of `text[start:end]` in code points, as for `find` and similar. */
export function window(text: Text, start: number | undefined, end: number | undefined): [number, number] {
  const { length } = text;
  const place = (index: number) => Math.min(length, index < 0 ? Math.max(0, index + length) : index);
  const from = start === undefined ? 0 : start > length ? start : place(start);
  return [from, end === undefined ? length : place(end)];
}
