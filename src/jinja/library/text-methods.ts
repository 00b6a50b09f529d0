import type { Budget } from '../budget.ts';
import { capitalize, PREDICATES, swapCase, title } from '../characters.ts';
import { JinjaError, NotSupported } from '../errors.ts';
import { integer, itemsOf, requireText, truthy } from '../python.ts';
import { derived, EMPTY, Text, TextBuilder } from '../text.ts';
import * as parts from '../text-parts.ts';
import { Callable, Dict, type Given, List, Tuple, typeName, type Value } from '../values.ts';
import { bind, positional } from './args.ts';
import { formatText, type Lookup } from './format.ts';

type Method = (text: Text, given: Given, budget: Budget, lookup: Lookup) => Value;

const NOT_SUPPORTED = ['encode', 'translate', 'maketrans', 'expandtabs'];

/** A method of a string; undefined if Python's strings have none with this name. */
export function textMethod(text: Text, name: string, lookup: Lookup): Callable | undefined {
  if (NOT_SUPPORTED.includes(name)) throw new NotSupported(`the method ${name} of texts`);
  const method = Object.hasOwn(METHODS, name) ? METHODS[name] : undefined;
  if (!method) return undefined;
  if (text.markup) throw new NotSupported(`the method ${name} of a text that is marked safe`);
  return new Callable(`str.${name}`, (given, budget) => method(text, given, budget, lookup));
}

/** A method that changes the whole text. */
const changed =
  (name: string, change: (value: string) => string): Method =>
  (text, given, budget) => {
    positional(name, given, 0, 0);
    // Case mappings pass over the text several times.
    budget.spendText(text.value.length * 4);
    return derived(change(text.value), [text]);
  };

const stripping =
  (name: string, ends: parts.Ends): Method =>
  (text, given, budget) => {
    const [characters = null] = positional(name, given, 0, 1);
    return parts.strip(text, ends, characters === null ? undefined : requireText(characters, name), budget);
  };

const splitting =
  (name: string, by: typeof parts.split): Method =>
  (text, given, budget) => {
    const [separator = null, most] = bind(name, given, ['sep', 'maxsplit']);
    const part = separator === null ? undefined : requireText(separator, 'the separator');
    return new List(by(text, part, most === undefined ? -1 : integer(most, 'maxsplit'), budget));
  };

function bounds(text: Text, start: Value | undefined, end: Value | undefined): [number, number] {
  const bound = (value: Value | undefined) =>
    value === undefined || value === null ? undefined : integer(value, 'a position');
  return parts.window(text, bound(start), bound(end));
}

/** `find` and similar: the index of a code point, or -1. */
const finding =
  (name: string, fromEnd: boolean, mustFind: boolean): Method =>
  (text, given, budget) => {
    const [wanted, start, end] = positional(name, given, 1, 3);
    const part = requireText(wanted!, name);
    const [from, to] = bounds(text, start, end);
    budget.spendSearch(text.value.length, part.value.length);
    let at = -1;
    if (from <= to) {
      const value = text.value.slice(text.unit(from), text.unit(to));
      at = fromEnd ? value.lastIndexOf(part.value) : value.indexOf(part.value);
    }
    if (at < 0 && mustFind) throw new JinjaError('substring not found');
    return BigInt(at < 0 ? -1 : text.point(text.unit(from) + at));
  };

const affixed =
  (name: string, atEnd: boolean): Method =>
  (text, given, budget) => {
    const [wanted, start, end] = positional(name, given, 1, 3);
    const all = wanted instanceof Tuple ? wanted.items : [wanted!];
    const [from, to] = bounds(text, start, end);
    budget.spendText(text.value.length);
    if (from > to) return false;
    const value = text.value.slice(text.unit(from), text.unit(to));
    return all.some((one) => {
      const part = requireText(one, name).value;
      return atEnd ? value.endsWith(part) : value.startsWith(part);
    });
  };

const removing =
  (name: string, atEnd: boolean): Method =>
  (text, given) => {
    const [wanted] = positional(name, given, 1, 1);
    const { value } = requireText(wanted!, name);
    const { length } = text.value;
    if (value === '') return text;
    if (atEnd) return text.value.endsWith(value) ? text.slice(0, length - value.length) : text;
    return text.value.startsWith(value) ? text.slice(value.length, length) : text;
  };

const partitioning =
  (name: string, fromEnd: boolean): Method =>
  (text, given, budget) => {
    const [wanted] = positional(name, given, 1, 1);
    const separator = requireText(wanted!, name);
    if (separator.value === '') throw new JinjaError('empty separator');
    budget.spendSearch(text.value.length, separator.value.length);
    const at = fromEnd ? text.value.lastIndexOf(separator.value) : text.value.indexOf(separator.value);
    if (at < 0) return new Tuple(fromEnd ? [EMPTY, EMPTY, text] : [text, EMPTY, EMPTY]);
    const end = at + separator.value.length;
    return new Tuple([text.slice(0, at), separator, text.slice(end, text.value.length)]);
  };

const padding =
  (name: string, place: 'left' | 'right' | 'center'): Method =>
  (text, given, budget) => {
    const [width, fill] = positional(name, given, 1, 2);
    const character = fill === undefined ? ' ' : requireText(fill, name).value;
    if ([...character].length !== 1) throw new JinjaError('the fill character must be one character');
    return parts.pad(text, integer(width!, 'the width'), character, place, budget);
  };

const METHODS: Readonly<Record<string, Method>> = {
  upper: changed('upper', (value) => value.toUpperCase()),
  lower: changed('lower', (value) => value.toLowerCase()),
  casefold: (text, given, budget, lookup) => {
    if (/[^\0-\x7f]/.test(text.value)) throw new NotSupported('casefold beyond ASCII');
    return METHODS.lower!(text, given, budget, lookup);
  },
  capitalize: changed('capitalize', capitalize),
  title: changed('title', title),
  swapcase: changed('swapcase', swapCase),
  strip: stripping('strip', 'both'),
  lstrip: stripping('lstrip', 'start'),
  rstrip: stripping('rstrip', 'end'),
  split: splitting('split', parts.split),
  rsplit: splitting('rsplit', parts.splitFromEnd),
  splitlines: (text, given, budget) => {
    const [keepEnds] = bind('splitlines', given, ['keepends']);
    return new List(parts.splitLines(text, keepEnds !== undefined && truthy(keepEnds), budget));
  },
  replace: (text, given, budget) => {
    const [old, fresh, count] = positional('replace', given, 2, 3);
    const most = count === undefined ? -1 : integer(count, 'the count');
    return parts.replace(text, requireText(old!, 'replace'), requireText(fresh!, 'replace'), most, budget);
  },
  join: (text, given, budget) => {
    const [items] = positional('join', given, 1, 1);
    const texts = itemsOf(items!, budget).map((item, i) => {
      if (item instanceof Text) return item;
      throw new JinjaError(`join: item ${i} is no text but ${typeName(item)}`);
    });
    return parts.join(text, texts, budget);
  },
  find: finding('find', false, false),
  rfind: finding('rfind', true, false),
  index: finding('index', false, true),
  rindex: finding('rindex', true, true),
  count: (text, given, budget) => {
    const [wanted, start, end] = positional('count', given, 1, 3);
    const part = requireText(wanted!, 'count').value;
    const [from, to] = bounds(text, start, end);
    budget.spendSearch(text.value.length, part.length);
    if (from > to) return 0n;
    if (part === '') return BigInt(to - from + 1);
    return BigInt(text.value.slice(text.unit(from), text.unit(to)).split(part).length - 1);
  },
  startswith: affixed('startswith', false),
  endswith: affixed('endswith', true),
  removeprefix: removing('removeprefix', false),
  removesuffix: removing('removesuffix', true),
  partition: partitioning('partition', false),
  rpartition: partitioning('rpartition', true),
  ljust: padding('ljust', 'left'),
  rjust: padding('rjust', 'right'),
  center: padding('center', 'center'),
  zfill: (text, given, budget) => {
    const [width] = positional('zfill', given, 1, 1);
    const signed = /^[+-]/.test(text.value);
    const digits = signed ? text.slice(1, text.value.length) : text;
    const padded = parts.pad(digits, integer(width!, 'the width') - (signed ? 1 : 0), '0', 'right', budget);
    const builder = new TextBuilder();
    if (signed) builder.add(text.slice(0, 1));
    builder.add(padded);
    return builder.build();
  },
  format: (text, { args, kwargs }, budget, lookup) =>
    formatText(text, args, (name) => kwargs.get(name), lookup, budget),
  format_map: (text, given, budget, lookup) => {
    const [mapping] = positional('format_map', given, 1, 1);
    if (!(mapping instanceof Dict)) throw new NotSupported('format_map of anything but a mapping');
    return formatText(text, [], (name) => mapping.get(new Text(name)), lookup, budget);
  },
  ...Object.fromEntries(
    Object.entries(PREDICATES).map(([name, holds]): [string, Method] => [
      name,
      (text, given, budget) => {
        positional(name, given, 0, 0);
        budget.spendText(text.value.length * 2);
        return holds(text.value);
      },
    ]),
  ),
};
