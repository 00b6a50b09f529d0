import type { CommonConfig } from '../config.ts';

/**
 * How a tensor is stored in GGUF, against Hugging Face's layout. Each has an inverse, so that a form serves both ways:
 * - `rotary rows`: heads' rows are interleaved pairs there and halves here (llama.cpp turns neighbors);
 * - `plus one`: the norm's weight is stored with the 1 added that the norm adds here (Gemma);
 * - `transposed`: `[out, in]` there, `[in, out]` here (GPT-2's Conv1D).
 */
export type GgufTransform = 'same' | 'rotary rows' | 'plus one' | 'transposed';

/** A tensor's names and how it is stored; `{n}` in a name is the layer's number. */
export interface GgufTensorRule {
  readonly ours: string;
  readonly theirs: string;
  readonly transform: GgufTransform;
}

/** A setting in a GGUF file's metadata: its key without the architecture that stands before it, type and value. */
export type GgufSetting =
  | readonly [key: string, type: 'u32' | 'f32', value: number]
  | readonly [key: string, type: 'string', value: string]
  | readonly [key: string, type: 'bool', value: boolean];

/**
 * A GGUF file as a family reads it. Keys are without the architecture that stands before them. Each reading method
 * throws, naming the file and the key, where the key is missing without a fallback or has another type.
 */
export interface GgufReader {
  has(key: string): boolean;
  value(key: string): unknown;
  text(key: string, fallback?: string): string;
  flag(key: string, fallback: boolean): boolean;
  number(key: string, fallback?: number): number;
  /** A whole number above 0. */
  count(key: string, fallback?: number): number;
  /** A count that may be given for each layer; they must be equal then. */
  sameCount(key: string, fallback?: number): number;
  hasTensor(name: string): boolean;
  /** `rope_freqs.weight`: what each rotary frequency is divided by. */
  readonly rotaryDivisors: Float32Array | undefined;
  /** Takes what the file says and is not followed, a sentence. */
  warn(warning: string): void;
  /** An error about this file. */
  error(problem: string): Error;
}

/** The error that says that llama.cpp cannot run a model. @param problem what the model has that it lacks. */
export type RefuseGguf = (problem: string) => Error;

/** A family's form in GGUF, the format of llama.cpp. Nothing else needs to know of it. */
export interface GgufForm<C extends CommonConfig = CommonConfig> {
  /** `general.architecture`; several families may share one. */
  readonly architecture: string;
  /** Whether a file of the architecture is this family's. Default: it is. Of several, the first one counts. */
  recognizes?(file: GgufReader): boolean;
  readonly tensors: readonly GgufTensorRule[];
  /** Whether a bias that a file lacks is zero, where it has the weight. */
  readonly optionalBiases?: boolean;
  /**
   * A config → the settings that stand for it, without `vocab_size`, which every file has.
   *
   * @param refused makes the error to throw for what llama.cpp has no form for.
   */
  write(config: C, refused: RefuseGguf): GgufSetting[];
  /** What `rope_freqs.weight` holds, `[head_dim / 2]`; undefined for a model without the tensor. */
  rotaryDivisors?(config: C): Float32Array | undefined;
  /** The fields of config.json, without those that every family has (vocabulary, tie, special tokens). */
  read(file: GgufReader): Record<string, unknown>;
}

/** Of a family without a form in GGUF: why, as a clause about llama.cpp. */
export interface NoGguf {
  readonly none: string;
}

/** Rows of a table as `[Hugging Face's name, GGUF's name, transform]`, names without the suffixes. */
export type GgufRows = readonly (readonly [ours: string, theirs: string, transform?: GgufTransform])[];

/** @param suffixes that the tensors of each row have. */
export function ggufTensors(
  rows: GgufRows,
  suffixes: readonly ('weight' | 'bias')[] = ['weight'],
): GgufTensorRule[] {
  return rows.flatMap(([ours, theirs, transform = 'same']) =>
    suffixes.map((suffix) => ({
      ours: `${ours}.${suffix}`,
      theirs: `${theirs}.${suffix}`,
      // A bias has one axis: nothing to transpose.
      transform: transform === 'transposed' && suffix === 'bias' ? 'same' : transform,
    })),
  );
}
