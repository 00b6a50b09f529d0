import type { z } from 'zod';
import { oneOf, option } from '../options.ts';
import type { ExportProgress, ExportResult, ExportSource } from './source.node.ts';

/**
 * All that is to be known of a format that models are exported to. Flags, help and errors of `ropewalk export` follow from the
 * list in `formats.node.ts`.
 */
export interface ExportFormat<Shape extends z.ZodRawShape = z.ZodRawShape> {
  /** What `--to` calls it. */
  readonly name: string;
  readonly title: string;
  /** What is written, for help: lines of at most 110 characters. */
  readonly help: readonly string[];
  readonly options: Shape;
  readonly defaults: Partial<Readonly<z.output<z.ZodObject<Shape>>>>;
  /** The option that says what weights are stored in. */
  readonly precision: string & keyof Shape;
  write(
    source: ExportSource,
    path: string,
    options: Partial<Readonly<z.output<z.ZodObject<Shape>>>>,
    onProgress: ExportProgress,
  ): Promise<ExportResult>;
}

/** Tells the compiler what a format's options are. */
export function defineFormat<Shape extends z.ZodRawShape>(format: ExportFormat<Shape>): ExportFormat<Shape> {
  return format;
}

/** What weights are stored in, as PyTorch calls it. */
export function dtypeOption<const T extends readonly [string, ...string[]]>(names: T) {
  return option(oneOf(names), 'what weights are stored in', { value: 'dtype' });
}
