import { InvalidArgumentError } from 'commander';
import { bytesOf } from '../../options.ts';
import { type Device, isDevice } from '../../runtime/devices.ts';

/** Parsers of option values: commander calls them with the text, and names the option in their errors. */

function parse(text: string, fits: (value: number) => boolean, what: string): number {
  const value = Number(text);
  if (text.trim() === '' || !fits(value)) throw new InvalidArgumentError(`Give ${what}.`);
  return value;
}

export function wholeNumber(text: string): number {
  return parse(text, (n) => Number.isSafeInteger(n) && n >= 0, 'a whole number of at least 0');
}

export function count(text: string): number {
  return parse(text, (n) => Number.isSafeInteger(n) && n >= 1, 'a whole number of at least 1');
}

export function integer(text: string): number {
  return parse(text, Number.isSafeInteger, 'a whole number');
}

export function positive(text: string): number {
  return parse(text, (n) => n > 0 && Number.isFinite(n), 'a number above 0');
}

export function notNegative(text: string): number {
  return parse(text, (n) => n >= 0 && Number.isFinite(n), 'a number of at least 0');
}

/** `1,2,3` → [1, 2, 3] */
export function idList(text: string): number[] {
  return text.split(',').map((part) => {
    const id = Number(part);
    if (part.trim() === '' || !Number.isSafeInteger(id) || id < 0) {
      throw new InvalidArgumentError('Give comma-separated token ids, such as 1,2,3.');
    }
    return id;
  });
}

/** Where to compute; see `Device`. */
export function device(text: string): Device {
  if (isDevice(text)) return text;
  throw new InvalidArgumentError('Give cpu, webgpu, cuda, openvino, or the path of a provider library.');
}

export function collect(value: string, previous: string[] = []): string[] {
  return [...previous, value];
}

const BIT_RATES: Readonly<Record<string, number>> = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 };

/** `10Gb/s`, `200Mbit/s`, `1.25GB/s` → bits per second. */
export function bitRate(text: string): number {
  const [, number, unit, kind] = /^([\d.]+)\s*([kMGT])(b|bit|B)(?:\/s|ps)$/.exec(text.trim()) ?? [];
  const rate = Number(number) * (BIT_RATES[unit ?? ''] ?? Number.NaN) * (kind === 'B' ? 8 : 1);
  if (!(rate > 0) || !Number.isFinite(rate)) {
    throw new InvalidArgumentError('Give a rate such as 1Gb/s, 200Mb/s or 1.25GB/s.');
  }
  return rate;
}

const TIMES: Readonly<Record<string, number>> = { us: 1e-6, µs: 1e-6, μs: 1e-6, ms: 1e-3, s: 1 };

/** `50us`, `0.5ms` → seconds. */
export function shortTime(text: string): number {
  const [, number, unit] = /^([\d.]+)\s*([uµμm]?s)$/.exec(text.trim()) ?? [];
  const seconds = Number(number) * (TIMES[unit ?? ''] ?? Number.NaN);
  if (!(seconds >= 0) || !Number.isFinite(seconds)) {
    throw new InvalidArgumentError('Give a time such as 50us or 0.5ms.');
  }
  return seconds;
}

/** `500MB`, `1.5GiB`, `4096` → bytes. */
export function byteSize(text: string): number {
  const size = bytesOf(text);
  if (!Number.isSafeInteger(size) || size < 1) {
    throw new InvalidArgumentError('Give a size such as 500MB, 5GB or 2GiB.');
  }
  return size;
}
