import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { RopewalkError } from '../errors.ts';
import { writeFileAtomic } from '../files/atomic.node.ts';
import { FileSource } from '../files/file.node.ts';
import { fileError } from '../files/file-errors.ts';
import type { DataReport } from './report.ts';
import { checkIndex, type Example } from './view.ts';

/*
 * A file of examples, little-endian throughout:
 *
 *   16 bytes   the text "ropewalk tokens1"
 *   4 · tokens the examples, in order; each token is its id, plus 2³¹ if it is trained
 *   8 · size   the index: the token count of every example, and the CRC-32 of its bytes
 *   n bytes    the footer, JSON: the identity of the examples, and the report
 *   64 bytes   the trailer: tokens, size (64 bits each), n (64 bits), 8 bytes of zeros, SHA-256 of index and footer
 *
 * Index and footer are checked when the file is opened, an example when it is read.
 */
const MAGIC = new TextEncoder().encode('ropewalk tokens1');
const TRAILER = 64;
const TRAINED = 0x80000000;
/** Bytes that are buffered before they are written. */
const PIECE = 1 << 20;
/** The longest footer that is read: a report lists only a few rows and files. */
const MOST_FOOTER = 1 << 26;

interface Footer {
  readonly identity: string;
  readonly trainedTokens: number;
  readonly report: DataReport;
}

/**
 * Writes examples as they come, to a temporary file that is renamed when it is complete.
 *
 * @param examples their ids are below 2³¹.
 * @param footer called after the last example; nothing is written if it rejects.
 * @throws RopewalkError naming the path and the cause; the target is then unchanged.
 */
export async function writeTokenFile(
  path: string,
  examples: AsyncIterable<Example>,
  footer: () => Promise<{ readonly identity: string; readonly report: DataReport }>,
): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
  } catch (error) {
    throw fileError(error, 'write', path);
  }
  await writeFileAtomic(path, async (sink) => {
    await sink.write(MAGIC);
    const index: number[] = [];
    let pieces: Uint8Array[] = [];
    let pending = 0;
    let tokens = 0;
    let trainedTokens = 0;
    const flush = async () => {
      await sink.write(Buffer.concat(pieces));
      pieces = [];
      pending = 0;
    };
    for await (const { ids, trained } of examples) {
      const bytes = new Uint8Array(4 * ids.length);
      const view = new DataView(bytes.buffer);
      for (let i = 0; i < ids.length; i++) {
        if (trained[i]) trainedTokens++;
        view.setUint32(4 * i, ids[i]! + (trained[i] ? TRAINED : 0), true);
      }
      index.push(ids.length, crc32(bytes));
      tokens += ids.length;
      pieces.push(bytes);
      pending += bytes.length;
      if (pending >= PIECE) await flush();
    }
    await flush();
    const hash = createHash('sha256');
    const indexBytes = new Uint8Array(4 * index.length);
    const indexView = new DataView(indexBytes.buffer);
    for (const [i, value] of index.entries()) indexView.setUint32(4 * i, value, true);
    const whole: Footer = { ...(await footer()), trainedTokens };
    const footerBytes = new TextEncoder().encode(JSON.stringify(whole));
    for (const bytes of [indexBytes, footerBytes]) {
      hash.update(bytes);
      await sink.write(bytes);
    }
    const trailer = new Uint8Array(TRAILER);
    const numbers = new DataView(trailer.buffer);
    [tokens, index.length / 2, footerBytes.length].forEach((value, i) => {
      numbers.setBigUint64(8 * i, BigInt(value), true);
    });
    trailer.set(hash.digest(), 32);
    await sink.write(trailer);
  });
}

/** Examples in a file, read one at a time. */
export class TokenFile {
  readonly size: number;
  readonly tokens: number;
  readonly trainedTokens: number;
  readonly identity: string;
  readonly report: DataReport;
  readonly #source: FileSource;
  /** Where each example begins, in tokens, and where the last one ends: [size + 1]. */
  readonly #starts: Float64Array;
  readonly #checksums: Uint32Array;

  private constructor(source: FileSource, footer: Footer, index: DataView, tokens: number) {
    this.size = index.byteLength / 8;
    this.tokens = tokens;
    this.identity = footer.identity;
    this.trainedTokens = footer.trainedTokens;
    this.report = footer.report;
    this.#source = source;
    this.#starts = new Float64Array(this.size + 1);
    this.#checksums = new Uint32Array(this.size);
    for (let i = 0; i < this.size; i++) {
      this.#starts[i + 1] = this.#starts[i]! + index.getUint32(8 * i, true);
      this.#checksums[i] = index.getUint32(8 * i + 4, true);
    }
    if (this.#starts[this.size] !== tokens) throw damaged(source.name);
  }

  /** @throws RopewalkError if it is not a token file, or is damaged. */
  static async open(path: string): Promise<TokenFile> {
    const source = await FileSource.open(path);
    try {
      if (source.size < MAGIC.length + TRAILER) throw damaged(path);
      const magic = await source.read(0, MAGIC.length);
      if (magic.some((byte, i) => byte !== MAGIC[i])) throw damaged(path);
      const trailer = await source.read(source.size - TRAILER, TRAILER);
      const numbers = new DataView(trailer.buffer);
      const [tokens, size, footerLength] = [0, 8, 16].map((at) => Number(numbers.getBigUint64(at, true)));
      const whole = MAGIC.length + 4 * tokens! + 8 * size! + footerLength! + TRAILER;
      if (whole !== source.size || footerLength! > MOST_FOOTER) throw damaged(path);
      const index = await source.read(MAGIC.length + 4 * tokens!, 8 * size!);
      const footer = await source.read(MAGIC.length + 4 * tokens! + 8 * size!, footerLength!);
      const digest = createHash('sha256').update(index).update(footer).digest();
      if (digest.some((byte, i) => byte !== trailer[32 + i])) throw damaged(path);
      const parsed = JSON.parse(new TextDecoder().decode(footer)) as Footer;
      return new TokenFile(source, parsed, new DataView(index.buffer), tokens!);
    } catch (error) {
      await source.close();
      throw error instanceof RopewalkError ? error : damaged(path, error);
    }
  }

  length(index: number): number {
    checkIndex(index, this.size);
    return this.#starts[index + 1]! - this.#starts[index]!;
  }

  /** @throws RopewalkError if the example's bytes are not those that were written. */
  async read(index: number): Promise<Example> {
    const length = this.length(index);
    const bytes = await this.#source.read(MAGIC.length + 4 * this.#starts[index]!, 4 * length);
    if (crc32(bytes) !== this.#checksums[index]) throw damaged(this.#source.name);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const ids = new Int32Array(length);
    const trained = new Uint8Array(length);
    for (let i = 0; i < length; i++) {
      const word = view.getUint32(4 * i, true);
      ids[i] = word & ~TRAINED;
      trained[i] = word >>> 31;
    }
    return { ids, trained };
  }

  async close(): Promise<void> {
    await this.#source.close();
  }
}

function damaged(path: string, cause?: unknown): RopewalkError {
  return new RopewalkError(
    `${path}: this file is damaged, or not a token file; delete it, and it will be created again from the data`,
    { cause },
  );
}
