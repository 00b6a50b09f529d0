import { RopewalkError } from '../../../errors.ts';
import { quote } from '../../safetensors/header.ts';
import { type PackedTexts, packTexts } from '../texts.ts';
import type { GgufValue } from '../types.ts';
import type { GgufFile } from './reader.ts';
import { StoredValues } from './stored-values.ts';

/** A GGUF file's metadata, read by key with readable errors. Keys may begin with the architecture, written `{arch}`. */
export class GgufMetadata {
  readonly architecture: string;

  readonly #file: GgufFile;

  constructor(file: GgufFile) {
    this.#file = file;
    this.architecture = this.text('general.architecture');
  }

  /** The file's name in messages. */
  get name(): string {
    return this.#file.name;
  }

  has(key: string): boolean {
    return this.#file.metadata.has(this.#fullKey(key));
  }

  value(key: string): GgufValue | undefined {
    return this.#file.metadata.get(this.#fullKey(key));
  }

  #fullKey(key: string): string {
    return key.replace('{arch}', this.architecture);
  }

  text(key: string, fallback?: string): string {
    const value = this.value(key) ?? fallback;
    if (typeof value !== 'string') throw this.wrong(key, 'a text');
    return value;
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.value(key) ?? fallback;
    if (typeof value !== 'boolean') throw this.wrong(key, 'true or false');
    return value;
  }

  /** A float32 as the shortest decimal that rounds to it: 1e-5 rather than 0.000009999999747378752. */
  number(key: string, fallback?: number): number {
    const value = this.value(key);
    if (value === undefined && fallback !== undefined) return fallback;
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.wrong(key, 'a number');
    return shortest(value);
  }

  count(key: string, fallback?: number): number {
    const value = this.number(key, fallback);
    if (!Number.isSafeInteger(value) || value < 1) throw this.wrong(key, 'a whole number above 0');
    return value;
  }

  /** A count that may be given per layer; all layers must then agree. */
  sameCount(key: string, fallback?: number): number {
    const value = this.value(key);
    if (value === undefined || typeof value === 'number') return this.count(key, fallback);
    const each = this.numbers(key);
    const [first] = each;
    if (first === undefined || each.some((other) => other !== first) || !(first >= 1)) {
      throw this.wrong(key, 'one whole number above 0 for all layers; layers that differ are not supported');
    }
    return first;
  }

  numbers(key: string): ArrayLike<number> & Iterable<number> & { some(f: (x: number) => boolean): boolean } {
    const value = this.value(key);
    if (
      ArrayBuffer.isView(value) &&
      !(value instanceof BigInt64Array) &&
      !(value instanceof BigUint64Array)
    ) {
      return value as Float32Array;
    }
    throw this.wrong(key, 'a list of numbers');
  }

  texts(key: string): readonly string[] {
    const value = this.value(key);
    if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value as string[];
    throw this.wrong(key, 'a list of texts');
  }

  /** The same without making strings of many. */
  packedTexts(key: string): PackedTexts {
    const { metadata } = this.#file;
    return (
      (metadata instanceof StoredValues ? metadata.packed(this.#fullKey(key)) : undefined) ??
      packTexts(this.texts(key))
    );
  }

  /** The error for a key that is missing or invalid. */
  wrong(key: string, what: string): RopewalkError {
    const full = key.replace('{arch}', this.architecture ?? '');
    const value = this.#file.metadata.get(full);
    if (value === undefined) {
      return new RopewalkError(
        `${this.#file.name}: the key ${quote(full)} is missing; it must be ${what}: convert the model to GGUF again.`,
      );
    }
    const shown = typeof value === 'object' ? 'a list' : quote(String(value).slice(0, 60));
    return new RopewalkError(`${this.#file.name}: the key ${quote(full)} is ${shown}; it must be ${what}.`);
  }

  /** An error about this file. */
  error(message: string): RopewalkError {
    return new RopewalkError(`${this.#file.name}: ${message}`);
  }
}

/** The shortest decimal that rounds to the same float32. */
function shortest(value: number): number {
  if (Math.fround(value) !== value) return value;
  for (let digits = 1; digits <= 9; digits++) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) === value) return decimal;
  }
  return value;
}
