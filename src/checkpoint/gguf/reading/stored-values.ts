import { PackedTexts, type StoredValue } from '../texts.ts';
import type { GgufValue } from '../types.ts';

/** A file's metadata. Packed texts become strings when their value is asked for. */
export class StoredValues implements ReadonlyMap<string, GgufValue> {
  readonly #values: ReadonlyMap<string, StoredValue>;

  constructor(values: ReadonlyMap<string, StoredValue>) {
    this.#values = values;
  }

  /** The texts of a key if they are packed. */
  packed(key: string): PackedTexts | undefined {
    const value = this.#values.get(key);
    return value instanceof PackedTexts ? value : undefined;
  }

  get size(): number {
    return this.#values.size;
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  get(key: string): GgufValue | undefined {
    const value = this.#values.get(key);
    return value instanceof PackedTexts ? value.texts() : value;
  }

  keys(): MapIterator<string> {
    return this.#values.keys();
  }

  *entries(): MapIterator<[string, GgufValue]> {
    for (const key of this.keys()) yield [key, this.get(key)!];
  }

  *values(): MapIterator<GgufValue> {
    for (const [, value] of this) yield value;
  }

  [Symbol.iterator](): MapIterator<[string, GgufValue]> {
    return this.entries();
  }

  forEach(visit: (value: GgufValue, key: string, map: ReadonlyMap<string, GgufValue>) => void): void {
    for (const [key, value] of this) visit(value, key, this);
  }
}
