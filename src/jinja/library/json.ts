import type { Budget } from '../budget.ts';
import { JinjaError } from '../errors.ts';
import { floatText } from '../numbers.ts';
import { compare } from '../python.ts';
import { derived, Text } from '../text.ts';
import { Dict, List, Tuple, typeName, type Value } from '../values.ts';

export interface JsonOptions {
  readonly ensureAscii: boolean;
  /** The indentation per level; undefined for a single line. */
  readonly indent: string | undefined;
  readonly separators: readonly [item: string, key: string] | undefined;
  readonly sortKeys: boolean;
}

/** Python's `json.dumps`. @throws JinjaError for values that JSON cannot express */
export function toJson(value: Value, options: JsonOptions, budget: Budget): Text {
  const { indent, sortKeys, ensureAscii } = options;
  const [between, colon] = options.separators ?? [indent === undefined ? ', ' : ',', ': '];
  const parts: string[] = [];
  const sources: Text[] = [];
  let length = 0;
  const add = (part: string) => {
    length += part.length;
    budget.spendText(part.length);
    if (length > budget.maxText) budget.spendText(length);
    parts.push(part);
  };
  const newLine = (depth: number) => {
    if (indent !== undefined) add(`\n${indent.repeat(depth)}`);
  };
  const write = (item: Value, depth: number): void => {
    budget.spend(1);
    if (item instanceof Text) {
      sources.push(item);
      add(jsonString(item.value, ensureAscii));
    } else if (item instanceof List || item instanceof Tuple) {
      budget.deeper(() => writeAll('[', ']', item.items, depth, (one) => write(one, depth + 1)));
    } else if (item instanceof Dict) {
      budget.deeper(() =>
        writeAll('{', '}', sorted([...item.entries()]), depth, ([key, entry]) => {
          if (key instanceof Text) sources.push(key);
          add(jsonString(keyText(key), ensureAscii));
          add(colon);
          write(entry, depth + 1);
        }),
      );
    } else add(scalar(item));
  };
  const writeAll = <T>(
    open: string,
    close: string,
    items: readonly T[],
    depth: number,
    each: (item: T) => void,
  ) => {
    if (indent !== undefined) budget.spendText(indent.length * (depth + 1));
    add(open);
    items.forEach((item, i) => {
      if (i > 0) add(between);
      newLine(depth + 1);
      each(item);
    });
    if (items.length > 0) newLine(depth);
    add(close);
  };
  const sorted = (entries: [Value, Value][]) => {
    if (!sortKeys) return entries;
    budget.spend(entries.length * Math.log2(entries.length + 2));
    return entries.sort(([a], [b]) => compare(a, b, budget));
  };
  write(value, 0);
  return derived(parts.join(''), sources);
}

function scalar(value: Value): string {
  if (value === null) return 'null';
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number') {
    if (Number.isNaN(value)) return 'NaN';
    return Number.isFinite(value) ? floatText(value) : value > 0 ? 'Infinity' : '-Infinity';
  }
  throw new JinjaError(`Object of type ${typeName(value)} is not JSON serializable`);
}

function keyText(key: Value): string {
  if (key instanceof Text) return key.value;
  if (key === null || ['boolean', 'bigint', 'number'].includes(typeof key)) return scalar(key);
  throw new JinjaError(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

const NAMED: Readonly<Record<string, string>> = {
  ...{ '"': '\\"', '\\': '\\\\', '\n': '\\n', '\r': '\\r' },
  ...{ '\t': '\\t', '\f': '\\f', '\b': '\\b' },
};

const NOT_ASCII = /["\\]|[^ -~]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON escapes them
const CONTROLS = /["\\\0-\x1f]/g;

function jsonString(value: string, ensureAscii: boolean): string {
  const pattern = ensureAscii ? NOT_ASCII : CONTROLS;
  const escaped = (unit: string) => NAMED[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return `"${value.replace(pattern, escaped)}"`;
}
