/**
 * An option that a message names: programs call it `maxTokens`, the command line `--max-tokens`. With a value, the
 * message says how to set it.
 */
export interface NamedOption {
  readonly option: string;
  readonly value?: OptionValue;
}

/** A value, or the fields of one: `columns: { prompt: 'NAME' }`, on the command line `--column prompt=NAME`. */
export type OptionValue = string | number | boolean | Readonly<Record<string, string>>;

/** A message in pieces: texts, and the options that it names. */
export type MessagePart = string | NamedOption;

/** Names an option in a message; see {@link said}. */
export function option(name: string, value?: OptionValue): NamedOption {
  return value === undefined ? { option: name } : { option: name, value };
}

/**
 * A message that names options: said`${option('seq')} is too long; choose a smaller one.` An error among the values
 * contributes the options that it names itself.
 */
export function said(
  texts: TemplateStringsArray,
  ...values: readonly (string | number | NamedOption | RopewalkError)[]
): readonly MessagePart[] {
  return texts.flatMap((text, i): MessagePart[] => {
    const value = values[i];
    if (value === undefined) return [text];
    if (value instanceof RopewalkError) return [text, ...value.parts];
    return [text, typeof value === 'object' ? value : String(value)];
  });
}

/** How an option is written in a message; `usual` is the spelling in programs. */
export type SpellOption = (part: NamedOption, usual: string) => string;

/** @param spell how options are written; by default as in programs: `maxTokens`, `memory: 'light'`. */
export function messageText(parts: readonly MessagePart[], spell: SpellOption = (_, usual) => usual): string {
  return parts.map((part) => (typeof part === 'string' ? part : spell(part, usualSpelling(part)))).join('');
}

function usualSpelling({ option, value }: NamedOption): string {
  if (value === undefined) return option;
  if (typeof value === 'string') return `${option}: '${value}'`;
  if (typeof value !== 'object') return `${option}: ${value}`;
  const fields = Object.entries(value).map(([field, each]) => `${field}: '${each}'`);
  return `${option}: { ${fields.join(', ')} }`;
}

/**
 * An error that a user can act on: one line that names the file, field or option and the remedy. The command line
 * prints only its message, without a stack; any other error is a bug in Ropewalk.
 */
export class RopewalkError extends Error {
  override name = 'RopewalkError';
  /** The message in pieces, for callers that spell options differently. */
  readonly parts: readonly MessagePart[];

  constructor(message: string | readonly MessagePart[], options?: ErrorOptions) {
    const parts = typeof message === 'string' ? [message] : message;
    super(messageText(parts), options);
    this.parts = parts;
  }

  /** The options that the message names, as programs call them. */
  get options(): readonly string[] {
    return this.parts.flatMap((part) => (typeof part === 'string' ? [] : [part.option]));
  }
}
