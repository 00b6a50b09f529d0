import type { GgufForm, GgufReader } from '../../../families/common/gguf.ts';
import { quote } from '../../safetensors/header.ts';
import { architectures, type FamilyForm, familyForms } from '../forms.ts';
import type { SpecialIds } from '../tokenizer/special-ids.ts';
import type { GgufMetadata } from './metadata.ts';

type RawConfig = Record<string, unknown>;

/** Facts about the tensors that a configuration needs. */
export interface TensorFacts {
  has(name: string): boolean;
  /** Rows of token_embd.weight. */
  readonly vocabSize: number;
  /** Ids of special tokens. */
  readonly tokenIds: SpecialIds;
  /** rope_freqs.weight: the divisor of each rotary frequency. */
  readonly rotaryDivisors: Float32Array | undefined;
  /** Receives a statement of the file that is not followed, as a sentence. */
  warn(warning: string): void;
}

/** A GGUF file's model. */
export interface GgufModel {
  /** The GGUF form of the file's family. */
  readonly form: GgufForm;
  /** Converted to a config.json. */
  readonly config: RawConfig;
}

/**
 * The model that a GGUF file's metadata describe.
 *
 * @throws RopewalkError naming the key that is missing, wrong or not supported.
 */
export function modelFromGguf(metadata: GgufMetadata, tensors: TensorFacts): GgufModel {
  const file = readerOf(metadata, tensors);
  const { family, form } = familyOf(metadata, file);
  const config = {
    architectures: [family.architecture],
    model_type: family.modelType,
    vocab_size: tensors.vocabSize,
    tie_word_embeddings: !tensors.has('output.weight'),
    bos_token_id: tensors.tokenIds.bos ?? null,
    eos_token_id: tensors.tokenIds.eos ?? null,
    pad_token_id: tensors.tokenIds.padding ?? null,
    ...form.read(file),
  };
  return { form, config };
}

function familyOf(metadata: GgufMetadata, file: GgufReader): FamilyForm {
  const { architecture } = metadata;
  const candidates = familyForms().filter(({ form }) => form.architecture === architecture);
  const found = candidates.find(({ form }) => form.recognizes?.(file) ?? true);
  if (found) return found;
  throw metadata.error(
    candidates.length > 0
      ? `it does not match any family with the architecture ${quote(architecture)} that Ropewalk runs: ${candidates.map(({ family }) => family.title).join(', ')}.`
      : `its architecture is ${quote(architecture)}; Ropewalk runs ${architectures()}.`,
  );
}

/** The file as its family reads it. */
function readerOf(metadata: GgufMetadata, tensors: TensorFacts): GgufReader {
  const full = (key: string) => `{arch}.${key}`;
  return {
    has: (key) => metadata.has(full(key)),
    value: (key) => metadata.value(full(key)),
    text: (key, fallback) => metadata.text(full(key), fallback),
    flag: (key, fallback) => metadata.flag(full(key), fallback),
    number: (key, fallback) => metadata.number(full(key), fallback),
    count: (key, fallback) => metadata.count(full(key), fallback),
    sameCount: (key, fallback) => metadata.sameCount(full(key), fallback),
    hasTensor: (name) => tensors.has(name),
    rotaryDivisors: tensors.rotaryDivisors,
    warn: tensors.warn,
    error: (problem) => metadata.error(problem),
  };
}
