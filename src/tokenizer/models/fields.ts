import { RopewalkError } from '../../errors.ts';
import { isObject, type JsonObject } from '../tokenizer-schema.ts';

/** Reads the fields of `model` in a tokenizer.json; every error names the file and the field. */
export class ModelFields {
  readonly #source: string;

  constructor(
    readonly json: JsonObject,
    source: string,
  ) {
    this.#source = source;
  }

  /** @throws RopewalkError always */
  fail(field: string, problem: string): never {
    throw new RopewalkError(`${this.#source}: the field "model.${field}" ${problem}`);
  }

  /** An object; required. */
  object(field: string): JsonObject {
    const value = this.json[field];
    return isObject(value) ? value : this.fail(field, 'is missing or is not an object');
  }

  /** An array; required. */
  array(field: string): readonly unknown[] {
    const value = this.json[field];
    return Array.isArray(value) ? value : this.fail(field, 'is missing or is not an array');
  }

  /** A string; undefined if missing or null. */
  optionalText(field: string): string | undefined {
    const value = this.json[field] ?? undefined;
    if (value === undefined) return undefined;
    return isText(value) ? value : this.fail(field, 'is not a string');
  }

  /** A string; required. */
  text(field: string): string {
    return this.optionalText(field) ?? this.fail(field, 'is missing');
  }

  /** A Boolean; false if missing or null. */
  flag(field: string): boolean {
    const value = this.json[field] ?? false;
    return typeof value === 'boolean' ? value : this.fail(field, 'must be true or false');
  }

  /** A non-negative integer; undefined if missing or null. */
  optionalCount(field: string): number | undefined {
    const value = this.json[field] ?? undefined;
    if (value === undefined) return undefined;
    return isCount(value) ? value : this.fail(field, 'is not a whole number from 0');
  }
}

/** Whether a value is a well-formed string: JSON can spell a lone surrogate, which Rust's reader refuses. */
export function isText(value: unknown): value is string {
  return typeof value === 'string' && (value as unknown as WellFormed).isWellFormed();
}

/** ES2024, which Node 20 has. */
interface WellFormed {
  isWellFormed(): boolean;
}

/** Whether a value is a non-negative integer. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Untrusted text for an error message: quoted and shortened. */
export function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
