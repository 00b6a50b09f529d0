import { RopewalkError } from '../../errors.ts';
import { PythonFunction } from './task-file.ts';

/** Reads the fields of a mapping in a task file, and keeps track of the fields that were not read. */
export class FieldReader {
  readonly #seen = new Set<string>();

  /** @param where the mapping's name in messages. */
  constructor(
    readonly fields: Readonly<Record<string, unknown>>,
    readonly where: string,
  ) {}

  /** @throws RopewalkError that names the field. */
  refuse(field: string, why: string): never {
    const value = this.fields[field];
    const what = value instanceof PythonFunction ? `the Python function ${value.name}: ` : '';
    throw new RopewalkError(
      `${this.where}: the field "${field}" is not supported: ${what}${why}`.replace(
        'is not supported: it is missing',
        'is missing',
      ),
    );
  }

  /** Whether the field exists and has a value. */
  has(field: string): boolean {
    this.#seen.add(field);
    const value = this.fields[field];
    return value !== undefined && value !== null;
  }

  /** The raw value of a field; undefined if it does not exist. Refuses Python functions. */
  value(field: string): unknown {
    if (!this.has(field)) return undefined;
    const value = this.fields[field];
    const found = functionIn(value);
    if (found) {
      throw new RopewalkError(
        `${this.where}: the field "${field}" needs the Python function ${found.name} (!function), which is not run here; write it as a template or choose another task`,
      );
    }
    return value;
  }

  text(field: string): string | undefined {
    const value = this.value(field);
    if (value === undefined) return undefined;
    // PyYAML's numbers and dates become texts when they are joined.
    if (typeof value === 'number' || typeof value === 'boolean') return String(value);
    if (typeof value !== 'string') this.#wrong(field, 'a text');
    return value as string;
  }

  /** A template, or a number. */
  template(field: string): string | number | undefined {
    const value = this.value(field);
    if (value === undefined || typeof value === 'string' || Number.isInteger(value)) {
      return value as string | number | undefined;
    }
    return this.#wrong(field, 'a text or a whole number');
  }

  count(field: string): number | undefined {
    const value = this.value(field);
    if (value === undefined) return undefined;
    if (!Number.isSafeInteger(value) || (value as number) < 0)
      this.#wrong(field, 'a whole number of at least 0');
    return value as number;
  }

  number(field: string): number | undefined {
    const value = this.value(field);
    if (value === undefined) return undefined;
    if (typeof value !== 'number') this.#wrong(field, 'a number');
    return value as number;
  }

  flag(field: string): boolean | undefined {
    const value = this.value(field);
    if (value === undefined) return undefined;
    if (typeof value !== 'boolean') this.#wrong(field, 'true or false');
    return value as boolean;
  }

  choice<T extends string>(field: string, known: readonly T[], usual: T): T {
    const value = this.value(field) ?? usual;
    if (!known.includes(value as T)) this.#wrong(field, known.join(', '));
    return value as T;
  }

  list(field: string): readonly unknown[] | undefined {
    const value = this.value(field);
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) this.#wrong(field, 'a list');
    return value as readonly unknown[];
  }

  mapping(field: string): Readonly<Record<string, unknown>> | undefined {
    const value = this.value(field);
    if (value === undefined) return undefined;
    if (typeof value !== 'object' || Array.isArray(value)) this.#wrong(field, 'a mapping');
    return value as Readonly<Record<string, unknown>>;
  }

  /** The reader of a nested mapping. */
  within(field: string): FieldReader | undefined {
    if (!this.has(field)) return undefined;
    const value = this.fields[field];
    if (typeof value !== 'object' || Array.isArray(value)) this.#wrong(field, 'a mapping');
    return new FieldReader(value as Record<string, unknown>, `${this.where}: "${field}"`);
  }

  /** Refuses fields that were not read. */
  end(ignored: readonly string[]): void {
    for (const field of Object.keys(this.fields)) {
      if (this.#seen.has(field) || ignored.includes(field)) continue;
      const value = this.fields[field];
      if (value === null || value === undefined) continue;
      throw new RopewalkError(
        `${this.where}: the field "${field}" is unknown; remove it or correct its name`,
      );
    }
  }

  #wrong(field: string, expected: string): never {
    const shown = JSON.stringify(this.fields[field])?.slice(0, 80);
    throw new RopewalkError(`${this.where}: the field "${field}" must be ${expected}, but is ${shown}`);
  }
}

/** A Python function anywhere in a value. */
function functionIn(value: unknown): PythonFunction | undefined {
  if (value instanceof PythonFunction) return value;
  if (typeof value !== 'object' || value === null) return undefined;
  for (const one of Object.values(value)) {
    const found = functionIn(one);
    if (found) return found;
  }
  return undefined;
}
