import type { Environment, Interpreter } from '@huggingface/jinja';

/** A value of a running template, as far as is looked into it here; `type` names its class. */
export type Value = ReturnType<Interpreter['evaluate']>;
export type Scope = Environment;

/** A node of a parsed template. */
export interface Node {
  readonly type: string;
}

/** The text of a string value. */
export function textOf(value: Value): string | undefined {
  return value.type === 'StringValue' ? (value.value as string) : undefined;
}

export function isArray(value: Value): boolean {
  return value.type === 'ArrayValue' || value.type === 'TupleValue';
}

export function isMapping(value: Value): boolean {
  return (
    value.type === 'ObjectValue' || value.type === 'KeywordArgumentsValue' || value.type === 'NamespaceValue'
  );
}

/** An array's items or a mapping's values; none of anything else. */
export function childrenOf(value: Value): Iterable<Value> {
  if (isArray(value)) return value.value as Value[];
  return isMapping(value) ? (value.value as Map<string, Value>).values() : [];
}

/** Items of an array or entries of a mapping. */
export function itemCount(value: Value): number {
  if (isArray(value)) return (value.value as Value[]).length;
  return isMapping(value) ? (value.value as Map<string, Value>).size : 0;
}

export function numberOf(value: Value): number | undefined {
  if (value.type === 'IntegerValue' || value.type === 'FloatValue') return value.value as number;
  return value.type === 'BooleanValue' ? Number(value.value) : undefined;
}

/** Python's `==`. The caller has bounded what the values hold. */
export function equal(a: Value, b: Value): boolean {
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined || y !== undefined) return x === y;
  if (isArray(a) && isArray(b)) {
    const [left, right] = [a.value as Value[], b.value as Value[]];
    return (
      a.type === b.type && left.length === right.length && left.every((item, i) => equal(item, right[i]!))
    );
  }
  if (a.type === 'ObjectValue' && b.type === 'ObjectValue') {
    const [left, right] = [a.value as Map<string, Value>, b.value as Map<string, Value>];
    const same = ([key, value]: [string, Value]) => right.has(key) && equal(value, right.get(key)!);
    return left.size === right.size && [...left].every(same);
  }
  return a === b || (a.type === b.type && !isArray(a) && !isMapping(a) && a.value === b.value);
}

/** Python's white space, which `str.strip()` takes away: JavaScript has U+FEFF instead of U+001C–1F and U+0085. */
function isSpace(character: string): boolean {
  const code = character.charCodeAt(0);
  return (/\s/.test(character) && code !== 0xfeff) || (code >= 0x1c && code <= 0x1f) || code === 0x85;
}

/** The range of a text that is left when Python's strip (`characters`: of these) has taken its ends away. */
export function stripped(
  text: string,
  ends: { readonly start: boolean; readonly end: boolean },
  characters?: string,
): [start: number, end: number] {
  const drops = (character: string) =>
    characters === undefined ? isSpace(character) : characters.includes(character);
  let [start, end] = [0, text.length];
  if (ends.start) while (start < end && drops(text[start]!)) start++;
  if (ends.end) while (end > start && drops(text[end - 1]!)) end--;
  return [start, end];
}

/** Which ends the filter and the methods take away. */
export const STRIPS: Readonly<Record<string, { readonly start: boolean; readonly end: boolean }>> = {
  trim: { start: true, end: true },
  strip: { start: true, end: true },
  lstrip: { start: true, end: false },
  rstrip: { start: false, end: true },
};

/** A text's length in Python. */
export function codePoints(text: string): number {
  return text.length - (text.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0);
}

/** Calls `visit` with every string value in `values`; what they hold has been measured. */
export function eachText(values: readonly Value[], visit: (value: Value) => void): void {
  const waiting = [...values];
  for (let value = waiting.pop(); value; value = waiting.pop()) {
    if (textOf(value) !== undefined) visit(value);
    else for (const child of childrenOf(value)) waiting.push(child);
  }
}
