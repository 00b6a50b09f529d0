import type { CommonConfig } from '../config.ts';

/**
 * How GGUF stores a tensor, compared with Hugging Face's layout. Each transform has an inverse, so that a form serves
 * reading and writing:
 * - `rotary rows`: rows of a head are interleaved pairs in GGUF and halves in Hugging Face (llama.cpp rotates
 *   neighbors);
 * - `plus one`: GGUF stores the norm's weight with the 1 added that the norm adds at run time (Gemma);
 * - `transposed`: `[out, in]` in GGUF, `[in, out]` in Hugging Face (GPT-2's Conv1D).
 */
export type GgufTransform = 'same' | 'rotary rows' | 'plus one' | 'transposed';

/** A tensor's names and how it is stored; `{n}` in a name is the layer index. */
export interface GgufTensorRule {
  readonly ours: string;
  readonly theirs: string;
  readonly transform: GgufTransform;
}

/** An entry of a GGUF file's metadata: its key without the architecture prefix, type and value. */
export type GgufSetting =
  | readonly [key: string, type: 'u32' | 'f32', value: number]
  | readonly [key: string, type: 'string', value: string]
  | readonly [key: string, type: 'bool', value: boolean];

/**
 * A GGUF file as a family reads it. Keys are without the architecture prefix. Each method throws, naming the file and
 * the key, if the key is missing and has no fallback or has another type.
 */
export interface GgufReader {
  has(key: string): boolean;
  value(key: string): unknown;
  text(key: string, fallback?: string): string;
  flag(key: string, fallback: boolean): boolean;
  number(key: string, fallback?: number): number;
  /** A positive integer. */
  count(key: string, fallback?: number): number;
  /** A count that may be given per layer; all layers must then agree. */
  sameCount(key: string, fallback?: number): number;
  hasTensor(name: string): boolean;
  /** `rope_freqs.weight`: the divisor of each rotary frequency. */
  readonly rotaryDivisors: Float32Array | undefined;
  /** Receives a statement of the file that is not followed, as a sentence. */
  warn(warning: string): void;
  /** An error about this file. */
  error(problem: string): Error;
}

/** The error for a model that llama.cpp cannot run. @param problem what llama.cpp lacks. */
export type RefuseGguf = (problem: string) => Error;

/** A family's form in GGUF, the format of llama.cpp. Nothing else needs to know about it. */
export interface GgufForm<C extends CommonConfig = CommonConfig> {
  /** `general.architecture`; several families may share one. */
  readonly architecture: string;
  /**
   * Whether a file of this architecture belongs to this family. Default: it does. The first family that matches is
   * used.
   */
  recognizes?(file: GgufReader): boolean;
  readonly tensors: readonly GgufTensorRule[];
  /** Whether a missing bias is zero if its weight is present. */
  readonly optionalBiases?: boolean;
  /**
   * A config → its metadata, without `vocab_size`, which every file has.
   *
   * @param refused makes the error to throw for what llama.cpp cannot express.
   */
  write(config: C, refused: RefuseGguf): GgufSetting[];
  /** The contents of `rope_freqs.weight`, `[head_dim / 2]`; undefined for a model without the tensor. */
  rotaryDivisors?(config: C): Float32Array | undefined;
  /** The fields of config.json, without those that every family has (vocabulary, tying, special tokens). */
  read(file: GgufReader): Record<string, unknown>;
}

/** Why a family has no GGUF form, as a clause about llama.cpp. */
export interface NoGguf {
  readonly none: string;
}

/** Rows of a table as `[Hugging Face's name, GGUF's name, transform]`, names without the suffixes. */
export type GgufRows = readonly (readonly [ours: string, theirs: string, transform?: GgufTransform])[];

/** @param suffixes of the tensors in each row. */
export function ggufTensors(
  rows: GgufRows,
  suffixes: readonly ('weight' | 'bias')[] = ['weight'],
): GgufTensorRule[] {
  return rows.flatMap(([ours, theirs, transform = 'same']) =>
    suffixes.map((suffix) => ({
      ours: `${ours}.${suffix}`,
      theirs: `${theirs}.${suffix}`,
      // A bias has one axis, so there is nothing to transpose.
      transform: transform === 'transposed' && suffix === 'bias' ? 'same' : transform,
    })),
  );
}
