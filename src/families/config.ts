import { RopewalkError } from '../errors.ts';
import type { RopeScaling } from '../nn/positions.ts';

/** A config.json as it was read: nothing in it is trusted. */
export type RawConfig = Readonly<Record<string, unknown>>;

const MOST_LAYERS = 10_000;

/** Reads fields one at a time; every error names the file, the field and what to do. */
export class ConfigReader {
  constructor(
    private readonly raw: RawConfig,
    readonly file: string,
  ) {}

  fail(field: string, problem: string): never {
    throw new RopewalkError(`${this.file}: the field "${field}" ${problem}.`);
  }

  has(field: string): boolean {
    return this.raw[field] !== undefined && this.raw[field] !== null;
  }

  value(field: string): unknown {
    return this.raw[field];
  }

  /** A whole number of at least `minimum` (1); a missing field is an error unless a default is given. */
  count(field: string, fallback?: number, minimum = 1): number {
    const value = this.raw[field] ?? fallback;
    if (value === undefined) return this.missing(field, 'a whole number');
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < minimum || value > 2 ** 31) {
      this.fail(field, `must be a whole number of at least ${minimum}, but is ${JSON.stringify(value)}`);
    }
    return value;
  }

  /** How many layers; bounded, because each is built before the weights tell how many there are. */
  layers(field: string): number {
    const layers = this.count(field);
    if (layers > MOST_LAYERS) this.fail(field, `must be at most ${MOST_LAYERS}, but is ${layers}`);
    return layers;
  }

  /** A positive finite number. */
  number(field: string, fallback?: number): number {
    const value = this.raw[field] ?? fallback;
    if (value === undefined) return this.missing(field, 'a number');
    if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) {
      this.fail(field, `must be a number above zero, but is ${JSON.stringify(value)}`);
    }
    return value;
  }

  /** A positive number, or null when it is null or absent. */
  optionalNumber(field: string): number | null {
    return this.has(field) ? this.number(field) : null;
  }

  flag(field: string, fallback: boolean): boolean {
    const value = this.raw[field] ?? fallback;
    if (typeof value !== 'boolean')
      this.fail(field, `must be true or false, but is ${JSON.stringify(value)}`);
    return value;
  }

  /** A probability such as a dropout. */
  fraction(field: string, fallback: number): number {
    const value = this.raw[field] ?? fallback;
    if (typeof value !== 'number' || !(value >= 0 && value < 1)) {
      this.fail(field, `must be at least 0 and below 1, but is ${JSON.stringify(value)}`);
    }
    return value;
  }

  /** One of several strings, each with its meaning. */
  choice<T>(field: string, choices: Readonly<Record<string, T>>, fallback?: string): T {
    const value = this.raw[field] ?? fallback;
    if (value === undefined) return this.missing(field, `one of ${Object.keys(choices).join(', ')}`);
    if (typeof value !== 'string' || !Object.hasOwn(choices, value)) {
      this.fail(field, `is ${JSON.stringify(value)}; supported are ${Object.keys(choices).join(', ')}`);
    }
    return choices[value]!;
  }

  /** A token id or null. */
  tokenId(field: string): number | null {
    return this.has(field) ? this.count(field, undefined, 0) : null;
  }

  /** One token id, several, or none. */
  tokenIds(field: string): number[] {
    const value = this.raw[field];
    if (value === undefined || value === null) return [];
    const list: unknown[] = Array.isArray(value) ? value : [value];
    return list.map((id) => {
      if (typeof id === 'number' && Number.isSafeInteger(id) && id >= 0) return id;
      return this.fail(field, `must be a token id or a list of them, but is ${JSON.stringify(value)}`);
    });
  }

  /** Refuses a field that changes what the model computes, where this family has only one meaning for it. */
  mustBe(field: string, allowed: readonly unknown[]): void {
    if (this.has(field) && !allowed.includes(this.raw[field])) {
      this.fail(
        field,
        `is ${JSON.stringify(this.raw[field])}; only ${allowed.map((a) => JSON.stringify(a)).join(' or ')} is supported`,
      );
    }
  }

  private missing(field: string, what: string): never {
    throw new RopewalkError(
      `${this.file}: the field "${field}" is missing. Add it (${what}); it is in the config.json of the original model.`,
    );
  }
}

export interface RopeConfig {
  readonly rope_theta: number;
  readonly rope_scaling: RopeScaling | null;
}

/**
 * Rotary settings in either form: `rope_parameters {rope_theta, rope_type, …}` (transformers 5) or `rope_theta` and
 * `rope_scaling` (the hub's files). A file with neither is an error: a silent theta of 10000 would be wrong.
 */
export function readRope(reader: ConfigReader): RopeConfig {
  const nested = reader.value('rope_parameters');
  if (nested !== undefined && nested !== null) {
    const inner = nestedReader(reader, 'rope_parameters', nested);
    return { rope_theta: inner.number('rope_theta'), rope_scaling: readScaling(inner) };
  }
  if (!reader.has('rope_theta')) {
    throw new RopewalkError(
      `${reader.file}: neither "rope_parameters" nor "rope_theta" is there. Add "rope_theta" from the original model (10000 for Gemma, 500000 for Llama 3).`,
    );
  }
  const scaling = reader.value('rope_scaling');
  return {
    rope_theta: reader.number('rope_theta'),
    rope_scaling:
      scaling === undefined || scaling === null
        ? null
        : readScaling(nestedReader(reader, 'rope_scaling', scaling)),
  };
}

function nestedReader(reader: ConfigReader, field: string, value: unknown): ConfigReader {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return reader.fail(field, 'must be an object');
  }
  return new ConfigReader(value as RawConfig, `${reader.file}, ${field}`);
}

function readScaling(reader: ConfigReader): RopeScaling | null {
  // Old files call the field "type".
  const field = reader.has('rope_type') || !reader.has('type') ? 'rope_type' : 'type';
  const type = reader.choice(field, { default: null, llama3: 'llama3' } as const, 'default');
  if (type === null) return null;
  return {
    rope_type: type,
    factor: reader.number('factor'),
    low_freq_factor: reader.number('low_freq_factor'),
    high_freq_factor: reader.number('high_freq_factor'),
    original_max_position_embeddings: reader.count('original_max_position_embeddings'),
  };
}

/** Both forms at once, so that transformers 4 and 5 read the same. */
export function writeRope({ rope_theta, rope_scaling }: RopeConfig): Record<string, unknown> {
  return {
    rope_theta,
    rope_scaling,
    rope_parameters: rope_scaling ? { rope_theta, ...rope_scaling } : { rope_theta, rope_type: 'default' },
  };
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
