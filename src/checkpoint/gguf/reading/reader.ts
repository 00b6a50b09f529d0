import { RopewalkError } from '../../../errors.ts';
import { type ByteSource, type FileStamp, stampsOf } from '../../../files/source.ts';
import { quote } from '../../safetensors/header.ts';
import type { GgmlType, GgufValue } from '../types.ts';
import { type GgufHeader, readHeader } from './header.ts';

/** A tensor of a GGUF file, and its location. */
export interface GgufTensor {
  readonly name: string;
  readonly type: GgmlType;
  /** Row-major, outermost first: ggml's `ne` in reverse. */
  readonly shape: readonly number[];
  /** The part that contains it. */
  readonly source: ByteSource;
  /** From the start of `source`. */
  readonly offset: number;
  readonly byteLength: number;
}

/** A checked GGUF model in one file or several parts. */
export interface GgufFile {
  /** The name in messages; for several parts, the first one's. */
  readonly name: string;
  /** The format version: 2 or 3. */
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** See `TensorReader`. */
  stamps?(): Promise<FileStamp[] | undefined>;
  /** Closes the sources. */
  close(): Promise<void>;
}

/**
 * Opens and checks a GGUF file (little-endian, version 2 or 3); only its header is read. Closing it closes the source;
 * if opening rejects, the source stays open.
 * @throws RopewalkError naming the file, the key or tensor, what is wrong and the remedy; also for a part of a split
 *   model
 */
export async function openGguf(source: ByteSource): Promise<GgufFile> {
  const header = await readHeader(source);
  const count = header.metadata.get('split.count');
  if (typeof count === 'number' && count > 1) {
    throw new RopewalkError(
      `${source.name}: it is one of the ${count} parts of a split model; open all parts together`,
    );
  }
  return join([{ source, header }]);
}

/**
 * Opens a model that llama.cpp's `gguf-split` has split: all parts, in any order. The metadata are those of the first
 * part. Closing it closes the sources; if opening rejects, they stay open.
 * @throws RopewalkError like `openGguf`, and if the parts are not exactly those of one model
 */
export async function openGgufSplit(sources: readonly ByteSource[]): Promise<GgufFile> {
  const [only] = sources;
  if (!only) throw new RopewalkError('no part of a split GGUF model is given; give all of its parts');
  const parts: Part[] = [];
  for (const source of sources) parts.push({ source, header: await readHeader(source) });
  // A single file need not state that it is the only part.
  if (parts.length === 1 && !parts[0]!.header.metadata.has('split.count')) return join(parts);
  const ordered: (Part | undefined)[] = parts.map(() => undefined);
  const tensors = parts.reduce((sum, { header }) => sum + header.tensors.length, 0);
  for (const part of parts) {
    checkField(part, 'split.count', parts.length, 'parts are given');
    checkField(part, 'split.tensors.count', tensors, 'tensors are in the parts');
    const index = part.header.metadata.get('split.no');
    if (typeof index !== 'number' || !Number.isInteger(index) || index < 0 || index >= parts.length) {
      throw new RopewalkError(
        `${part.source.name}: split.no is ${shown(index)}, not a part's number from 0 to ${parts.length - 1}; ` +
          'give the parts of one model',
      );
    }
    const other = ordered[index];
    if (other) {
      throw new RopewalkError(
        `${part.source.name}: it is part ${index + 1}, and so is ${other.source.name}; give each part once`,
      );
    }
    ordered[index] = part;
  }
  return join(ordered.filter((part) => part !== undefined));
}

/**
 * The file names of all parts of a split model, in order, if `name` (with or without folders) is one of them:
 * `model-00001-of-00003.gguf`. Undefined for any other name.
 */
export function splitNames(name: string): string[] | undefined {
  const match = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/s.exec(name);
  if (!match) return undefined;
  const [, prefix, index, total] = match;
  const count = Number(total);
  if (Number(index) < 1 || Number(index) > count) return undefined;
  return Array.from(
    { length: count },
    (_, i) => `${prefix}-${String(i + 1).padStart(5, '0')}-of-${total}.gguf`,
  );
}

interface Part {
  readonly source: ByteSource;
  readonly header: GgufHeader;
}

function join(parts: readonly Part[]): GgufFile {
  const first = parts[0]!;
  const tensors = new Map<string, GgufTensor>();
  for (const { source, header } of parts) {
    for (const info of header.tensors) {
      const other = tensors.get(info.name);
      if (other) {
        throw new RopewalkError(
          `${source.name}: tensor ${quote(info.name)} is also in ${other.source.name}; give the parts of one model`,
        );
      }
      tensors.set(info.name, { ...info, source });
    }
  }
  return {
    name: first.source.name,
    version: first.header.version,
    metadata: first.header.metadata,
    tensors,
    stamps: () => stampsOf(parts.map(({ source }) => source)),
    close: async () => {
      const results = await Promise.allSettled(parts.map(({ source }) => source.close?.()));
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    },
  };
}

function checkField({ source, header }: Part, key: string, want: number, what: string): void {
  const value = header.metadata.get(key);
  if (value !== want) {
    throw new RopewalkError(
      `${source.name}: ${key} is ${shown(value)} but ${want} ${what}; give all parts of one model, and no others`,
    );
  }
}

function shown(value: GgufValue | undefined): string {
  if (value === undefined) return 'missing';
  return typeof value === 'object' ? 'a list' : String(value).slice(0, 40);
}
