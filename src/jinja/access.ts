import type { Budget } from './budget.ts';
import { JinjaError, NotSupported } from './errors.ts';
import { positional } from './library/args.ts';
import { textMethod } from './library/text-methods.ts';
import { equal, integer, lengthOf, numeric } from './python.ts';
import { Text, TextBuilder } from './text.ts';
import {
  Callable,
  Dict,
  type Given,
  Lazy,
  List,
  Range,
  Thing,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.ts';

/** Jinja2's `value.name`: the attribute, else the item. */
export function getAttribute(value: Value, name: string): Value {
  if (value instanceof Undefined) value.fail();
  return first(attributeOf(value, name), () =>
    first(itemOf(value, new Text(name)), () => missing(value, name)),
  );
}

/** Jinja2's `value[key]`: the item, else the attribute of that name. */
export function getItem(value: Value, key: Value): Value {
  if (value instanceof Undefined) value.fail();
  const name = key instanceof Text ? key.value : '';
  return first(itemOf(value, key), () =>
    first(key instanceof Text ? attributeOf(value, name) : undefined, () => missing(value, name)),
  );
}

/** The value, unless it is undefined; None counts as a value. */
function first(value: Value | undefined, otherwise: () => Value): Value {
  return value === undefined ? otherwise() : value;
}

const LOOKUP = { attribute: getAttribute, item: getItem };

/** Only the attribute, for the filter `attr`. */
export function onlyAttribute(value: Value, name: string): Value {
  if (value instanceof Undefined) value.fail();
  return first(attributeOf(value, name), () => missing(value, name));
}

function missing(value: Value, name: string): Undefined {
  const what = name === '' ? 'such element' : `attribute '${name}'`;
  return new Undefined(`'${typeName(value)} object' has no ${what}`);
}

function itemOf(value: Value, key: Value): Value | undefined {
  if (value instanceof Dict) {
    if (key instanceof List || key instanceof Dict) return undefined;
    return value.get(key);
  }
  const index = typeof key === 'boolean' ? BigInt(key) : key;
  if (typeof index !== 'bigint') return undefined;
  if (value instanceof Text) {
    const at = place(index, value.length);
    return at === undefined ? undefined : value.slice(value.unit(at), value.unit(at + 1));
  }
  if (value instanceof List || value instanceof Tuple) {
    const at = place(index, value.items.length);
    return at === undefined ? undefined : value.items[at];
  }
  if (value instanceof Range) {
    const at = place(index, value.length);
    return at === undefined ? undefined : value.at(at);
  }
  return undefined;
}

function place(index: bigint, length: number): number | undefined {
  const at = Number(index) + (index < 0n ? length : 0);
  return at >= 0 && at < length ? at : undefined;
}

const NUMBER_ATTRIBUTES =
  /^(?:real|imag|numerator|denominator|conjugate|bit_length|bit_count|to_bytes|from_bytes|as_integer_ratio|is_integer|hex|fromhex)$/;

/** Undefined if there is none; an {@link Undefined} if the sandbox hides it. */
function attributeOf(value: Value, name: string): Value | undefined {
  if (name.startsWith('__') && name.endsWith('__') && !(value instanceof Thing)) {
    return new Undefined(`access to attribute '${name}' of '${typeName(value)}' object is unsafe.`);
  }
  if (value instanceof Text) return textMethod(value, name, LOOKUP);
  if (value instanceof Dict) return dictMethod(value, name);
  if (value instanceof List || value instanceof Tuple) return listAttribute(value, name);
  if (value instanceof Callable) return value.attributes.get(name);
  if (value instanceof Thing) return value.attribute(name);
  if (value instanceof Range) {
    if (name === 'start' || name === 'stop' || name === 'step') return value[name];
    if (name === 'count' || name === 'index') throw new NotSupported(`the method ${name} of a range`);
  }
  if (value instanceof View && (name === 'mapping' || name === 'isdisjoint')) {
    throw new NotSupported(`${name} of the view of a dict`);
  }
  if (numeric(value) !== undefined && NUMBER_ATTRIBUTES.test(name)) {
    throw new NotSupported(`the attribute ${name} of a number`);
  }
  if (value instanceof Lazy && /^(?:send|throw|close|gi_)/.test(name)) {
    throw new NotSupported(`the attribute ${name} of a generator`);
  }
  return undefined;
}

const refusedChange = (value: Value, name: string) =>
  new Undefined(`access to attribute '${name}' of '${typeName(value)}' object is unsafe.`);

const LIST_CHANGES = ['append', 'clear', 'pop', 'reverse', 'insert', 'sort', 'extend', 'remove'];
const DICT_CHANGES = ['clear', 'pop', 'popitem', 'setdefault', 'update'];

function listAttribute(value: List | Tuple, name: string): Value | undefined {
  if (value instanceof Tuple) {
    const field = value.names.indexOf(name);
    if (field >= 0) return value.items[field];
  } else {
    if (LIST_CHANGES.includes(name)) return refusedChange(value, name);
    if (name === 'copy')
      return method('copy', (given) => {
        positional('copy', given, 0, 0);
        return new List(value.items);
      });
  }
  if (name === 'count') {
    return method('count', (given, budget) => {
      const [item] = positional('count', given, 1, 1);
      return BigInt(value.items.filter((one) => one === item || equal(one, item!, budget)).length);
    });
  }
  if (name === 'index') {
    return method('index', (given, budget) => {
      const [item, start, end] = positional('index', given, 1, 3);
      const [from, to] = sliceBounds(value.items.length, start ?? null, end ?? null, 1);
      const at = value.items.findIndex(
        (one, i) => i >= from && i < to && (one === item || equal(one, item!, budget)),
      );
      if (at < 0) throw new JinjaError('index: the item is not in the list');
      return BigInt(at);
    });
  }
  return undefined;
}

const method = (name: string, call: (given: Given, budget: Budget) => Value) => new Callable(name, call);

function dictMethod(dict: Dict, name: string): Value | undefined {
  switch (name) {
    case 'items':
    case 'keys':
    case 'values':
      return method(name, (given) => {
        positional(name, given, 0, 0);
        return new View(dict, name);
      });
    case 'get':
      return method('get', (given) => {
        const [key, otherwise = null] = positional('get', given, 1, 2);
        const found = dict.get(key!);
        return found === undefined ? otherwise : found;
      });
    case 'copy':
      return method('copy', (given, budget) => {
        positional('copy', given, 0, 0);
        budget.spendItems(dict.size);
        const copy = new Dict();
        for (const [key, value] of dict.entries()) copy.set(key, value);
        return copy;
      });
    case 'fromkeys':
      throw new NotSupported('the method fromkeys of a dict');
    default:
      return DICT_CHANGES.includes(name) ? refusedChange(dict, name) : undefined;
  }
}

/** Python's slice bounds in a sequence of `length`. */
function sliceBounds(length: number, start: Value, stop: Value, step: number): [number, number] {
  const bound = (value: Value, otherwise: number) => {
    if (value === null) return otherwise;
    let at = integer(value, 'a bound of a slice');
    if (at < 0) at += length;
    const [least, most] = step < 0 ? [-1, length - 1] : [0, length];
    return Math.min(most, Math.max(least, at));
  };
  return [bound(start, step < 0 ? length - 1 : 0), bound(stop, step < 0 ? -1 : length)];
}

/** `value[start:stop:step]`. @throws JinjaError if the value cannot be sliced */
export function sliceOf(value: Value, start: Value, stop: Value, step: Value, budget: Budget): Value {
  if (value instanceof Undefined) value.fail();
  const isSequence =
    value instanceof Text || value instanceof List || value instanceof Tuple || value instanceof Range;
  // For a constant, Jinja2 returns nothing.
  if (!isSequence) throw new NotSupported(`a slice of a ${typeName(value)}`);
  const by = step === null ? 1 : integer(step, 'the step of a slice');
  if (by === 0) throw new JinjaError('slice step cannot be zero');
  const length = lengthOf(value);
  const [from, to] = sliceBounds(length, start, stop, by);
  const count = Math.max(0, Math.ceil((to - from) / by));
  if (value instanceof Range) {
    const first = value.start + BigInt(from) * value.step;
    const stride = value.step * BigInt(by);
    return new Range(first, stride, count, value.start + BigInt(to) * value.step);
  }
  if (value instanceof Text) {
    budget.spendText(value.value.length);
    if (by === 1) return value.slice(value.unit(from), value.unit(from + count));
    return pick(value, from, by, count, budget);
  }
  budget.spendItems(count);
  const items =
    by === 1
      ? value.items.slice(from, from + count)
      : Array.from({ length: count }, (_, i) => value.items[from + i * by]!);
  return value instanceof List ? new List(items) : new Tuple(items);
}

function pick(text: Text, from: number, by: number, count: number, budget: Budget): Text {
  budget.spend(count / 4);
  const builder = new TextBuilder();
  for (let i = 0; i < count; i++) {
    const at = from + i * by;
    builder.add(text.slice(text.unit(at), text.unit(at + 1)));
  }
  return builder.build();
}

/**
 * Looks up an attribute along a path such as `a.b.0`, as filters take it.
 *
 * @param strict whether what is missing is strictly undefined.
 */
export function attributeGetter(
  path: Value,
  otherwise: Value = null,
  strict = false,
): (item: Value) => Value {
  const parts = pathOf(path);
  return (item) => {
    let value = item;
    for (const part of parts) {
      value = getItem(value, part);
      if (otherwise !== null && value instanceof Undefined) value = otherwise;
    }
    if (strict && value instanceof Undefined) return new Undefined(value.message, true);
    return value;
  };
}

function pathOf(path: Value): readonly Value[] {
  if (path === null) return [];
  if (!(path instanceof Text)) return [path];
  return path.value.split('.').map((part) => (/^\d+$/.test(part) ? BigInt(part) : new Text(part)));
}
