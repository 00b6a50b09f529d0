import { onlyAttribute } from '../access.ts';
import type { Budget } from '../budget.ts';
import { capitalize, escapeHtml, LINE_ENDS } from '../characters.ts';
import { JinjaError, NotSupported } from '../errors.ts';
import { roundFloat, roundInteger, toFloat, truncated } from '../numbers.ts';
import { SPACES } from '../parsing/lexer.ts';
import { integer, lengthOf, numeric, requireText, textOf, truthy } from '../python.ts';
import { derived, EMPTY, Text, TextBuilder } from '../text.ts';
import * as parts from '../text-parts.ts';
import { Dict, type Given, List, Tuple, typeName, Undefined, type Value } from '../values.ts';
import { bind } from './args.ts';
import { percentFormat } from './format.ts';
import { toJson } from './json.ts';
import { SEQUENCE_FILTERS } from './sequence-filters.ts';

/** What filters and tests may call. */
export interface Tools {
  readonly budget: Budget;
  /** Whether it is an error to use what is undefined: see `RunOptions`. */
  readonly strict: boolean;
  filter(name: string, value: Value, given: Given): Value;
  test(name: string, value: Value, given: Given): boolean;
}

export type Filter = (value: Value, given: Given, tools: Tools) => Value;

const NOT_SUPPORTED = [
  ...['pprint', 'random', 'urlize', 'striptags', 'wordwrap', 'xmlattr', 'filesizeformat'],
];

/** Jinja2's filter with a name. @throws JinjaError if it does not exist or is not supported */
export function filterOf(name: string): Filter {
  if (NOT_SUPPORTED.includes(name)) throw new NotSupported(`the filter ${name}`);
  const filter = Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
  if (!filter) throw new JinjaError(`there is no filter ${name}`);
  return filter;
}

export function isFilter(name: string): boolean {
  return Object.hasOwn(FILTERS, name) || NOT_SUPPORTED.includes(name);
}

const none: Given = { args: [], kwargs: new Map() };

/** A filter without arguments on a value's text. */
const onText =
  (name: string, change: (text: Text, budget: Budget) => Text): Filter =>
  (value, given, { budget }) => {
    bind(name, given, []);
    const text = safeOnly(textOf(value, budget), name);
    budget.spendText(text.value.length * 4);
    return change(text, budget);
  };

function safeOnly(text: Text, name: string): Text {
  if (text.markup) throw new NotSupported(`the filter ${name} of a text that is marked safe`);
  return text;
}

const WORD_BEGINNINGS = new RegExp(`([-${SPACES}({[<]+)`);

/** Words begin at white space, hyphens and opening brackets, unlike in `str.title`. */
function titleWords(text: string): string {
  return text
    .split(WORD_BEGINNINGS)
    .filter((item) => item !== '')
    .map((item) => {
      const first = String.fromCodePoint(item.codePointAt(0)!);
      return first.toUpperCase() + item.slice(first.length).toLowerCase();
    })
    .join('');
}

const FILTERS: Readonly<Record<string, Filter>> = {
  ...SEQUENCE_FILTERS,
  upper: onText('upper', (text) => derived(text.value.toUpperCase(), [text])),
  lower: onText('lower', (text) => derived(text.value.toLowerCase(), [text])),
  capitalize: onText('capitalize', (text) => derived(capitalize(text.value), [text])),
  title: onText('title', (text) => derived(titleWords(text.value), [text])),
  trim: (value, given, { budget }) => {
    const [characters = null] = bind('trim', given, ['chars']);
    const text = safeOnly(textOf(value, budget), 'trim');
    const set = characters === null ? undefined : requireText(characters, 'chars');
    return parts.strip(text, 'both', set, budget);
  },
  string: (value, given, { budget }) => {
    bind('string', given, []);
    return textOf(value, budget);
  },
  safe: (value, given, { budget }) => {
    bind('safe', given, []);
    const text = textOf(value, budget);
    return new Text(text.value, text.spans, true);
  },
  escape: (value, given, { budget }) => {
    bind('escape', given, []);
    const text = textOf(value, budget);
    return text.markup ? text : markup(text, budget);
  },
  e: (value, given, tools) => FILTERS.escape!(value, given, tools),
  forceescape: (value, given, { budget }) => {
    bind('forceescape', given, []);
    return markup(textOf(value, budget), budget);
  },
  replace: (value, given, { budget }) => {
    const [old, fresh, count = null] = bind('replace', given, ['old', 'new', 'count'], 2);
    const most = count === null ? -1 : integer(count, 'the count');
    const text = (one: Value) => textOf(one, budget).plain();
    return parts.replace(text(value), text(old!), text(fresh!), most, budget);
  },
  center: (value, given, { budget }) => {
    const [width = 80n] = bind('center', given, ['width']);
    const text = safeOnly(textOf(value, budget), 'center');
    return parts.pad(text, integer(width, 'the width'), ' ', 'center', budget);
  },
  indent: (value, given, { budget }) => {
    const [width = 4n, first, blank] = bind('indent', given, ['width', 'first', 'blank']);
    const text = safeOnly(requireText(value, 'indent'), 'indent');
    return indent(
      text,
      width,
      first !== undefined && truthy(first),
      blank !== undefined && truthy(blank),
      budget,
    );
  },
  truncate: (value, given, { budget }) => {
    const names = ['length', 'killwords', 'end', 'leeway'];
    const [length = 255n, killWords, end = new Text('...'), leeway = null] = bind('truncate', given, names);
    const ending = requireText(end, 'end');
    const limit = integer(length, 'length');
    const tolerance = leeway === null ? 5 : integer(leeway, 'leeway');
    if (limit < ending.length || tolerance < 0) throw new JinjaError('truncate: the length is too small');
    if (lengthOf(value) <= limit + tolerance) return value;
    const text = safeOnly(requireText(value, 'truncate'), 'truncate');
    const cut = text.slice(0, text.unit(limit - ending.length));
    const kept =
      killWords !== undefined && truthy(killWords)
        ? cut
        : parts.splitFromEnd(cut, new Text(' '), 1, budget)[0]!;
    return parts.join(EMPTY, [kept, ending], budget);
  },
  wordcount: (value, given, { budget }) => {
    bind('wordcount', given, []);
    const text = textOf(value, budget).value;
    budget.spendText(text.length * 4);
    return BigInt(text.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0);
  },
  urlencode: (value, given, { budget }) => {
    bind('urlencode', given, []);
    if (value instanceof Dict || value instanceof List || value instanceof Tuple) {
      throw new NotSupported('urlencode of anything but a text');
    }
    const text = textOf(value, budget);
    budget.spendText(text.value.length * 9);
    const quoted = encodeURIComponent(text.value).replace(/[!'()*]|%2F/g, (one) =>
      one === '%2F' ? '/' : `%${one.charCodeAt(0).toString(16).toUpperCase()}`,
    );
    return derived(quoted, [text]);
  },
  format: (value, { args, kwargs }, { budget }) => {
    if (args.length > 0 && kwargs.size > 0)
      throw new JinjaError('format takes arguments by place or by name');
    const text = safeOnly(textOf(value, budget), 'format');
    if (kwargs.size === 0) return percentFormat(text, new Tuple(args), budget);
    const named = new Dict();
    for (const [name, one] of kwargs) named.set(new Text(name), one);
    return percentFormat(text, named, budget);
  },
  tojson: (value, given, { budget }) => {
    const names = ['ensure_ascii', 'indent', 'separators', 'sort_keys'];
    const [ascii, width = null, separators = null, sortKeys] = bind('tojson', given, names);
    let pair: [string, string] | undefined;
    if (separators !== null) {
      const items = separators instanceof Tuple || separators instanceof List ? separators.items : [];
      if (items.length !== 2) throw new JinjaError('tojson: separators are two texts');
      pair = [requireText(items[0]!, 'a separator').value, requireText(items[1]!, 'a separator').value];
    }
    const options = {
      ensureAscii: ascii !== undefined && truthy(ascii),
      indent: width === null ? undefined : indentOf(width, budget),
      separators: pair,
      sortKeys: sortKeys !== undefined && truthy(sortKeys),
    };
    return toJson(value, options, budget);
  },
  default: (value, given) => {
    const [otherwise = EMPTY, boolean] = bind('default', given, ['default_value', 'boolean']);
    const byTruth = boolean !== undefined && truthy(boolean);
    return value instanceof Undefined || (byTruth && !truthy(value)) ? otherwise : value;
  },
  d: (value, given, tools) => FILTERS.default!(value, given, tools),
  int: (value, given, { budget }) => {
    const [otherwise = 0n, base = 10n] = bind('int', given, ['default', 'base']);
    return toInteger(value, otherwise, integer(base, 'the base'), budget);
  },
  float: (value, given, { budget }) => {
    const [otherwise = 0] = bind('float', given, ['default']);
    if (value instanceof Undefined) value.fail();
    const number = numeric(value);
    if (number !== undefined) return toFloat(number);
    return (value instanceof Text ? readFloat(value.value, budget) : undefined) ?? otherwise;
  },
  abs: (value, given) => {
    bind('abs', given, []);
    const number = needNumber(value, 'abs');
    if (typeof number === 'bigint') return number < 0n ? -number : number;
    return Math.abs(number);
  },
  round: (value, given) => {
    const [precision = 0n, method = new Text('common')] = bind('round', given, ['precision', 'method']);
    const how = requireText(method, 'method').value;
    const decimals = integer(precision, 'the precision');
    const number = needNumber(value, 'round');
    if (how === 'common') {
      return typeof number === 'bigint' ? roundInteger(number, decimals) : roundFloat(number, decimals);
    }
    if (how !== 'ceil' && how !== 'floor') throw new JinjaError('round: the method is common, ceil or floor');
    if (decimals < 0 || decimals > 22) throw new NotSupported(`round by ${how} to ${decimals} decimals`);
    const scale = 10 ** decimals;
    const scaled = toFloat(number) * scale;
    if (!Number.isFinite(scaled)) throw new JinjaError('round: the number is too large');
    return (how === 'ceil' ? Math.ceil(scaled) : Math.floor(scaled)) / scale + 0;
  },
  attr: (value, given) => {
    const [name] = bind('attr', given, ['name'], 1);
    return onlyAttribute(value, requireText(name!, 'the name').value);
  },
  length: (value, given) => {
    bind('length', given, []);
    return BigInt(lengthOf(value));
  },
  count: (value, given, tools) => FILTERS.length!(value, given.args.length ? given : none, tools),
};

function markup(text: Text, budget: Budget): Text {
  budget.spendText(text.value.length * 6);
  const escaped = derived(escapeHtml(text.value), [text]);
  return new Text(escaped.value, escaped.spans, true);
}

function indentOf(width: Value, budget: Budget): string {
  if (width instanceof Text) return width.value;
  const count = Math.max(0, integer(width, 'indent'));
  budget.spendText(count);
  return ' '.repeat(count);
}

function indent(text: Text, width: Value, first: boolean, blank: boolean, budget: Budget): Text {
  const by = width instanceof Text ? width : new Text(indentOf(width, budget));
  const lines = parts.splitLines(text, false, budget);
  // Jinja2 first appends a line end, so that one at the end makes an empty line, and the appended one adds none. A
  // carriage return joins with the appended line end.
  const ends = new RegExp(`(?:${LINE_ENDS.source})$`).test(text.value) && !text.value.endsWith('\r');
  if (text.value === '' || ends) lines.push(EMPTY);
  budget.spendText(text.value.length + lines.length * by.value.length);
  const builder = new TextBuilder();
  lines.forEach((line, i) => {
    if (i > 0) builder.addString('\n');
    if (i === 0 ? first : blank || line.value !== '') builder.add(by);
    builder.add(line);
  });
  return builder.build();
}

function needNumber(value: Value, name: string): bigint | number {
  if (value instanceof Undefined) value.fail();
  const number = numeric(value);
  if (number === undefined) throw new JinjaError(`${name} needs a number, not ${typeName(value)}`);
  return number;
}

function toInteger(value: Value, otherwise: Value, base: number, budget: Budget): Value {
  if (value instanceof Undefined) value.fail();
  const number = numeric(value);
  if (typeof number === 'bigint') return number;
  if (number !== undefined) {
    if (Number.isNaN(number)) return otherwise;
    // Python's int(inf) raises OverflowError, which Jinja2 does not catch.
    return truncated(number);
  }
  if (!(value instanceof Text)) return otherwise;
  budget.spendText(value.value.length);
  const read = readInteger(value.value, base, budget);
  if (read !== undefined) return read;
  const float = readFloat(value.value, budget);
  return float === undefined || !Number.isFinite(float) ? otherwise : truncated(float);
}

/** Python's `int(text, base)`. */
function readInteger(text: string, base: number, budget: Budget): bigint | undefined {
  if (base !== 0 && (base < 2 || base > 36)) return undefined;
  const trimmed = stripSpaces(text, budget).toLowerCase();
  const match = /^([+-]?)(0[box])?_?((?:[\p{Nd}a-z]_?)*[\p{Nd}a-z])$/u.exec(asciiDigits(trimmed));
  if (!match) return undefined;
  const [, sign, prefix = '', body] = match;
  const bases: Readonly<Record<string, number>> = { '0b': 2, '0o': 8, '0x': 16 };
  let digits = body!.replaceAll('_', '');
  let radix = base;
  if (prefix !== '' && (base === 0 || base === bases[prefix])) radix = bases[prefix]!;
  else if (prefix !== '') digits = prefix + digits;
  if (radix === 0) {
    if (/^0+[1-9]/.test(digits)) return undefined;
    radix = 10;
  }
  if (/^[+-]?_/.test(trimmed)) return undefined;
  if (digits.length > 4000) throw new JinjaError('exceeds the limit for integer string conversion');
  let value = 0n;
  for (const digit of digits) {
    const amount = Number.parseInt(digit, 36);
    if (!(amount < radix)) return undefined;
    value = value * BigInt(radix) + BigInt(amount);
  }
  return sign === '-' ? -value : value;
}

/** Python's `float(text)`. */
function readFloat(text: string, budget: Budget): number | undefined {
  budget.spendText(text.length);
  const trimmed = asciiDigits(stripSpaces(text, budget)).toLowerCase();
  if (/^[+-]?(?:inf|infinity)$/.test(trimmed)) return trimmed.startsWith('-') ? -Infinity : Infinity;
  if (/^[+-]?nan$/.test(trimmed)) return Number.NaN;
  if (!/^[+-]?(?:\d+(?:_\d+)*\.?(?:\d+(?:_\d+)*)?|\.\d+(?:_\d+)*)(?:e[+-]?\d+(?:_\d+)*)?$/.test(trimmed)) {
    return undefined;
  }
  return Number(trimmed.replaceAll('_', ''));
}

function stripSpaces(text: string, budget: Budget): string {
  return parts.strip(new Text(text), 'both', undefined, budget).value;
}

/** Converts digits of all scripts to ASCII: every block of ten begins with its zero. */
function asciiDigits(text: string): string {
  if (/^[\0-\x7f]*$/.test(text)) return text;
  return text.replace(/\p{Nd}/gu, (digit) => {
    let value = 0;
    const code = digit.codePointAt(0)!;
    while (value < 9 && /\p{Nd}/u.test(String.fromCodePoint(code - value - 1))) value++;
    return String(value);
  });
}
