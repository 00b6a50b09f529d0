/** Numbers are written with at most this many digits: each such decimal is a distinct IEEE 754 double. */
const MOST_DIGITS = 15;
const LIMIT = 10 ** MOST_DIGITS - 1;
/** Unbounded numbers stay below this, which leaves six decimals. */
const USUAL_LIMIT = 10 ** 9;
const USUAL_DECIMALS = 6;

const ZERO = 48;
const MINUS = 45;
const POINT = 46;

/** The constraints on a number. */
export interface NumberRules {
  readonly integer: boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  /** With few digits (`isStep`). */
  readonly multipleOf?: readonly number[];
}

/**
 * A partial number in plain notation: its sign, its digits as an integer, and how many of them follow the point;
 * `decimals` −1 is before the point, `digits` 0 is only a sign.
 */
export interface PartialNumber {
  readonly negative: boolean;
  readonly value: number;
  readonly digits: number;
  readonly decimals: number;
}

/**
 * The multiples of a step between two bounds, as decimals with a fixed maximum number of decimals. All arithmetic is
 * exact: a number is an integer below 10¹⁵, multiplied by `scale`.
 */
export class DecimalRange {
  readonly #decimals: number;
  readonly #low: number;
  readonly #high: number;
  readonly #step: number;

  constructor(rules: NumberRules) {
    const steps = rules.multipleOf ?? [];
    const lower = Math.max(rules.minimum ?? -Infinity, rules.exclusiveMinimum ?? -Infinity);
    const upper = Math.min(rules.maximum ?? Infinity, rules.exclusiveMaximum ?? Infinity);
    // A bound beyond all our numbers is ignored.
    const given = [lower, upper].filter((bound) => Math.abs(bound) <= LIMIT);
    const magnitude = Math.max(0, ...given.map(Math.abs));
    const whole = rules.integer || steps.some(Number.isInteger);
    const open = Math.min(LIMIT, Math.max(USUAL_LIMIT, 10 ** (String(Math.trunc(magnitude)).length + 1)) - 1);
    const isOpen = given.length < 2;
    const largest = isOpen ? open : magnitude;
    const room = MOST_DIGITS - String(Math.trunc(largest)).length;
    const wanted = Math.max(USUAL_DECIMALS, ...given.map((bound) => decimalsOf(bound) + 1));
    if (whole) this.#decimals = 0;
    else if (steps.length > 0) this.#decimals = Math.max(...steps.map(decimalsOf));
    else this.#decimals = Math.max(0, Math.min(room, wanted));
    const floor = (value: number, exclusive: boolean) => scaled(value, this.#decimals, 'down', exclusive);
    const ceil = (value: number, exclusive: boolean) => scaled(value, this.#decimals, 'up', exclusive);
    // Without bounds, an integer may have all digits, another number as many as leave room for decimals.
    const limit = whole ? LIMIT : Math.min(LIMIT, (isOpen ? open + 1 : LIMIT) * 10 ** this.#decimals - 1);
    this.#low = Math.max(
      -limit,
      ceil(rules.minimum ?? -Infinity, false),
      ceil(rules.exclusiveMinimum ?? -Infinity, true),
    );
    this.#high = Math.min(
      limit,
      floor(rules.maximum ?? Infinity, false),
      floor(rules.exclusiveMaximum ?? Infinity, true),
    );
    // Steps such as 2.5 are combined as integers; among integers only their integer multiples remain.
    const unit = 10 ** Math.max(this.#decimals, ...steps.map(decimalsOf));
    const step = steps.reduce((all, next) => lcm(all, Math.round(next * unit)), 1);
    this.#step = whole ? lcm(step, unit) / unit : step;
  }

  /** The partial number after a first byte; undefined if none of these numbers begins so. */
  start(byte: number): PartialNumber | undefined {
    if (byte === MINUS) {
      const sign = { negative: true, value: 0, digits: 0, decimals: -1 };
      return this.more(sign) < Number.POSITIVE_INFINITY ? sign : undefined;
    }
    return this.next({ negative: false, value: 0, digits: 0, decimals: -1 }, byte);
  }

  /** The partial number after one more byte; undefined if it can no longer become one of these numbers. */
  next(from: PartialNumber, byte: number): PartialNumber | undefined {
    let to: PartialNumber;
    if (byte === POINT) {
      if (from.digits === 0 || from.decimals >= 0 || this.#decimals === 0) return undefined;
      to = { ...from, decimals: 0 };
    } else {
      const digit = byte - ZERO;
      if (digit < 0 || digit > 9 || from.decimals === this.#decimals) return undefined;
      if (from.decimals < 0 && from.digits > 0 && from.value === 0) return undefined; // 01 is not valid JSON
      to = {
        negative: from.negative,
        value: from.value * 10 + digit,
        digits: from.digits + 1,
        decimals: from.decimals < 0 ? -1 : from.decimals + 1,
      };
    }
    return this.complete(to) || this.more(to) < Number.POSITIVE_INFINITY ? to : undefined;
  }

  /** Whether it is one of these numbers as it stands. */
  complete(number: PartialNumber): boolean {
    if (number.digits === 0 || number.decimals === 0) return false;
    const unit = 10 ** (this.#decimals - Math.max(0, number.decimals));
    return this.#has(number.negative, number.value * unit, number.value * unit, 1);
  }

  /** The least number of further bytes, at least one, that complete it; Infinity if none do. */
  more(number: PartialNumber): number {
    if (number.digits === 0) {
      let least = Number.POSITIVE_INFINITY;
      for (let digit = 0; digit <= 9; digit++) {
        const first = { ...number, value: digit, digits: 1 };
        least = Math.min(least, this.complete(first) ? 1 : 1 + this.more(first));
      }
      return least;
    }
    const { negative, value, decimals } = number;
    if (decimals >= 0) {
      for (let added = 1; decimals + added <= this.#decimals; added++) {
        if (this.#extends(negative, value, added, this.#decimals - decimals - added)) return added;
      }
      return Number.POSITIVE_INFINITY;
    }
    const mostDigits = value === 0 ? 0 : MOST_DIGITS + 1 - number.digits;
    for (let added = 1; added <= mostDigits + 1 + this.#decimals; added++) {
      if (added <= mostDigits && this.#extends(negative, value, added, this.#decimals)) return added;
      const behind = Math.min(this.#decimals, added - 1);
      for (let after = 1; after <= behind; after++) {
        if (added - 1 - after > mostDigits) continue;
        if (this.#extends(negative, value, added - 1, this.#decimals - after)) return added;
      }
    }
    return Number.POSITIVE_INFINITY;
  }

  /** The length of the shortest number; Infinity if there is none. */
  shortest(): number {
    let least = Number.POSITIVE_INFINITY;
    for (const byte of [MINUS, ...Array.from({ length: 10 }, (_, digit) => ZERO + digit)]) {
      const first = this.start(byte);
      if (first) least = Math.min(least, this.complete(first) ? 1 : 1 + this.more(first));
    }
    return least;
  }

  /** Whether `value` with `added` more digits and `missing` decimals omitted can be one of these numbers. */
  #extends(negative: boolean, value: number, added: number, missing: number): boolean {
    const unit = 10 ** missing;
    const low = value * 10 ** added * unit;
    return this.#has(negative, low, low + (10 ** added - 1) * unit, unit);
  }

  /** Whether a multiple of `unit` with a magnitude from low to high is one of these numbers. */
  #has(negative: boolean, low: number, high: number, unit: number): boolean {
    // −0 is excluded: validators disagree on whether it is 0.
    const least = Math.max(low, negative ? Math.max(1, -this.#high) : Math.max(0, this.#low));
    const most = Math.min(high, negative ? -this.#low : this.#high);
    if (least > most) return false;
    const step = lcm(this.#step, unit);
    return Math.floor(most / step) * step >= least;
  }
}

/** Whether its multiples can be computed exactly: it has at most 15 digits, including those after the point. */
export function isStep(value: number): boolean {
  const { digits, exponent } = decimal(value);
  return exponent >= -MOST_DIGITS && exponent <= MOST_DIGITS && value <= LIMIT && digits <= BigInt(LIMIT);
}

/**
 * Whether a value is a multiple of a step in decimal: 0.07 is one of 0.01, although floating-point division gives no
 * integer.
 */
export function isMultiple(value: number, step: number): boolean {
  const exponent = Math.min(decimal(value).exponent, decimal(step).exponent);
  return integerOf(value, exponent) % integerOf(step, exponent) === 0n;
}

/** Whether no number at all satisfies the rules, however long; otherwise only our numbers may fail to. */
export function isContradiction(rules: NumberRules): boolean {
  const bounds = [rules.minimum, rules.exclusiveMinimum, rules.maximum, rules.exclusiveMaximum];
  const steps = [...(rules.multipleOf ?? []), ...(rules.integer ? [1] : [])];
  const given = [...bounds.filter((bound) => bound !== undefined), ...steps];
  const exponent = Math.min(0, ...given.map((value) => decimal(value).exponent));
  const of = (value: number | undefined) => (value === undefined ? undefined : integerOf(value, exponent));
  const [minimum, above, maximum, below] = bounds.map(of);
  const low = above !== undefined && (minimum === undefined || above >= minimum) ? above : minimum;
  const high = below !== undefined && (maximum === undefined || below <= maximum) ? below : maximum;
  if (low === undefined || high === undefined) return false;
  if (low > high || (low === high && (low === above || high === below))) return true;
  if (steps.length === 0) return false;
  const step = steps.map((value) => integerOf(value, exponent)).reduce(lcmOf);
  let first = (low / step) * step;
  if (first < low || (first === low && low === above)) first += step;
  return first > high || (first === high && high === below);
}

function lcmOf(a: bigint, b: bigint): bigint {
  let [x, y] = [a, b];
  while (y !== 0n) [x, y] = [y, x % y];
  return (a / x) * b;
}

/** value / 10^exponent, an integer. */
function integerOf(value: number, exponent: number): bigint {
  const { digits, exponent: own } = decimal(value);
  return digits * 10n ** BigInt(own - exponent);
}

function lcm(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y !== 0) [x, y] = [y, x % y];
  return (a / x) * b;
}

/** A number's shortest decimal notation as digits · 10^exponent. */
function decimal(value: number): { digits: bigint; exponent: number } {
  const [mantissa, exponent = '0'] = String(value).split('e') as [string, string?];
  const [whole, fraction = ''] = mantissa.split('.') as [string, string?];
  return { digits: BigInt(whole + fraction), exponent: Number(exponent) - fraction.length };
}

function decimalsOf(value: number): number {
  return Math.max(0, -decimal(value).exponent);
}

/** value · 10^decimals, rounded toward the inside of the bound; if exclusive, never the bound itself. */
function scaled(value: number, decimals: number, way: 'up' | 'down', exclusive: boolean): number {
  if (!Number.isFinite(value)) return value;
  const { digits, exponent } = decimal(value);
  const shift = exponent + decimals;
  if (shift > 400) return digits === 0n ? 0 : digits > 0n ? Infinity : -Infinity;
  let result = shift >= 0 ? digits * 10n ** BigInt(shift) : digits / 10n ** BigInt(-shift);
  const exact = shift >= 0 || result * 10n ** BigInt(-shift) === digits;
  if (!exact) {
    // BigInt division rounds toward zero.
    if (way === 'up' && digits > 0n) result += 1n;
    if (way === 'down' && digits < 0n) result -= 1n;
  } else if (exclusive) result += way === 'up' ? 1n : -1n;
  return Number(result);
}
