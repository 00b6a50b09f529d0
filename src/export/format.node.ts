import type { z } from 'zod';
import { oneOf, option } from '../options.ts';
import type { ExportProgress, ExportResult, ExportSource } from './source.node.ts';

/**
 * Everything about an export format. The flags, help and errors of `ropewalk export` follow from the list in
 * `formats.node.ts`.
 */
export interface ExportFormat<Shape extends z.ZodRawShape = z.ZodRawShape> {
  /** Its name for `--to`. */
  readonly name: string;
  readonly title: string;
  /** A description of the output, for help: lines of at most 110 characters. */
  readonly help: readonly string[];
  readonly options: Shape;
  readonly defaults: Partial<Readonly<z.output<z.ZodObject<Shape>>>>;
  /** The option for the type of the weights. */
  readonly precision: string & keyof Shape;
  write(
    source: ExportSource,
    path: string,
    options: Partial<Readonly<z.output<z.ZodObject<Shape>>>>,
    onProgress: ExportProgress,
  ): Promise<ExportResult>;
}

/** Infers the types of a format's options. */
export function defineFormat<Shape extends z.ZodRawShape>(format: ExportFormat<Shape>): ExportFormat<Shape> {
  return format;
}

/** The type of the weights, by PyTorch's names. */
export function dtypeOption<const T extends readonly [string, ...string[]]>(names: T) {
  return option(oneOf(names), 'type in which weights are stored', { value: 'dtype' });
}
