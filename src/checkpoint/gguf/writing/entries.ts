import { RopewalkError } from '../../../errors.ts';
import type { GgufForm } from '../../../families/common/gguf.ts';
import type { CommonConfig } from '../../../families/config.ts';
import type { GgufValue, GgufValueType } from '../types.ts';

/** A metadata entry for `writeGguf`. */
export type GgufEntry = readonly [string, GgufValueType, GgufValue];

/**
 * The metadata of a model's sizes and settings, `{arch}.…`.
 *
 * @param path the model, for messages
 * @throws RopewalkError naming what llama.cpp cannot express
 */
export function entriesFromConfig(form: GgufForm, config: CommonConfig, path: string): GgufEntry[] {
  const { architecture } = form;
  const refused = (problem: string) =>
    new RopewalkError(
      `${path}: ${problem}, which llama.cpp cannot run as ${architecture}; export it as a Hugging Face directory or as ONNX.`,
    );
  const settings = [...form.write(config, refused), ['vocab_size', 'u32', config.vocab_size] as const];
  return settings.map(([key, type, value]): GgufEntry => [`${architecture}.${key}`, type, value]);
}
