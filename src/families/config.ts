import { RopewalkError } from '../errors.ts';

/** A config.json as it was read; not trusted. */
export type RawConfig = Readonly<Record<string, unknown>>;

const MOST_LAYERS = 10_000;

/** Receives an assumption about a configuration, as a sentence, to be shown to the user who opens the model. */
export type Warn = (warning: string) => void;

/** The defaults of the class in transformers for fields that a config.json leaves out. */
export interface ClassDefaults {
  /** The class's name, for messages. */
  readonly class: string;
  readonly fields: RawConfig;
  /** Other names of fields that the class knows. */
  readonly aliases?: Readonly<Record<string, string>>;
}

/** Alternative names for GPT-2's and CTRL's sizes that their classes accept. */
export const LAYER_ALIASES = {
  hidden_size: 'n_embd',
  num_hidden_layers: 'n_layer',
  num_attention_heads: 'n_head',
  max_position_embeddings: 'n_positions',
} as const;

/** Reads fields one at a time; every error names the file, the field and the remedy. */
export class ConfigReader {
  readonly #raw: RawConfig;

  /**
   * @param defaults for missing fields (null counts as present). Those that affect the computation are named in a
   *   warning, because the file may have meant other values.
   */
  constructor(
    raw: RawConfig,
    readonly file: string,
    defaults?: ClassDefaults,
    readonly warn: Warn = () => {},
  ) {
    if (!defaults) {
      this.#raw = raw;
      return;
    }
    const own = { ...raw };
    for (const [alias, field] of Object.entries(defaults.aliases ?? {})) {
      if (own[field] === undefined && own[alias] !== undefined) own[field] = own[alias];
    }
    const assumed = Object.entries(defaults.fields).filter(([field]) => own[field] === undefined);
    for (const [field, value] of assumed) own[field] = value;
    this.#raw = own;
    const told = assumed.filter(([field]) => !/_token_id$|^tie_word_embeddings$/.test(field));
    if (told.length > 0) {
      const values = told.map(([field, value]) => `${field} ${JSON.stringify(value)}`).join(', ');
      warn(
        `${file}: fields are missing, and the defaults of transformers' class ${defaults.class} are used: ${values}. Add the original model's values if they differ.`,
      );
    }
  }

  /** @throws RopewalkError that names the file and the field. @param problem what is wrong, after the field's name. */
  fail(field: string, problem: string): never {
    throw new RopewalkError(`${this.file}: the field "${field}" ${problem}.`);
  }

  /** Whether the field is present and not null. */
  has(field: string): boolean {
    return this.#raw[field] !== undefined && this.#raw[field] !== null;
  }

  /** The field as it was read. */
  value(field: string): unknown {
    return this.#raw[field];
  }

  /** An integer of at least `minimum` (1); a missing field is an error unless there is a fallback. */
  count(field: string, fallback?: number, minimum = 1): number {
    const value = this.#raw[field] ?? fallback;
    if (value === undefined) return this.#missing(field, 'a whole number');
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < minimum || value > 2 ** 31) {
      this.fail(field, `must be a whole number of at least ${minimum}, but is ${JSON.stringify(value)}`);
    }
    return value;
  }

  /** The number of layers; bounded, because each is built before the weights show how many there are. */
  layers(field: string): number {
    const layers = this.count(field);
    if (layers > MOST_LAYERS) this.fail(field, `must be at most ${MOST_LAYERS}, but is ${layers}`);
    return layers;
  }

  /** A positive finite number. */
  number(field: string, fallback?: number): number {
    const value = this.#raw[field] ?? fallback;
    if (value === undefined) return this.#missing(field, 'a number');
    if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) {
      this.fail(field, `must be a number above zero, but is ${JSON.stringify(value)}`);
    }
    return value;
  }

  /** A positive number, or null when it is null or absent. */
  optionalNumber(field: string): number | null {
    return this.has(field) ? this.number(field) : null;
  }

  /** True or false. */
  flag(field: string, fallback: boolean): boolean {
    const value = this.#raw[field] ?? fallback;
    if (typeof value !== 'boolean')
      this.fail(field, `must be true or false, but is ${JSON.stringify(value)}`);
    return value;
  }

  /** A probability such as a dropout. */
  fraction(field: string, fallback: number): number {
    const value = this.#raw[field] ?? fallback;
    if (typeof value !== 'number' || !(value >= 0 && value < 1)) {
      this.fail(field, `must be at least 0 and below 1, but is ${JSON.stringify(value)}`);
    }
    return value;
  }

  /** One of several strings, each mapped to its meaning. */
  choice<T>(field: string, choices: Readonly<Record<string, T>>, fallback?: string): T {
    const value = this.#raw[field] ?? fallback;
    if (value === undefined) return this.#missing(field, `one of ${Object.keys(choices).join(', ')}`);
    if (typeof value !== 'string' || !Object.hasOwn(choices, value)) {
      this.fail(field, `is ${JSON.stringify(value)}; supported are ${Object.keys(choices).join(', ')}`);
    }
    return choices[value]!;
  }

  /** A token id or null; old files write −1 for null. */
  tokenId(field: string): number | null {
    return this.has(field) && this.#raw[field] !== -1 ? this.count(field, undefined, 0) : null;
  }

  /** One token id, several, or none (−1 in old files). */
  tokenIds(field: string): number[] {
    const value = this.#raw[field];
    if (value === undefined || value === null) return [];
    const list: unknown[] = Array.isArray(value) ? value : [value];
    const ids = list.filter((id) => id !== -1);
    return ids.map((id) => {
      if (typeof id === 'number' && Number.isSafeInteger(id) && id >= 0) return id;
      return this.fail(field, `must be a token id or a list of them, but is ${JSON.stringify(value)}`);
    });
  }

  /** Refuses a field that changes the computation if this family supports only some values. */
  mustBe(field: string, allowed: readonly unknown[]): void {
    if (this.has(field) && !allowed.includes(this.#raw[field])) {
      this.fail(
        field,
        `is ${JSON.stringify(this.#raw[field])}; only ${allowed.map((a) => JSON.stringify(a)).join(' or ')} is supported`,
      );
    }
  }

  #missing(field: string, what: string): never {
    throw new RopewalkError(
      `${this.file}: the field "${field}" is missing. Add it (${what}); it is in the config.json of the original model.`,
    );
  }
}

/** Fields that every family's config has. */
export interface CommonConfig {
  readonly vocab_size: number;
  readonly tie_word_embeddings: boolean;
  readonly initializer_range: number;
  readonly bos_token_id: number | null;
  readonly eos_token_id: readonly number[];
  readonly pad_token_id: number | null;
}

/** Reads the fields that every family's config has. */
export function readCommon(reader: ConfigReader, tiedByDefault: boolean): CommonConfig {
  return {
    vocab_size: reader.count('vocab_size'),
    tie_word_embeddings: reader.flag('tie_word_embeddings', tiedByDefault),
    initializer_range: reader.number('initializer_range', 0.02),
    bos_token_id: reader.tokenId('bos_token_id'),
    eos_token_id: reader.tokenIds('eos_token_id'),
    pad_token_id: reader.tokenId('pad_token_id'),
  };
}

/** The common fields as both versions of transformers read them. */
export function writeCommon(config: CommonConfig): Record<string, unknown> {
  const eos = config.eos_token_id;
  return {
    vocab_size: config.vocab_size,
    tie_word_embeddings: config.tie_word_embeddings,
    initializer_range: config.initializer_range,
    bos_token_id: config.bos_token_id,
    eos_token_id: eos.length === 0 ? null : eos.length === 1 ? eos[0] : [...eos],
    pad_token_id: config.pad_token_id,
    torch_dtype: 'float32',
    dtype: 'float32',
    use_cache: true,
  };
}
