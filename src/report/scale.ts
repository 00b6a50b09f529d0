/** Maps a range of numbers to a range of the picture. */
export interface Scale {
  (value: number): number;
  readonly ticks: readonly number[];
  readonly domain: readonly [number, number];
}

function make(
  domain: readonly [number, number],
  ticks: readonly number[],
  position: (value: number) => number,
): Scale {
  return Object.assign(position, { ticks, domain });
}

/** @param count the approximate number of ticks. */
export function linearScale(from: number, to: number, start: number, end: number, count = 6): Scale {
  const span = to - from || 1;
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999)!;
  const ticks: number[] = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++) {
    ticks.push(Number((i * step).toPrecision(12)));
  }
  return make([from, to], ticks, (value) => start + ((value - from) / span) * (end - start));
}

/** Ticks at powers of ten, about `count` at most. */
export function logScale(from: number, to: number, start: number, end: number, count = 7): Scale {
  const [low, high] = [Math.log10(from), Math.log10(to)];
  const first = Math.ceil(low - 1e-9);
  const last = Math.floor(high + 1e-9);
  const every = Math.max(1, Math.ceil((last - first + 1) / count));
  // If few powers fit, adds steps in between.
  const steps = last - first < 2 ? [1, 2, 5] : [1];
  const ticks: number[] = [];
  for (let power = steps.length > 1 ? first - 1 : first; power <= last; power += every) {
    for (const step of steps) {
      const tick = step * 10 ** power;
      if (tick >= from * 0.999 && tick <= to * 1.001) ticks.push(tick);
    }
  }
  const span = high - low || 1;
  return make([from, to], ticks, (value) => start + ((Math.log10(value) - low) / span) * (end - start));
}

/** Doubling steps, for context lengths. */
export function doublingScale(from: number, to: number, start: number, end: number, every = 1): Scale {
  const ticks: number[] = [];
  for (let value = from; value <= to; value *= 2 ** every) ticks.push(value);
  const span = Math.log2(to / from) || 1;
  return make([from, to], ticks, (value) => start + (Math.log2(value / from) / span) * (end - start));
}

/** Powers of ten in exponential notation if that is shorter. */
export function tickText(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  const power = Math.log10(size);
  if ((size < 0.01 || size >= 1e4) && Math.abs(power - Math.round(power)) < 1e-9) {
    return `${value < 0 ? '−' : ''}10${superscript(Math.round(power))}`;
  }
  const text = size >= 1000 ? value.toLocaleString('en') : String(Number(value.toPrecision(4)));
  return text.replace('-', '−');
}

function superscript(power: number): string {
  const digits = '⁰¹²³⁴⁵⁶⁷⁸⁹';
  return [...String(power)].map((sign) => (sign === '-' ? '⁻' : digits[Number(sign)]!)).join('');
}
