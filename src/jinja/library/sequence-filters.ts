import { attributeGetter } from '../access.ts';
import type { Budget } from '../budget.ts';
import { JinjaError, NotSupported } from '../errors.ts';
import { arithmetic } from '../numbers.ts';
import {
  compare,
  equal,
  integer,
  itemsOf,
  iterate,
  numeric,
  requireText,
  textOf,
  truthy,
} from '../python.ts';
import { EMPTY, Text } from '../text.ts';
import * as parts from '../text-parts.ts';
import {
  Dict,
  type Given,
  hashKey,
  Lazy,
  List,
  Range,
  Tuple,
  Undefined,
  type Value,
  View,
} from '../values.ts';
import { bind } from './args.ts';
import type { Filter, Tools } from './filters.ts';

/** A text in lower case, for case-insensitive comparison. */
function ignoreCase(value: Value): Value {
  return value instanceof Text ? new Text(value.value.toLowerCase()) : value;
}

function sortKey(attribute: Value | undefined, caseSensitive: Value | undefined): (item: Value) => Value {
  const get = attributeGetter(attribute ?? null);
  return isTrue(caseSensitive) ? get : (item) => ignoreCase(get(item));
}

const isTrue = (value: Value | undefined) => value !== undefined && truthy(value);

/** Sorts as in Python: stable, also when reversed. */
function sorted(
  items: readonly Value[],
  key: (item: Value) => Value,
  reverse: boolean,
  budget: Budget,
): Value[] {
  budget.spend(items.length * Math.log2(items.length + 2));
  const keyed = items.map((item) => ({ item, key: key(item) }));
  const sign = reverse ? -1 : 1;
  // A single item is compared with none, as in Python.
  keyed.sort((a, b) => {
    budget.spend(1 / 4);
    const order = compare(a.key, b.key, budget);
    if (Number.isNaN(order)) throw new NotSupported('sorting with nan');
    return sign * order;
  });
  return keyed.map(({ item }) => item);
}

/** The keys of a comma-separated list of attributes, as a list: equal keys need no order. */
function sortKeys(attribute: Value | undefined, caseSensitive: Value | undefined): (item: Value) => Value {
  if (!(attribute instanceof Text) || !attribute.value.includes(',')) {
    const key = sortKey(attribute, caseSensitive);
    return (item) => new List([key(item)]);
  }
  const keys = attribute.value.split(',').map((one) => sortKey(new Text(one), caseSensitive));
  return (item) => new List(keys.map((key) => key(item)));
}

function extreme(name: string, sign: number): Filter {
  return (value, given, { budget }) => {
    const [caseSensitive, attribute] = bind(name, given, ['case_sensitive', 'attribute']);
    const key = sortKey(attribute, caseSensitive);
    let best: { item: Value; key: Value } | undefined;
    for (const item of iterate(value)) {
      budget.spend(1);
      const one = { item, key: key(item) };
      if (!best || sign * compare(one.key, best.key, budget) > 0) best = one;
    }
    return best ? best.item : new Undefined('No aggregated item, sequence was empty.');
  };
}

/** `select`, `reject` and similar, whose items are produced lazily. */
function selecting(name: string, byAttribute: boolean, keep: boolean): Filter {
  return (value, given, tools) => new Lazy(selected(name, value, given, tools, byAttribute, keep));
}

function* selected(
  name: string,
  value: Value,
  { args, kwargs }: Given,
  tools: Tools,
  byAttribute: boolean,
  keep: boolean,
): IterableIterator<Value> {
  if (!truthy(value)) return;
  if (byAttribute && args.length === 0) throw new JinjaError(`${name}: the name of the attribute is missing`);
  const get = byAttribute ? attributeGetter(args[0]!, null, tools.strict) : (item: Value) => item;
  const [test, ...rest] = byAttribute ? args.slice(1) : args;
  const holds = (item: Value) =>
    test === undefined
      ? truthy(item)
      : tools.test(requireText(test, 'the test').value, item, { args: rest, kwargs });
  for (const item of iterate(value)) {
    tools.budget.spend(1);
    if (holds(get(item)) === keep) yield item;
  }
}

function* mapped(value: Value, { args, kwargs }: Given, tools: Tools): IterableIterator<Value> {
  if (!truthy(value)) return;
  let change: (item: Value) => Value;
  if (args.length === 0 && kwargs.has('attribute')) {
    const [attribute, otherwise] = bind('map', { args, kwargs }, ['attribute', 'default']);
    change = attributeGetter(attribute!, otherwise ?? null, tools.strict);
  } else {
    const [name, ...rest] = args;
    if (name === undefined) throw new JinjaError('map needs a filter');
    change = (item) => tools.filter(requireText(name, 'the filter').value, item, { args: rest, kwargs });
  }
  for (const item of iterate(value)) {
    tools.budget.spend(1);
    yield change(item);
  }
}

function* unique(value: Value, key: (item: Value) => Value, budget: Budget): IterableIterator<Value> {
  const seen = new Set<string>();
  for (const item of iterate(value)) {
    budget.spend(1);
    const hash = hashKey(key(item));
    budget.spendText(hash.length);
    if (seen.has(hash)) continue;
    seen.add(hash);
    yield item;
  }
}

function* batches(value: Value, size: number, fill: Value, budget: Budget): IterableIterator<Value> {
  let batch: Value[] = [];
  for (const item of iterate(value)) {
    budget.spend(1);
    if (batch.length === size) {
      yield new List(batch);
      batch = [];
    }
    batch.push(item);
  }
  if (batch.length === 0) return;
  if (fill !== null && batch.length < size) {
    budget.spendItems(size);
    batch.push(...new Array<Value>(size - batch.length).fill(fill));
  }
  yield new List(batch);
}

function* slices(value: Value, count: number, fill: Value, budget: Budget): IterableIterator<Value> {
  const items = itemsOf(value, budget);
  if (count === 0) throw new JinjaError('integer division or modulo by zero');
  const each = Math.floor(items.length / count);
  const larger = items.length - each * count;
  let offset = 0;
  for (let i = 0; i < count; i++) {
    budget.spend(1);
    const start = offset + i * each;
    if (i < larger) offset++;
    const slice = items.slice(start, offset + (i + 1) * each);
    if (fill !== null && i >= larger) slice.push(fill);
    yield new List(slice);
  }
}

function first(value: Value, given: Given): Value {
  bind('first', given, []);
  const next = iterate(value).next();
  return next.done ? new Undefined('No first item, sequence was empty.') : next.value;
}

function last(value: Value, given: Given, { budget }: Tools): Value {
  bind('last', given, []);
  const item = reversible(value, budget).at(-1);
  return item === undefined ? new Undefined('No last item, sequence was empty.') : item;
}

/** Accepts what Python's `reversed` accepts. */
function reversible(value: Value, budget: Budget): readonly Value[] {
  if (value instanceof Undefined) value.use();
  if (value instanceof Undefined) return [];
  const isReversible =
    value instanceof Text ||
    value instanceof List ||
    value instanceof Tuple ||
    value instanceof Dict ||
    value instanceof View ||
    value instanceof Range;
  if (!isReversible) throw new JinjaError('this object is not reversible');
  return itemsOf(value, budget);
}

function sum(value: Value, given: Given, { budget }: Tools): Value {
  const [attribute = null, start = 0n] = bind('sum', given, ['attribute', 'start']);
  const get = attributeGetter(attribute);
  let total = start;
  if (total instanceof Text) throw new JinjaError("sum() can't sum strings");
  for (const item of iterate(value)) {
    budget.spend(1);
    const one = get(item);
    const [a, b] = [numeric(total), numeric(one)];
    if (total instanceof List && one instanceof List) {
      budget.spendItems(total.items.length + one.items.length);
      total = new List([...total.items, ...one.items]);
    } else if (a !== undefined && b !== undefined) {
      total = arithmetic('+', a, b, budget);
    } else {
      if (one instanceof Undefined) one.fail();
      throw new JinjaError('sum: an item is no number');
    }
  }
  return total;
}

export const SEQUENCE_FILTERS: Readonly<Record<string, Filter>> = {
  list: (value, given, { budget }) => {
    bind('list', given, []);
    return new List([...itemsOf(value, budget)]);
  },
  join: (value, given, { budget, strict }) => {
    const [separator = EMPTY, attribute = null] = bind('join', given, ['d', 'attribute']);
    const get = attributeGetter(attribute, null, strict);
    const texts = itemsOf(value, budget).map((item) => textOf(get(item), budget).plain());
    return parts.join(textOf(separator, budget).plain(), texts, budget);
  },
  first,
  last,
  sum,
  min: extreme('min', -1),
  max: extreme('max', 1),
  map: (value, given, tools) => new Lazy(mapped(value, given, tools)),
  select: selecting('select', false, true),
  reject: selecting('reject', false, false),
  selectattr: selecting('selectattr', true, true),
  rejectattr: selecting('rejectattr', true, false),
  sort: (value, given, { budget }) => {
    const names = ['reverse', 'case_sensitive', 'attribute'];
    const [reverse, caseSensitive, attribute] = bind('sort', given, names);
    const key = sortKeys(attribute, caseSensitive);
    return new List(sorted(itemsOf(value, budget), key, isTrue(reverse), budget));
  },
  unique: (value, given, { budget }) => {
    const [caseSensitive, attribute] = bind('unique', given, ['case_sensitive', 'attribute']);
    return new Lazy(unique(value, sortKey(attribute, caseSensitive), budget));
  },
  reverse: (value, given, { budget }) => {
    bind('reverse', given, []);
    if (value instanceof Text) {
      budget.spendText(value.value.length);
      return parts.join(EMPTY, [...itemsOf(value, budget)].reverse() as Text[], budget);
    }
    if (value instanceof Lazy) return new List([...itemsOf(value, budget)].reverse());
    return new Lazy([...reversible(value, budget)].reverse()[Symbol.iterator]());
  },
  batch: (value, given, { budget }) => {
    const [count, fill = null] = bind('batch', given, ['linecount', 'fill_with'], 1);
    return new Lazy(batches(value, integer(count!, 'batch'), fill, budget));
  },
  slice: (value, given, { budget }) => {
    const [count, fill = null] = bind('slice', given, ['slices', 'fill_with'], 1);
    return new Lazy(slices(value, integer(count!, 'slice'), fill, budget));
  },
  items: (value, given) => {
    bind('items', given, []);
    if (value instanceof Undefined) value.use();
    if (value instanceof Undefined) return new Lazy([][Symbol.iterator]());
    if (!(value instanceof Dict)) throw new JinjaError('Can only get item pairs from a mapping.');
    return new Lazy(new View(value, 'items').values());
  },
  dictsort: (value, given, { budget }) => {
    const names = ['case_sensitive', 'by', 'reverse'];
    const [caseSensitive, by = new Text('key'), reverse] = bind('dictsort', given, names);
    const which = requireText(by, 'by').value;
    if (which !== 'key' && which !== 'value') throw new JinjaError('dictsort sorts by key or by value');
    if (value instanceof Undefined) value.fail();
    if (!(value instanceof Dict)) throw new JinjaError('dictsort needs a mapping');
    const pairs = itemsOf(new View(value, 'items'), budget);
    const place = which === 'key' ? 0n : 1n;
    return new List(sorted(pairs, sortKey(place, caseSensitive), isTrue(reverse), budget));
  },
  groupby: (value, given, { budget }) => {
    const names = ['attribute', 'default', 'case_sensitive'];
    const [attribute, otherwise = null, caseSensitive] = bind('groupby', given, names, 1);
    const get = attributeGetter(attribute!, otherwise);
    const key = isTrue(caseSensitive) ? get : (item: Value) => ignoreCase(get(item));
    const groups: { key: Value; items: Value[] }[] = [];
    for (const item of sorted(itemsOf(value, budget), key, false, budget)) {
      const group = groups.at(-1);
      const one = key(item);
      if (group && equal(group.key, one, budget)) group.items.push(item);
      else groups.push({ key: one, items: [item] });
    }
    const fields = ['grouper', 'list'];
    return new List(groups.map((group) => new Tuple([get(group.items[0]!), new List(group.items)], fields)));
  },
};
