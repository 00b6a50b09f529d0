import { InvalidArgumentError } from 'commander';
import { bytesOf } from '../../options.ts';

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

export function collect(value: string, previous: string[] = []): string[] {
  return [...previous, value];
}

/** `500MB`, `1.5GiB`, `4096` → bytes. */
export function byteSize(text: string): number {
  const size = bytesOf(text);
  if (!Number.isSafeInteger(size) || size < 1) {
    throw new InvalidArgumentError('Give a size such as 500MB, 5GB or 2GiB.');
  }
  return size;
}
