import { type Budget, MAX_ITEMS } from './budget.ts';
import { JinjaError, NotSupported } from './errors.ts';
import { floatText, type Numeric } from './numbers.ts';
import { derived, EMPTY, Text } from './text.ts';
import {
  Callable,
  Dict,
  Lazy,
  List,
  Namespace,
  Range,
  Thing,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.ts';

/** What an undefined value counts as, where it may count as anything. */
function nothing<T>(value: Undefined, as: T): T {
  value.use();
  return as;
}

/** `bool(value)`. */
export function truthy(value: Value): boolean {
  if (typeof value === 'boolean') return value;
  if (value === null) return false;
  if (value instanceof Undefined) return nothing(value, false);
  if (typeof value === 'bigint') return value !== 0n;
  if (typeof value === 'number') return value !== 0;
  if (value instanceof Text) return value.value !== '';
  if (value instanceof List || value instanceof Tuple) return value.items.length > 0;
  if (value instanceof Dict) return value.size > 0;
  if (value instanceof View) return value.dict.size > 0;
  if (value instanceof Range) return value.length > 0;
  return true;
}

/** The number that a value is, including a bool; undefined otherwise. */
export function numeric(value: Value): Numeric | undefined {
  if (typeof value === 'boolean') return value ? 1n : 0n;
  return typeof value === 'bigint' || typeof value === 'number' ? value : undefined;
}

/** The int that a value is, where Python accepts no float. */
export function integer(value: Value, what: string): number {
  if (value instanceof Undefined) value.fail();
  const number = typeof value === 'boolean' ? BigInt(value) : value;
  if (typeof number !== 'bigint') throw new JinjaError(`${what} must be an integer, not ${typeName(value)}`);
  return Number(number);
}

/** `len(value)`. */
export function lengthOf(value: Value): number {
  if (value instanceof Text) return value.length;
  if (value instanceof List || value instanceof Tuple) return value.items.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof View) return value.dict.size;
  if (value instanceof Range) return value.length;
  if (value instanceof Undefined) return nothing(value, 0);
  if (value instanceof Thing) {
    const length = value.typeName === 'LoopContext' ? value.attribute('length') : undefined;
    if (typeof length === 'bigint') return Number(length);
  }
  throw new JinjaError(`object of type '${typeName(value)}' has no len()`);
}

/** `iter(value)`. @throws JinjaError if it is not iterable */
export function iterate(value: Value): IterableIterator<Value> {
  if (value instanceof List || value instanceof Tuple) return value.items[Symbol.iterator]();
  if (value instanceof Text) return characters(value);
  if (value instanceof Dict) return new View(value, 'keys').values();
  if (value instanceof View) return value.values();
  if (value instanceof Range) return rangeItems(value);
  if (value instanceof Lazy) return unclosed(value.source);
  if (value instanceof Undefined) return nothing(value, [])[Symbol.iterator]();
  if (value instanceof Thing && value.typeName === 'LoopContext')
    throw new NotSupported('going through loop');
  throw new JinjaError(`'${typeName(value)}' object is not iterable`);
}

/** Leaving a loop over a generator does not end it: the next loop continues from there. */
function unclosed(source: IterableIterator<Value>): IterableIterator<Value> {
  return {
    next: () => source.next(),
    [Symbol.iterator]() {
      return this;
    },
  };
}

export function isIterable(value: Value): boolean {
  if (value === null || numeric(value) !== undefined) return false;
  return !(value instanceof Callable || value instanceof Namespace || isPlainThing(value));
}

const isPlainThing = (value: Value) => value instanceof Thing && value.typeName !== 'LoopContext';

function* characters(text: Text): IterableIterator<Value> {
  for (let i = 0; i < text.length; i++) yield text.slice(text.unit(i), text.unit(i + 1));
}

function* rangeItems(range: Range): IterableIterator<Value> {
  for (let i = 0; i < range.length; i++) yield range.at(i);
}

/** `list(value)`, within the budget. */
export function itemsOf(value: Value, budget: Budget): readonly Value[] {
  if (value instanceof List || value instanceof Tuple) return value.items;
  const items: Value[] = [];
  for (const item of iterate(value)) {
    budget.spend(1 / 4);
    items.push(item);
    if (items.length > MAX_ITEMS) budget.spendItems(items.length);
  }
  return items;
}

/** `a == b`. */
export function equal(a: Value, b: Value, budget: Budget): boolean {
  for (const one of [a, b]) if (one instanceof Undefined) one.use();
  if (a instanceof Text || b instanceof Text) {
    if (!(a instanceof Text && b instanceof Text)) return false;
    budget.spend(Math.min(a.value.length, b.value.length) / 64);
    return a.value === b.value;
  }
  const [x, y] = [numeric(a), numeric(b)];
  // An int and a float may be equal; a bigint and a number are never strictly equal.
  if (x !== undefined && y !== undefined) return x <= y && x >= y;
  if (a instanceof Undefined) return b instanceof Undefined;
  if ((a instanceof List && b instanceof List) || (a instanceof Tuple && b instanceof Tuple)) {
    if (a.items.length !== b.items.length) return false;
    return budget.deeper(() => a.items.every((item, i) => same(item, b.items[i]!, budget)));
  }
  if (a instanceof Dict && b instanceof Dict) {
    if (a.size !== b.size) return false;
    return budget.deeper(() =>
      [...a.entries()].every(([key, value]) => {
        const other = b.get(key);
        return other !== undefined && same(value, other, budget);
      }),
    );
  }
  if (a instanceof Range && b instanceof Range) {
    const alike = a.length === b.length && (a.length === 0 || a.start === b.start);
    return alike && (a.length < 2 || a.step === b.step);
  }
  if (a instanceof View && b instanceof View && a.kind !== 'values' && b.kind !== 'values') {
    throw new NotSupported('the comparison of the views of dicts');
  }
  return a === b;
}

/** Items of containers are also equal if they are identical. */
function same(a: Value, b: Value, budget: Budget): boolean {
  budget.spend(1 / 8);
  return a === b || equal(a, b, budget);
}

/** `a < b` and similar: below 0, 0 or above; NaN if unordered. @throws JinjaError for types without an order */
export function compare(a: Value, b: Value, budget: Budget): number {
  const [x, y] = [numeric(a), numeric(b)];
  if (x !== undefined && y !== undefined) return x < y ? -1 : x > y ? 1 : x <= y ? 0 : Number.NaN;
  if (a instanceof Text && b instanceof Text) {
    budget.spend(Math.min(a.value.length, b.value.length) / 64);
    return compareStrings(a, b);
  }
  if ((a instanceof List && b instanceof List) || (a instanceof Tuple && b instanceof Tuple)) {
    const i = a.items.findIndex((item, at) => at >= b.items.length || !same(item, b.items[at]!, budget));
    if (i < 0) return a.items.length - b.items.length;
    if (i >= b.items.length) return 1;
    return budget.deeper(() => compare(a.items[i]!, b.items[i]!, budget));
  }
  if (a instanceof Undefined) a.fail();
  if (b instanceof Undefined) b.fail();
  throw new JinjaError(`'${typeName(a)}' and '${typeName(b)}' have no order`);
}

/** By code points, which outside the basic plane differs from the order of UTF-16 units. */
function compareStrings(a: Text, b: Text): number {
  if (!a.wide && !b.wide) return a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
  const shared = Math.min(a.value.length, b.value.length);
  let i = 0;
  while (i < shared && a.value.charCodeAt(i) === b.value.charCodeAt(i)) i++;
  if (i === shared) return a.value.length - b.value.length;
  const rank = (unit: number) => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit);
  return rank(a.value.charCodeAt(i)) - rank(b.value.charCodeAt(i));
}

/** `item in container`. */
export function contains(container: Value, item: Value, budget: Budget): boolean {
  if (container instanceof Text) {
    if (item instanceof Undefined) throw new JinjaError(`'in <string>' requires string, not Undefined`);
    if (!(item instanceof Text)) throw new JinjaError(`'in <string>' requires string, not ${typeName(item)}`);
    budget.spendSearch(container.value.length, item.value.length);
    return container.value.includes(item.value);
  }
  if (container instanceof Dict) return container.has(item);
  if (container instanceof View && container.kind === 'keys') return container.dict.has(item);
  for (const one of iterate(container)) if (same(one, item, budget)) return true;
  return false;
}

/** `str(value)`, as in output. */
export function textOf(value: Value, budget: Budget): Text {
  if (value instanceof Text) return value;
  if (value instanceof Undefined) return nothing(value, EMPTY);
  if (value instanceof List && value.written !== undefined) throw new JinjaError(value.written);
  return repr(value, budget);
}

/** Requires a value to be a text. */
export function requireText(value: Value, what: string): Text {
  if (value instanceof Text) return value;
  if (value instanceof Undefined) value.fail();
  throw new JinjaError(`${what} must be a text, not ${typeName(value)}`);
}

/** `repr(value)`, as inside a list. */
export function repr(value: Value, budget: Budget): Text {
  const parts: string[] = [];
  const sources: Text[] = [];
  let length = 0;
  const add = (part: string) => {
    length += part.length;
    budget.spendText(part.length);
    if (length > budget.maxText) budget.spendText(length);
    parts.push(part);
  };
  const list = (values: Iterable<Value>, open: string, close: string) => {
    add(open);
    let count = 0;
    for (const item of values) {
      if (count++ > 0) add(', ');
      write(item);
    }
    add(close);
    return count;
  };
  const write = (item: Value): void => {
    budget.spend(1);
    if (item === null) add('None');
    else if (typeof item === 'boolean') add(item ? 'True' : 'False');
    else if (typeof item === 'bigint') add(String(item));
    else if (typeof item === 'number') add(floatText(item));
    else if (item instanceof Text) {
      sources.push(item);
      add(item.markup ? `Markup(${stringRepr(item.value)})` : stringRepr(item.value));
    } else if (item instanceof Undefined) {
      item.use();
      add('Undefined');
    } else if (item instanceof Range) add(rangeText(item));
    else budget.deeper(() => writeContainer(item));
  };
  const writeContainer = (item: Value): void => {
    if (item instanceof List) list(item.items, '[', ']');
    else if (item instanceof Tuple) list(item.items, '(', item.items.length === 1 ? ',)' : ')');
    else if (item instanceof Dict) writeDict(item);
    else if (item instanceof View) list(item.values(), `${typeName(item)}([`, '])');
    else if (item instanceof Namespace) {
      const attributes = new Dict();
      for (const [name, one] of item.attributes) attributes.set(new Text(name), one);
      add('<Namespace ');
      writeDict(attributes);
      add('>');
    } else throw new NotSupported(`a ${typeName(item)} written out`);
  };
  const writeDict = (dict: Dict) => {
    add('{');
    let first = true;
    for (const [key, entry] of dict.entries()) {
      if (!first) add(', ');
      first = false;
      write(key);
      add(': ');
      write(entry);
    }
    add('}');
  };
  write(value);
  return derived(parts.join(''), sources);
}

function rangeText({ start, stop, step }: Range): string {
  return step === 1n ? `range(${start}, ${stop})` : `range(${start}, ${stop}, ${step})`;
}

const UNPRINTABLE = /[\p{C}\p{Z}]/u;
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A string as a Python literal. */
function stringRepr(value: string): string {
  const quote = value.includes("'") && !value.includes('"') ? '"' : "'";
  let text = quote;
  for (const character of value) {
    if (character === quote) text += `\\${character}`;
    else if (ESCAPES[character]) text += ESCAPES[character];
    else if (character !== ' ' && UNPRINTABLE.test(character)) {
      const code = character.codePointAt(0)!;
      const hex = code.toString(16);
      if (code <= 0xff) text += `\\x${hex.padStart(2, '0')}`;
      else text += code <= 0xffff ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
    } else text += character;
  }
  return text + quote;
}
