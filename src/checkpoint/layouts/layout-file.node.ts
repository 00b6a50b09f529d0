import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { writeFileAtomic } from '../../files/atomic.node.ts';
import type { ByteSink } from '../../files/source.ts';
import type { ProvidedWeight } from '../../onnx/emit.ts';
import { type LayoutEngine, type LayoutPiece, layOut, tensorBytes } from '../../onnx/layout-cache.ts';
import type { StoredTensor } from '../../onnx/proto.ts';
import { checksum } from './checksum.node.ts';

/*
 * A layout file: the tensors, each at a multiple of 64 bytes and in the engine's own form, so that the file can be
 * mapped; then their description as JSON, with a checksum of every piece of the file; then a fixed end that has the
 * length and the checksum of the description. The end is written last, so a file that was cut off has none.
 */

/** To be raised whenever the same file and options give other bytes; `layouts.test.ts` notices that. */
export const LAYOUT_VERSION = 2;

const MAGIC = 'ropewalk layout\n';
const END_BYTES = 8 + MAGIC.length;
/** Bytes that share a checksum. */
const PIECE = 1 << 23;
/** Bytes that are read at a time. */
const READ = PIECE;
/** More than any description takes. */
const MOST_DESCRIPTION = 1 << 24;

/** A part of a layout file and its checksum. */
interface DescribedPiece {
  readonly offset: number;
  readonly bytes: number;
  readonly checksum: string;
}

/** What a layout file contains. */
export interface LayoutDescription {
  readonly version: number;
  /** The hash of everything that determines the weights: also the file's name. */
  readonly key: string;
  /** What it was made from, for people. */
  readonly source: string;
  readonly form: string;
  readonly engine: string;
  /** Bytes of the tensors. */
  readonly bytes: number;
  readonly pieces: readonly DescribedPiece[];
  /** For a file that the engine wrote, with packed forms: where each tensor is. */
  readonly places?: Readonly<Record<string, StoredTensor>>;
}

/**
 * Writes a layout file; it appears complete or not at all. It is not synced to disk: its checksums tell whether a
 * crash damaged it. While one weight is written, the next one is already prepared.
 *
 * @throws the operating system's error, or what reading the weights throws.
 */
export async function writeLayout(
  path: string,
  facts: Pick<LayoutDescription, 'key' | 'source' | 'form'>,
  weights: readonly ProvidedWeight[],
  engine: LayoutEngine,
): Promise<void> {
  await writeFileAtomic(
    path,
    async (sink) => {
      const { bytes } = layOut(weights);
      const pieces = await writeTensors(sink, weights, engine);
      const description: LayoutDescription = {
        version: LAYOUT_VERSION,
        ...facts,
        engine: engine.name,
        bytes,
        pieces,
      };
      await sink.write(endOf(description));
    },
    { durable: false },
  );
}

/** The description and what follows it. */
function endOf(description: LayoutDescription): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(description));
  const end = new Uint8Array(END_BYTES);
  new DataView(end.buffer).setUint32(0, text.length, true);
  new DataView(end.buffer).setUint32(4, crc32(text), true);
  end.set(new TextEncoder().encode(MAGIC), 8);
  const all = new Uint8Array(text.length + END_BYTES);
  all.set(text);
  all.set(end, text.length);
  return all;
}

/**
 * Completes a file of tensors that the engine wrote: with its checksums and its description.
 *
 * @throws the operating system's error.
 */
export async function completeLayout(
  path: string,
  facts: Omit<LayoutDescription, 'version' | 'bytes' | 'pieces'>,
): Promise<void> {
  const handle = await open(path, 'r+');
  try {
    const { size: bytes } = await handle.stat();
    const checksums = new Checksums();
    const part = new Uint8Array(READ);
    for (let done = 0; done < bytes; ) {
      const { bytesRead } = await handle.read(part, 0, Math.min(READ, bytes - done), done);
      if (bytesRead === 0) throw new Error(`${path} became shorter`);
      checksums.add(part.subarray(0, bytesRead));
      done += bytesRead;
    }
    const end = endOf({ version: LAYOUT_VERSION, ...facts, bytes, pieces: checksums.finish() });
    for (let done = 0; done < end.length; )
      done += (await handle.write(end, done, end.length - done, bytes + done)).bytesWritten;
  } finally {
    await handle.close();
  }
}

async function writeTensors(
  sink: ByteSink,
  weights: readonly ProvidedWeight[],
  engine: LayoutEngine,
): Promise<DescribedPiece[]> {
  const checksums = new Checksums();
  const areas = weights.map((weight) => layOut([weight]));
  // Two blocks in turn: one is written while the other is filled.
  const blocks = [0, 1].map((turn) =>
    engine.allocate(Math.max(0, ...areas.filter((_, i) => i % 2 === turn).map(({ bytes }) => bytes))),
  );
  let writing: Promise<void> = Promise.resolve();
  try {
    for (const [i, { tensors, fill }] of weights.entries()) {
      const { offsets, bytes } = areas[i]!;
      const { memory } = blocks[i % 2]!;
      const { buffer, byteOffset } = memory;
      const targets = tensors.map((tensor, t) => {
        const at = offsets[t]!;
        const length = tensorBytes(tensor);
        memory.fill(0, at + length, offsets[t + 1] ?? bytes);
        return tensor.type === 'uint8'
          ? memory.subarray(at, at + length)
          : new Float32Array(buffer, byteOffset + at, length / 4);
      });
      await fill(targets);
      await writing;
      writing = write(memory.subarray(0, bytes));
      // Its error is thrown where it is awaited.
      writing.catch(() => {});
    }
    await writing;
    return checksums.finish();
  } finally {
    await writing.catch(() => {});
    for (const block of blocks) block.free();
  }

  async function write(bytes: Uint8Array): Promise<void> {
    const done = sink.write(bytes);
    checksums.add(bytes);
    await done;
  }
}

/** The checksums of consecutive pieces. */
class Checksums {
  readonly #pieces: DescribedPiece[] = [];
  readonly #piece = new Uint8Array(PIECE);
  #offset = 0;
  #bytes = 0;

  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const count = Math.min(PIECE - this.#bytes, bytes.length - at);
      const part = bytes.subarray(at, at + count);
      at += count;
      // A whole piece need not be copied.
      if (count === PIECE) this.#close(part);
      else {
        this.#piece.set(part, this.#bytes);
        this.#bytes += count;
        if (this.#bytes === PIECE) this.#close(this.#piece);
      }
    }
  }

  finish(): DescribedPiece[] {
    if (this.#bytes > 0) this.#close(this.#piece.subarray(0, this.#bytes));
    return this.#pieces;
  }

  #close(piece: Uint8Array): void {
    this.#pieces.push({ offset: this.#offset, bytes: piece.length, checksum: checksum(piece) });
    this.#offset += piece.length;
    this.#bytes = 0;
  }
}

/** The parts of a file, for who reads them. */
export function piecesOf({ pieces }: LayoutDescription): LayoutPiece[] {
  return pieces.map(({ offset, bytes, checksum: expected }) => ({
    ...{ offset, bytes },
    matches: (data) => checksum(data) === expected,
  }));
}

/** An open layout file with its description; close `handle`. */
export interface OpenLayout {
  readonly handle: FileHandle;
  readonly description: LayoutDescription;
}

/**
 * Opens a layout file and checks all of it but the tensors.
 *
 * @returns undefined for a file that is not one, or is not whole.
 * @throws the operating system's error.
 */
export async function openLayout(path: string): Promise<OpenLayout | undefined> {
  // Opening a pipe would wait for its other end.
  const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const description = await readDescription(handle);
    if (description) return { handle, description };
  } catch (error) {
    await handle.close();
    throw error;
  }
  await handle.close();
  return undefined;
}

async function readDescription(handle: FileHandle): Promise<LayoutDescription | undefined> {
  const stats = await handle.stat();
  if (!stats.isFile() || stats.size < END_BYTES) return undefined;
  const end = await readAt(handle, stats.size - END_BYTES, END_BYTES);
  if (!end || new TextDecoder().decode(end.subarray(8)) !== MAGIC) return undefined;
  const view = new DataView(end.buffer, end.byteOffset);
  const length = view.getUint32(0, true);
  const bytes = stats.size - END_BYTES - length;
  if (length > MOST_DESCRIPTION || bytes < 0) return undefined;
  const text = await readAt(handle, bytes, length);
  if (!text || crc32(text) !== view.getUint32(4, true)) return undefined;
  return descriptionOf(new TextDecoder().decode(text), bytes);
}

async function readAt(handle: FileHandle, offset: number, length: number): Promise<Uint8Array | undefined> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) return undefined;
    done += bytesRead;
  }
  return bytes;
}

/** The description if it is one, and fits a file with so many bytes of tensors. */
function descriptionOf(text: string, bytes: number): LayoutDescription | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null) return undefined;
  const found = json as Record<keyof LayoutDescription, unknown>;
  const { version, key, source, form, engine, pieces } = found;
  const areTexts = [key, source, form, engine].every((value) => typeof value === 'string');
  if (typeof version !== 'number' || !areTexts || found.bytes !== bytes || !Array.isArray(pieces))
    return undefined;
  let end = 0;
  for (const piece of pieces as Partial<DescribedPiece>[]) {
    const { bytes: size, checksum } = piece ?? {};
    const fits = Number.isSafeInteger(size) && size! > 0 && size! <= PIECE && typeof checksum === 'string';
    if (!fits || piece.offset !== end) return undefined;
    end += size!;
  }
  return end === bytes ? (json as LayoutDescription) : undefined;
}
