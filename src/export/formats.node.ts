import { z } from 'zod';
import { option as named } from '../errors.ts';
import { OptionError, parseOptions } from '../options.ts';
import type { ExportFormat } from './format.node.ts';
import { gguf } from './gguf.node.ts';
import { huggingFace } from './hf.node.ts';
import { onnx } from './onnx.node.ts';

export type { ExportFormat } from './format.node.ts';

/** The formats, in the order of help. */
export const EXPORT_FORMATS = [huggingFace, onnx, gguf] as unknown as readonly ExportFormat[];

/** @throws OptionError naming the formats that exist. */
export function exportFormat(name: string): ExportFormat {
  const format = EXPORT_FORMATS.find((each) => each.name === name);
  if (format) return format;
  throw new OptionError('to', `give ${EXPORT_FORMATS.map((each) => each.name).join(', ')}, not "${name}".`);
}

/**
 * A format's options, checked and completed with defaults.
 *
 * @throws OptionError for an option that it does not have, or an invalid value.
 */
export function formatOptions(
  format: ExportFormat,
  given: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || Object.hasOwn(format.options, name)) continue;
    const others = EXPORT_FORMATS.filter(({ options }) => Object.hasOwn(options, name));
    const choices = others.flatMap((other, i) => [
      i === 0 ? ', or choose ' : ' or ',
      named('to', other.name),
    ]);
    throw new OptionError(name, [`${format.title} has no such option; leave it out`, ...choices, '.']);
  }
  return { ...format.defaults, ...parseOptions(z.strictObject(format.options).partial(), given) };
}
