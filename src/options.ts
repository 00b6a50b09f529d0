import { z } from 'zod';
import { type MessagePart, RopewalkError } from './errors.ts';

/*
 * An option is a zod schema with its help text. The library, configuration files, flags, help and printed settings
 * all come from the same schemas, so that no option is declared twice.
 */

/** The help text of an option. */
export interface OptionWords {
  /** What it does, for `--help`. */
  readonly help: string;
  /** The name of its value there, such as `rate` in `--lr <rate>`. */
  readonly value?: string;
  /**
   * Parses a flag's text where the schema's type does not suffice; `previous` for a flag that is given several times.
   */
  readonly parse?: (text: string, previous?: unknown) => unknown;
  /** The value of `--no-NAME`, if there is such a flag. */
  readonly negated?: unknown;
}

const registry = z.registry<OptionWords>();

/** Attaches help text to a schema. */
export function option<S extends z.ZodType>(
  schema: S,
  help: string,
  words: Omit<OptionWords, 'help'> = {},
): S {
  // A clone, because several options may share a type.
  const own = schema.clone() as S;
  registry.add(own, { help, ...words });
  return own;
}

/** The help text of a schema, however it is wrapped; undefined for an option that only the library has. */
export function wordsOf(schema: z.ZodType): OptionWords | undefined {
  const inner = (schema as Partial<z.ZodOptional<z.ZodType>>).unwrap;
  return registry.get(schema) ?? (inner && wordsOf(inner.call(schema)));
}

/** An invalid option: its message begins with its name, spelled as the caller prints it. */
export class OptionError extends RopewalkError {
  /**
   * @param option its name in camelCase.
   * @param problem what is wrong and what would be valid.
   */
  constructor(
    readonly option: string,
    problem: string | readonly MessagePart[],
  ) {
    super([{ option }, ': ', ...(typeof problem === 'string' ? [problem] : problem)]);
  }
}

/** minLrRatio → min-lr-ratio: as flags and configuration files spell it. */
export function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

export function camel(name: string): string {
  return name.replaceAll(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

const numberOf = (what: string) => `give ${what}`;
const [WHOLE, COUNT, ANY] = [
  'a whole number of at least 0',
  'a whole number of at least 1',
  'a whole number',
].map(numberOf);
const [POSITIVE, LEAST_0, SHARE, BELOW_1] = [
  'a number above 0',
  'a number of at least 0',
  'a number from 0 to 1',
  'a number of at least 0 and below 1',
].map(numberOf);

export const wholeNumber = z.int(WHOLE).min(0, WHOLE);
export const count = z.int(COUNT).min(1, COUNT);
export const integer = z.int(ANY);
export const positive = z.number(POSITIVE).positive(POSITIVE);
export const notNegative = z.number(LEAST_0).min(0, LEAST_0);
export const share = z.number(SHARE).min(0, SHARE).max(1, SHARE);
export const below1 = z.number(BELOW_1).min(0, BELOW_1).lt(1, BELOW_1);
export const text = z.string('give a string');
export const texts = z.array(text, 'give a list of strings');

/** Several texts; a configuration file may give a single one as a string. */
export const textOrTexts = z.union([texts, text], 'give a string or a list of strings');

type Together<T> = (T extends unknown ? (one: T) => void : never) extends (all: infer All) => void
  ? All
  : never;

/** The options of several records in one shape, in their order. Of several by one name, the first record's. */
export function together<R extends { readonly options: z.ZodRawShape }>(
  records: readonly R[],
): Together<R['options']> {
  // The first pass makes the order, the second the values: the last one assigned counts.
  const shapes = [...records, ...records.toReversed()].map(({ options }) => options);
  return Object.assign({}, ...shapes) as Together<R['options']>;
}

const UNITS: Readonly<Record<string, number>> = {
  ...{ '': 1, B: 1, KB: 1e3, MB: 1e6, GB: 1e9, KIB: 2 ** 10, MIB: 2 ** 20, GIB: 2 ** 30 },
};

/** `500MB`, `1.5GiB`, `4096` → bytes; NaN for anything else. */
export function bytesOf(text: string): number {
  const [, number, unit] = /^\s*([\d.]+)\s*([A-Za-z]*)\s*$/.exec(text) ?? [];
  return Math.floor(Number(number) * (UNITS[unit?.toUpperCase() ?? '?'] ?? Number.NaN));
}

const SIZE = 'give a size such as 500MB, 5GB or 2GiB';
/** A number of bytes. */
export const byteCount = z.int(SIZE).min(1, SIZE);

/** One of several names. */
export function oneOf<const T extends readonly [string, ...string[]]>(names: T) {
  return z.enum(names, `give ${listed(names)}`);
}

/** a, b or c */
export function listed(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

/**
 * Checks options against their schemas.
 *
 * @throws OptionError naming the first unknown or invalid option, its value and what would be valid.
 */
export function parseOptions<S extends z.ZodObject>(schema: S, input: unknown): z.output<S> {
  const given = Object.fromEntries(
    Object.entries(input as object).filter(([, value]) => value !== undefined),
  );
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(schema.shape).map(kebab).sort();
    throw new OptionError(issue.keys[0]!, `there is no such option; there are ${known.join(', ')}.`);
  }
  const name = String(issue.path[0] ?? '');
  const value: unknown = given[name];
  throw new OptionError(
    name,
    `${issue.message.replace(/\.$/, '')}, not ${JSON.stringify(value) ?? String(value)}.`,
  );
}
