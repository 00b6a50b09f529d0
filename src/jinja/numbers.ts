import { type Budget, MAX_BITS } from './budget.ts';
import { BudgetExceeded, JinjaError, NotSupported } from './errors.ts';
import type { BinaryOperator } from './parsing/nodes.ts';

/** An int is a bigint, a float a number; a bool counts as an int. */
export type Numeric = bigint | number;

const BOUND = 1n << BigInt(MAX_BITS);

function bounded(value: bigint): bigint {
  if (value >= BOUND || value <= -BOUND) throw new BudgetExceeded('makes a very large number');
  return value;
}

/** The float of an int. @throws JinjaError if it is too large */
export function toFloat(value: Numeric): number {
  if (typeof value === 'number') return value;
  const float = Number(value);
  if (!Number.isFinite(float)) throw new JinjaError('int too large to convert to float');
  return float;
}

/** The int that a float is truncated to. */
export function truncated(value: number): bigint {
  if (!Number.isFinite(value)) throw new JinjaError(`cannot convert float ${floatText(value)} to integer`);
  return BigInt(Math.trunc(value));
}

/** Python's arithmetic. @throws JinjaError for division by zero and results too large for a float */
export function arithmetic(operator: BinaryOperator, a: Numeric, b: Numeric, budget: Budget): Numeric {
  if (typeof a === 'bigint' && typeof b === 'bigint') return integers(operator, a, b, budget);
  return floats(operator, toFloat(a), toFloat(b));
}

function integers(operator: BinaryOperator, a: bigint, b: bigint, budget: Budget): Numeric {
  switch (operator) {
    case '+':
      return bounded(a + b);
    case '-':
      return bounded(a - b);
    case '*':
      return bounded(a * b);
    case '/':
      return trueDivision(a, b);
    case '//':
      return floorDivision(a, b);
    case '%':
      return a - b * floorDivision(a, b);
    case '**':
      return power(a, b, budget);
  }
}

function trueDivision(a: bigint, b: bigint): number {
  if (b === 0n) throw new JinjaError('division by zero');
  const exact = 2n ** 53n;
  const isExact = (value: bigint) => value <= exact && value >= -exact;
  if (!isExact(a) || !isExact(b)) throw new NotSupported('the division of integers beyond 2**53');
  return Number(a) / Number(b);
}

function floorDivision(a: bigint, b: bigint): bigint {
  if (b === 0n) throw new JinjaError('integer division or modulo by zero');
  const quotient = a / b;
  return a % b !== 0n && a < 0n !== b < 0n ? quotient - 1n : quotient;
}

function power(a: bigint, b: bigint, budget: Budget): Numeric {
  if (b < 0n) {
    if (a === 0n) throw new JinjaError('0.0 cannot be raised to a negative power');
    return floats('**', toFloat(a), toFloat(b));
  }
  if (a === 0n || a === 1n || a === -1n) return b === 0n ? 1n : a === -1n && b % 2n === 0n ? 1n : a;
  const bits = BigInt(a.toString(2).length) * b;
  if (bits > BigInt(MAX_BITS) + b) throw new BudgetExceeded('makes a very large number');
  budget.spend(Number(bits) / 64);
  return bounded(a ** b);
}

function floats(operator: BinaryOperator, a: number, b: number): number {
  switch (operator) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      if (b === 0) throw new JinjaError('float division by zero');
      return a / b;
    case '//':
      return floatDivision(a, b)[0];
    case '%':
      return floatDivision(a, b)[1];
    case '**':
      return floatPower(a, b);
  }
}

/** Python's floor division, and the remainder, which has the divisor's sign. */
function floatDivision(a: number, b: number): [number, number] {
  if (b === 0) throw new JinjaError('float floor division by zero');
  let remainder = a % b;
  let quotient = (a - remainder) / b;
  if (remainder !== 0) {
    if (b < 0 !== remainder < 0) {
      remainder += b;
      quotient -= 1;
    }
  } else remainder = b < 0 ? -0 : 0;
  if (quotient !== 0) {
    const floor = Math.floor(quotient);
    quotient = quotient - floor > 0.5 ? floor + 1 : floor;
  } else quotient = a / b < 0 || Object.is(a / b, -0) ? -0 : 0;
  return [quotient, remainder];
}

/** Only for cases in which every C library rounds the same. */
function floatPower(a: number, b: number): number {
  if (b === 0 || a === 1) return 1;
  if (b === 1) return a;
  const inverse = b === -1 || b === -2;
  if (inverse && a === 0) throw new JinjaError('0.0 cannot be raised to a negative power');
  if (b === 2 && Number.isFinite(a * a)) return a * a;
  if (b === -1) return 1 / a;
  if (b === 0.5 && a > 0) return Math.sqrt(a);
  const result = a ** b;
  // A power of integers is exact if the result has few enough bits.
  if (Number.isInteger(a) && Number.isInteger(b)) {
    if (b > 0 && Math.abs(result) <= 2 ** 53) return result;
    if (b < 0 && Math.abs(a ** -b) <= 2 ** 53) return 1 / a ** -b;
  }
  throw new NotSupported('this power of a float');
}

/** `repr` of a float: the shortest digits that parse to it. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0';
  const [mantissa, exponentText] = value.toExponential().split('e') as [string, string];
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 16) {
    const sign = exponent < 0 ? '-' : '+';
    return `${mantissa}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  // toString would use exponents from 1e21 on and below 1e-6.
  const text = exponent < 0 ? expand(mantissa, exponent) : String(value);
  return text.includes('.') ? text : `${text}.0`;
}

function expand(mantissa: string, exponent: number): string {
  const sign = mantissa.startsWith('-') ? '-' : '';
  return `${sign}0.${'0'.repeat(-exponent - 1)}${mantissa.replace(/[-.]/g, '')}`;
}

/**
 * The digits of a finite float rounded to a number of decimals as in Python: the exact value, ties to even.
 *
 * @param decimals may be negative: -2 rounds to hundreds.
 * @returns the absolute value times ten to the power of `decimals`
 */
function roundedDigits(value: number, decimals: number): bigint {
  const [numerator, denominator] = exactRatio(Math.abs(value));
  const scale = 10n ** BigInt(Math.abs(decimals));
  const [top, bottom] = decimals >= 0 ? [numerator * scale, denominator] : [numerator, denominator * scale];
  const quotient = top / bottom;
  const twice = (top % bottom) * 2n;
  const up = twice > bottom || (twice === bottom && quotient % 2n === 1n);
  return up ? quotient + 1n : quotient;
}

function exactRatio(value: number): [bigint, bigint] {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  const word = bits.getBigUint64(0);
  const exponent = Number((word >> 52n) & 0x7ffn);
  const fraction = word & 0xfffffffffffffn;
  const mantissa = exponent === 0 ? fraction : fraction | 0x10000000000000n;
  const shift = Math.max(1, exponent) - 1075;
  return shift >= 0 ? [mantissa << BigInt(shift), 1n] : [mantissa, 1n << BigInt(-shift)];
}

/** Python's `round(value, decimals)` of a float. */
export function roundFloat(value: number, decimals: number): number {
  if (!Number.isFinite(value) || decimals > 323) return value;
  if (decimals < -308) return value < 0 ? -0 : 0;
  const digits = roundedDigits(value, decimals);
  const rounded = Number(`${digits}e${-decimals}`);
  if (!Number.isFinite(rounded)) throw new JinjaError('rounded value too large to represent');
  return value < 0 || Object.is(value, -0) ? -rounded : rounded;
}

/** Python's `round(value, decimals)` of an int, which stays one. */
export function roundInteger(value: bigint, decimals: number): bigint {
  if (decimals >= 0) return value;
  const unit = 10n ** BigInt(Math.min(-decimals, 5_000));
  const absolute = value < 0n ? -value : value;
  const quotient = absolute / unit;
  const twice = (absolute % unit) * 2n;
  const up = twice > unit || (twice === unit && quotient % 2n === 1n);
  const rounded = (up ? quotient + 1n : quotient) * unit;
  return value < 0n ? -rounded : rounded;
}

/** A number formatted by `%f` (`f`), `%e` (`e`) or `%g` (`g`), without its sign. */
export function formatFloat(
  value: number,
  kind: 'f' | 'e' | 'g',
  precision: number,
  alternate = false,
): string {
  const absolute = Math.abs(value);
  if (Number.isNaN(value)) return 'nan';
  if (absolute === Number.POSITIVE_INFINITY) return 'inf';
  if (kind === 'f') return fixed(absolute, precision, alternate);
  if (kind === 'e') return exponential(absolute, precision, alternate);
  const significant = Math.max(1, precision);
  const [mantissa, exponent] = scientific(absolute, significant - 1);
  const strip = (text: string) =>
    alternate || !text.includes('.') ? text : text.replace(/0+$/, '').replace(/\.$/, '');
  if (exponent < -4 || exponent >= significant) {
    return `${strip(pointed(mantissa, significant - 1, alternate))}e${exponentText(exponent)}`;
  }
  return strip(fixed(absolute, significant - 1 - exponent, alternate));
}

function fixed(value: number, precision: number, alternate: boolean): string {
  return pointed(String(roundedDigits(value, precision)), precision, alternate);
}

/** Digits with a decimal point before the last `decimals`. */
function pointed(digits: string, decimals: number, alternate: boolean): string {
  if (decimals === 0) return alternate ? `${digits}.` : digits;
  const padded = digits.padStart(decimals + 1, '0');
  return `${padded.slice(0, -decimals)}.${padded.slice(-decimals)}`;
}

function exponential(value: number, precision: number, alternate: boolean): string {
  const [digits, exponent] = scientific(value, precision);
  return `${pointed(digits, precision, alternate)}e${exponentText(exponent)}`;
}

const exponentText = (exponent: number) =>
  `${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;

/** `precision + 1` digits, and the exponent of the first. */
function scientific(value: number, precision: number): [string, number] {
  if (value === 0) return ['0'.repeat(precision + 1), 0];
  let exponent = Number(value.toExponential().split('e')[1]);
  let digits = String(roundedDigits(value, precision - exponent));
  if (digits.length > precision + 1) {
    exponent++;
    digits = String(roundedDigits(value, precision - exponent));
  }
  return [digits.padEnd(precision + 1, '0'), exponent];
}
