import type { Budget } from '../budget.ts';
import { JinjaError, NotSupported } from '../errors.ts';
import { floatText, formatFloat, type Numeric, toFloat, truncated } from '../numbers.ts';
import { numeric, repr, textOf } from '../python.ts';
import { Text, TextBuilder } from '../text.ts';
import { pad } from '../text-parts.ts';
import { Dict, Tuple, typeName, Undefined, type Value } from '../values.ts';

/** Looks up `{value.name}` and `{value[key]}`. */
export interface Lookup {
  attribute(value: Value, name: string): Value;
  item(value: Value, key: Value): Value;
}

/** `template.format(...)` as in the sandbox. */
export function formatText(
  template: Text,
  args: readonly Value[],
  named: (name: string) => Value | undefined,
  lookup: Lookup,
  budget: Budget,
): Text {
  let automatic = 0;
  let explicit = false;
  const fieldValue = (field: string): Value => {
    const [, first, rest] = /^([^.[]*)(.*)$/s.exec(field)!;
    let value: Value | undefined;
    if (first === '' || /^\d+$/.test(first!)) {
      if (first !== '') explicit = true;
      if (explicit && (first === '' || automatic > 0)) {
        throw new JinjaError('format: numbered and unnumbered fields are mixed');
      }
      value = args[first === '' ? automatic++ : Number(first)];
    } else value = named(first!);
    if (value === undefined) throw new JinjaError(`format: there is no argument for {${field}}`);
    return follow(value, rest!, lookup);
  };
  const expand = (text: Text, depth: number): Text => {
    if (depth > 3) throw new JinjaError('format: fields nest too deeply');
    const builder = new TextBuilder();
    const { value } = text;
    let at = 0;
    for (;;) {
      const brace = nextBrace(value, at);
      builder.add(text.slice(at, brace < 0 ? value.length : brace));
      if (brace < 0) return builder.build();
      if (value[brace + 1] === value[brace]) {
        builder.add(text.slice(brace, brace + 1));
        at = brace + 2;
        continue;
      }
      if (value[brace] === '}') throw new JinjaError("format: single '}'");
      const end = closingBrace(value, brace);
      budget.spend(4);
      const { field, conversion, spec } = splitField(value.slice(brace + 1, end));
      const converted = convert(fieldValue(field), conversion, budget);
      builder.add(formatValue(converted, expand(new Text(spec), depth + 1).value, budget));
      budget.spendText(builder.length);
      at = end + 1;
    }
  };
  budget.spendText(template.value.length);
  return expand(template, 1);
}

function nextBrace(value: string, from: number): number {
  for (let at = from; at < value.length; at++) if (value[at] === '{' || value[at] === '}') return at;
  return -1;
}

function closingBrace(value: string, open: number): number {
  let depth = 0;
  let inBrackets = false;
  for (let at = open; at < value.length; at++) {
    const character = value[at];
    if (character === '[' && depth === 1) inBrackets = true;
    else if (character === ']') inBrackets = false;
    else if (character === '{' && !inBrackets) depth++;
    else if (character === '}' && !inBrackets && --depth === 0) return at;
  }
  throw new JinjaError("format: expected '}'");
}

function splitField(inside: string): { field: string; conversion: string; spec: string } {
  let brackets = 0;
  let end = inside.length;
  for (let at = 0; at < inside.length; at++) {
    if (inside[at] === '[') brackets++;
    else if (inside[at] === ']') brackets--;
    else if (brackets === 0 && (inside[at] === ':' || inside[at] === '!')) {
      end = at;
      break;
    }
  }
  const field = inside.slice(0, end);
  if (inside[end] !== '!') return { field, conversion: '', spec: inside.slice(end + 1) };
  const conversion = inside[end + 1] ?? '';
  if (end + 2 < inside.length && inside[end + 2] !== ':') throw new JinjaError("format: expected ':'");
  return { field, conversion, spec: inside.slice(end + 3) };
}

/** Follows `.name` and `[key]` after the first name of a field. */
function follow(given: Value, path: string, lookup: Lookup): Value {
  let value = given;
  let rest = path;
  while (rest !== '') {
    const step = /^(?:\.([^.[]+)|\[([^\]]+)\])/s.exec(rest);
    if (!step) throw new JinjaError(`format: the field ends in ${JSON.stringify(rest)}`);
    const [whole, name, key] = step;
    value = name !== undefined ? lookup.attribute(value, name) : lookup.item(value, keyOf(key!));
    rest = rest.slice(whole.length);
  }
  return value;
}

const keyOf = (key: string): Value => (/^\d+$/.test(key) ? BigInt(key) : new Text(key));

function convert(value: Value, conversion: string, budget: Budget): Value {
  if (conversion === '') return value;
  if (conversion === 's') return textOf(value, budget);
  if (conversion === 'r') return repr(value, budget);
  if (conversion === 'a') throw new NotSupported('the conversion !a');
  throw new JinjaError(`format: there is no conversion ${conversion}`);
}

const SPEC = /^(?:(.)?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/su;

/** `format(value, spec)`: Python's format mini-language, for texts and numbers. */
function formatValue(value: Value, spec: string, budget: Budget): Text {
  if (spec === '') return textOf(value, budget);
  if (value instanceof Undefined) throw new JinjaError('unsupported format string passed to Undefined');
  const match = SPEC.exec(spec);
  if (!match) throw new JinjaError(`format: ${JSON.stringify(spec)} is no format`);
  const [, fill, align, sign, z, alternate, zero, width, grouping, precision, type] = match;
  const size = width === undefined ? 0 : Number(width);
  budget.spendText(size);
  if (value instanceof Text) {
    if (sign || z || alternate || grouping || (type !== undefined && type !== 's') || align === '=') {
      throw new JinjaError(`format: ${JSON.stringify(spec)} is not for texts`);
    }
    if (zero && align === undefined) throw new NotSupported('a width with zeros for a text');
    const points = precision === undefined ? value.length : Math.min(value.length, Number(precision));
    return aligned(
      value.slice(0, value.unit(points)),
      fill ?? (zero ? '0' : ' '),
      align ?? '<',
      size,
      budget,
    );
  }
  const number = numeric(value);
  if (number === undefined) throw new JinjaError(`unsupported format string passed to ${typeName(value)}`);
  if (typeof value === 'boolean' && type === undefined)
    throw new NotSupported('a format of a bool without a type');
  if (z) throw new NotSupported('the format option z');
  const { prefix, digits } = digitsOf(number, type, precision === undefined ? undefined : Number(precision), {
    alternate: alternate !== undefined,
    grouping,
  });
  const isNegative = typeof number === 'bigint' ? number < 0n : number < 0 || Object.is(number, -0);
  const lead = (isNegative ? '-' : sign === '+' ? '+' : sign === ' ' ? ' ' : '') + prefix;
  const place = align ?? (zero ? '=' : '>');
  const filler = fill ?? (zero ? '0' : ' ');
  if (place !== '=') return aligned(new Text(lead + digits), filler, place, size, budget);
  if (grouping && filler === '0') throw new NotSupported('zeros before grouped digits');
  const missing = Math.max(0, size - lead.length - digits.length);
  return new Text(lead + filler.repeat(missing) + digits);
}

function aligned(text: Text, fill: string, align: string, width: number, budget: Budget): Text {
  if (align === '<') return pad(text, width, fill, 'left', budget);
  if (align === '>') return pad(text, width, fill, 'right', budget);
  const missing = Math.max(0, width - text.length);
  const builder = new TextBuilder();
  builder.addString(fill.repeat(missing >> 1));
  builder.add(text);
  builder.addString(fill.repeat(missing - (missing >> 1)));
  return builder.build();
}

function digitsOf(
  number: Numeric,
  type: string | undefined,
  precision: number | undefined,
  { alternate, grouping }: { alternate: boolean; grouping: string | undefined },
): { prefix: string; digits: string } {
  if (typeof number === 'bigint' && (type === undefined || 'bcdnoxX'.includes(type))) {
    if (precision !== undefined) throw new JinjaError('format: an integer has no precision');
    const absolute = number < 0n ? -number : number;
    const base = { b: 2, o: 8, x: 16, X: 16 }[type ?? 'd'] ?? 10;
    if (type === 'c' || type === 'n') throw new NotSupported(`the format type ${type}`);
    const digits = absolute.toString(base);
    const prefix = alternate && base !== 10 ? `0${type}` : '';
    const grouped = grouping ? group(digits, grouping, base === 10 ? 3 : 4) : digits;
    return { prefix, digits: type === 'X' ? grouped.toUpperCase() : grouped };
  }
  if (type === undefined) {
    if (precision === undefined && !alternate) {
      const [whole, rest] = splitPoint(floatText(Math.abs(toFloat(number))));
      return { prefix: '', digits: (grouping ? group(whole, grouping, 3) : whole) + rest };
    }
    throw new NotSupported('a precision of a float without a type');
  }
  if (!'eEfFgG%'.includes(type)) throw new JinjaError(`format: there is no type ${type} for a number`);
  const percent = type === '%';
  const kind = percent ? 'f' : (type.toLowerCase() as 'e' | 'f' | 'g');
  const value = percent ? toFloat(number) * 100 : toFloat(number);
  const [whole, rest] = splitPoint(formatFloat(value, kind, precision ?? 6, alternate));
  const digits = (grouping ? group(whole, grouping, 3) : whole) + rest + (percent ? '%' : '');
  return { prefix: '', digits: 'EFG'.includes(type) ? digits.toUpperCase() : digits };
}

function splitPoint(text: string): [string, string] {
  const end = text.search(/[^\d]/);
  return end < 0 ? [text, ''] : [text.slice(0, end), text.slice(end)];
}

function group(digits: string, separator: string, size: number): string {
  return digits.replace(new RegExp(`\\B(?=(?:[\\da-f]{${size}})+$)`, 'gi'), separator);
}

/** `text % value`. */
export function percentFormat(template: Text, value: Value, budget: Budget): Text {
  const builder = new TextBuilder();
  const args = value instanceof Tuple ? value.items : [value];
  let used = 0;
  let byKey = false;
  const next = (): Value => {
    if (used >= args.length) throw new JinjaError('not enough arguments for format string');
    return args[used++]!;
  };
  const source = template.value;
  const directive = /%(?:\(([^()]*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+)?)?[hlL]?(.)?/gsu;
  let from = 0;
  budget.spendText(source.length);
  for (const match of source.matchAll(directive)) {
    builder.add(template.slice(from, match.index));
    from = match.index + match[0].length;
    budget.spend(4);
    const [whole, key, flags, width, precision, type] = match;
    if (type === undefined) throw new JinjaError('incomplete format');
    if (type === '%') {
      if (whole !== '%%') throw new NotSupported(`the format ${whole}`);
      builder.addString('%');
      continue;
    }
    const star = (given: string | undefined) =>
      given === '*' ? Number(starValue(next())) : given === undefined ? undefined : Number(given);
    let size = star(width);
    const decimals = /\.(?!\d|\*)/.test(whole) ? 0 : star(precision);
    let options = flags!;
    if (size !== undefined && size < 0) {
      options += '-';
      size = -size;
    }
    budget.spendText(Math.max(size ?? 0, decimals ?? 0));
    if (key !== undefined) byKey = true;
    const one = key === undefined ? next() : mapped(value, key);
    builder.add(percentValue(one, type, options, size ?? 0, decimals, budget));
    budget.spendText(builder.length);
  }
  builder.add(template.slice(from, source.length));
  if (!byKey && used < args.length && isNoMapping(value)) {
    throw new JinjaError('not all arguments converted during string formatting');
  }
  return builder.build();
}

function starValue(value: Value): bigint {
  if (typeof value === 'bigint') return value;
  throw new JinjaError('* wants int');
}

/** Python allows unused arguments for mappings. */
function isNoMapping(value: Value): boolean {
  return value instanceof Tuple || value instanceof Text || value === null || numeric(value) !== undefined;
}

function mapped(value: Value, key: string): Value {
  if (!(value instanceof Dict)) throw new JinjaError('format requires a mapping');
  const found = value.get(new Text(key));
  if (found === undefined) throw new JinjaError(`format: there is no ${JSON.stringify(key)}`);
  return found;
}

function percentValue(
  value: Value,
  type: string,
  flags: string,
  width: number,
  precision: number | undefined,
  budget: Budget,
): Text {
  const place = flags.includes('-') ? 'left' : 'right';
  if (type === 's' || type === 'r') {
    const text = type === 's' ? textOf(value, budget) : repr(value, budget);
    const points = precision === undefined ? text.length : Math.min(text.length, precision);
    return pad(text.slice(0, text.unit(points)), width, ' ', place, budget);
  }
  if (type === 'c' || type === 'a') throw new NotSupported(`the format %${type}`);
  if (!'diouxXeEfFgG'.includes(type)) throw new JinjaError(`unsupported format character ${type}`);
  if (value instanceof Undefined) value.fail();
  const given = numeric(value);
  if (given === undefined) throw new JinjaError(`%${type} needs a number, not ${typeName(value)}`);
  const { prefix, digits } = percentDigits(given, type, flags.includes('#'), precision);
  const negative = typeof given === 'bigint' ? given < 0n : given < 0 || Object.is(given, -0);
  const isZero = 'diouxX'.includes(type) && /^0*$/.test(digits);
  const sign = negative && !isZero ? '-' : flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '';
  const lead = sign + prefix;
  const zeros =
    flags.includes('0') && place === 'right' ? Math.max(0, width - lead.length - digits.length) : 0;
  return pad(new Text(lead + '0'.repeat(zeros) + digits), width, ' ', place, budget);
}

function percentDigits(
  given: Numeric,
  type: string,
  alternate: boolean,
  precision: number | undefined,
): { prefix: string; digits: string } {
  if ('eEfFgG'.includes(type)) {
    const digits = formatFloat(
      toFloat(given),
      type.toLowerCase() as 'e' | 'f' | 'g',
      precision ?? 6,
      alternate,
    );
    return { prefix: '', digits: 'EFG'.includes(type) ? digits.toUpperCase() : digits };
  }
  if (typeof given === 'number' && 'oxX'.includes(type)) {
    throw new JinjaError(`%${type} format: an integer is required, not float`);
  }
  const whole = typeof given === 'bigint' ? given : truncated(given);
  const base = { o: 8, x: 16, X: 16 }[type] ?? 10;
  let digits = (whole < 0n ? -whole : whole).toString(base).padStart(precision ?? 0, '0');
  if (type === 'X') digits = digits.toUpperCase();
  return { prefix: alternate && base !== 10 ? `0${type}` : '', digits };
}
