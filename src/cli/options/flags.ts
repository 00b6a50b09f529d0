import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { messageText, RopewalkError, type SpellOption } from '../../errors.ts';
import { fileError } from '../../files/file-errors.ts';
import { camel, kebab, type OptionWords, parseOptions, wordsOf } from '../../options.ts';
import { collect } from './options.ts';
import { asFlag } from './spelling.ts';

/** Options by their camelCase names. */
export type OptionShape = z.ZodRawShape;

/** Default values by option name, for help. */
export type ShownDefaults = Readonly<Record<string, unknown>>;

/**
 * Adds a flag for each option of a shape that has help text, followed by its text in `notes`. Commander gets no
 * defaults: missing values may come from a configuration file, or from the library.
 */
export function addFlags(
  command: Command,
  shape: OptionShape,
  defaults: ShownDefaults = {},
  notes: Readonly<Record<string, string>> = {},
): Command {
  for (const [name, schema] of Object.entries(shape as Record<string, z.ZodType>)) {
    const words = wordsOf(schema);
    if (!words) continue;
    const help = [words.help, notes[name]].filter(Boolean).join('; ');
    command.addOption(flagOf(name, schema, { ...words, help }, defaults[name]));
  }
  return command;
}

/** The same with defaults filled in by commander, for commands without a configuration file. */
export function addFlagsWithDefaults(command: Command, shape: OptionShape, defaults: ShownDefaults): Command {
  addFlags(command, shape, defaults);
  for (const [name, value] of Object.entries(defaults))
    command.setOptionValueWithSource(name, value, 'default');
  return command;
}

function flagOf(name: string, schema: z.ZodType, words: OptionWords, shown: unknown): Option {
  const type = innerOf(schema);
  const flag = kebab(name);
  if (type instanceof z.ZodBoolean) {
    return new Option(shown === true ? `--no-${flag}` : `--${flag}`, words.help);
  }
  const isList = !words.parse && (type instanceof z.ZodArray || type instanceof z.ZodUnion);
  const several = isList || type instanceof z.ZodRecord;
  const isEmpty = shown === undefined || (Array.isArray(shown) && shown.length === 0);
  const help = `${words.help}${several ? '; may be given several times' : ''}${isEmpty ? '' : ` (default: ${String(shown)})`}`;
  const option = new Option(`--${flag} <${words.value ?? 'value'}>`, help);
  if (type instanceof z.ZodEnum) return option.choices(type.options as string[]);
  const { parse } = words;
  if (parse && several) return option.argParser((text: string, before: unknown) => parse(text, before));
  if (isList) return option.argParser(collect);
  return option.argParser(parserOf(type, words));
}

/** Parses a flag's text and checks it against the option's schema. */
export function parserOf(type: z.ZodType, { parse }: OptionWords): (text: string) => unknown {
  const number = (digits: string) => (digits.trim() === '' ? Number.NaN : Number(digits));
  return (text) => {
    const value = parse ? parse(text) : type instanceof z.ZodNumber ? number(text) : text;
    const { error } = type.safeParse(value);
    if (!error) return value;
    const [first, ...rest] = error.issues[0]!.message;
    throw new InvalidArgumentError(`${first!.toUpperCase()}${rest.join('')}.`);
  };
}

function innerOf(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodOptional ? innerOf(schema.unwrap() as z.ZodType) : schema;
}

/** The given options, and where they came from. */
export interface Said<S extends OptionShape> {
  /** Only what was given; the library adds defaults. */
  readonly values: Partial<z.output<z.ZodObject<S>>>;
  /** Spells options in messages as the user wrote them, or would: `--seq`, or `run.yaml: "seq"`. */
  readonly spell: SpellOption;
}

/** Pairs of options of which one replaces the other. */
const INSTEAD: readonly (readonly [string, string])[] = [['steps', 'epochs']];

/**
 * Reads options from the configuration file, overridden by flags.
 *
 * @param file its path; undefined if there is none.
 * @throws RopewalkError naming the flag or the file and the unknown or invalid option.
 */
export async function readOptions<S extends OptionShape>(
  command: Command,
  shape: S,
  file: string | undefined,
): Promise<Said<S>> {
  const stored = file === undefined ? {} : await readYaml(file);
  const given = Object.fromEntries(
    Object.entries(command.opts()).filter(
      ([name]) => name in shape && command.getOptionValueSource(name) === 'cli',
    ),
  );
  for (const [one, other] of [...INSTEAD, ...INSTEAD.map(([a, b]) => [b, a] as const)]) {
    if (one in given && !(other in given)) delete stored[other];
  }
  const spell: SpellOption = (named, usual) => {
    if (named.option in stored && !(named.option in given) && named.value === undefined) {
      return `${file}: "${kebab(named.option)}"`;
    }
    const flag = asFlag(given[named.option] === false ? { ...named, value: false } : named, usual);
    // An option that only files have, or that does not exist.
    return flag === usual && named.value === undefined ? `--${kebab(named.option)}` : flag;
  };
  const values = await spelling(spell, () =>
    parseOptions(z.strictObject(shape).partial(), { ...stored, ...given }),
  );
  return { values: values as Said<S>['values'], spell };
}

/** Runs `work`; options in its errors are spelled as the user wrote them. */
export async function spelling<T>(spell: SpellOption, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RopewalkError)) throw error;
    throw new RopewalkError(messageText(error.parts, spell), { cause: error });
  }
}

async function readYaml(file: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw fileError(error, 'read', file);
  }
  const document = parseDocument(text, { prettyErrors: true });
  const [problem] = document.errors;
  if (problem)
    throw new RopewalkError(
      `${file} is not valid YAML: ${problem.message.split('\n')[0]!.replace(/:$/, '')}.`,
    );
  const value: unknown = document.toJS({ maxAliasCount: 100 }) ?? {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new RopewalkError(`${file}: a configuration is a list of settings, such as "epochs: 2".`);
  }
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [camel(name), each as unknown]));
}
