import { RopewalkError } from '../errors.ts';
import { isObject, type JsonObject } from './tokenizer-schema.ts';

/** A pattern of `Split` and `Replace` as tokenizer.json writes it. */
export type JsonPattern = { readonly String: string } | { readonly Regex: string };

/**
 * Reads a component of tokenizer.json (a normalizer, a pre-tokenizer …): fields are read as in the Rust library, and
 * missing or mistyped ones are refused by name. As there, unknown fields are ignored: older versions wrote some
 * without meaning.
 */
export class Component {
  private constructor(
    readonly json: JsonObject,
    /** Its path in the file, for error messages: `pre_tokenizer.pretokenizers[0]`. */
    readonly path: string,
    /** The file's name in error messages. */
    readonly source: string,
  ) {}

  static of(json: unknown, path: string, source: string): Component {
    if (isObject(json)) return new Component(json, path, source);
    throw new RopewalkError(`${source}: the field "${path}" is not an object`);
  }

  /** @throws RopewalkError always, about a field of this component or the whole component */
  fail(problem: string, field?: string): never {
    throw new RopewalkError(
      `${this.source}: the field "${this.path}${field === undefined ? '' : `.${field}`}" ${problem}`,
    );
  }

  /** The builder for the component's type. @throws RopewalkError naming a type that is not among them */
  select<T>(builders: Readonly<Record<string, T>>): T {
    const { type } = this.json;
    if (typeof type === 'string' && Object.hasOwn(builders, type)) return builders[type]!;
    const name = type === undefined ? 'no type' : `the type ${shortened(type)}`;
    return this.fail(`has ${name}; Ropewalk runs ${Object.keys(builders).join(', ')}`);
  }

  flag(field: string, missing?: boolean): boolean {
    const value = this.json[field] ?? missing;
    return typeof value === 'boolean' ? value : this.fail('is not true or false', field);
  }

  text(field: string): string {
    const value = this.json[field];
    return isText(value) ? value : this.fail('is not a string', field);
  }

  /** A string of one code point, Rust's `char`. */
  character(field: string): string {
    const value = this.text(field);
    const isOne = value !== '' && value.length === (value.codePointAt(0)! > 0xffff ? 2 : 1);
    return isOne ? value : this.fail('is not a single character', field);
  }

  /** An integer of at least 0. */
  count(field: string, missing?: number): number {
    const value = this.json[field] ?? missing;
    return isCount(value) ? value : this.fail('is not a whole number from 0', field);
  }

  /** One of several strings. */
  choice<T extends string>(field: string, choices: readonly T[], missing?: T): T {
    const value = this.json[field] ?? missing;
    if (choices.includes(value as T)) return value as T;
    return this.fail(`is ${shortened(value)} and not one of ${choices.join(', ')}`, field);
  }

  pattern(field: string): JsonPattern {
    const value = this.json[field];
    if (isObject(value) && Object.keys(value).length === 1) {
      if (isText(value.String)) return { String: value.String };
      if (isText(value.Regex)) return { Regex: value.Regex };
    }
    return this.fail('must be {"String": …} or {"Regex": …}', field);
  }

  list(field: string): unknown[] {
    const value = this.json[field];
    return Array.isArray(value) ? Array.from(value) : this.fail('is not an array', field);
  }

  /** The components of a Sequence. */
  components(field: string): Component[] {
    return this.list(field).map((json, index) =>
      Component.of(json, `${this.path}.${field}[${index}]`, this.source),
    );
  }
}

function shortened(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Whether a value is a well-formed string: JSON can spell a lone surrogate, which the Rust library refuses. */
function isText(value: unknown): value is string {
  return typeof value === 'string' && isWellFormed(value);
}

/** Whether a text has no lone surrogates. */
function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed(); // ES2024, supported by all our engines.
}

/** The text with U+FFFD for each lone surrogate, as when it is written in UTF-8. */
export function toWellFormed(text: string): string {
  return isWellFormed(text) ? text : (text as string & { toWellFormed(): string }).toWellFormed();
}
