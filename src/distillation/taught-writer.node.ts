import { existsSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { RopewalkError } from '../errors.ts';
import { FileSource } from '../files/file.node.ts';
import { lockFile } from '../training/runs/run-lock.node.ts';
import { readTaughtHeader } from './taught-file.node.ts';
import { coveredIn, decodeRow, encodeHeader, layoutOf, type TaughtHeader } from './taught-format.ts';

/** Bytes between syncs to disk. */
const SYNC_EVERY = 64 * 2 ** 20;

/** A file of recorded rows while it is written, under a temporary name. What an earlier run wrote of it is continued. */
export class TaughtWriter {
  /** Rows with the teacher's probabilities that are in the file. */
  rows = 0;
  /** The sum of their mean total probabilities. */
  covered = 0;
  #at: number;
  #unsynced = 0;

  private constructor(
    readonly header: TaughtHeader,
    private readonly file: FileHandle,
    private readonly lock: { release(): Promise<void> },
    private readonly paths: { readonly partial: string; readonly out: string },
    start: number,
  ) {
    this.#at = start;
  }

  /** @param out the file, which appears once it is complete. */
  static async open(header: TaughtHeader, out: string): Promise<TaughtWriter> {
    const partial = join(dirname(resolve(out)), `.${basename(out)}.teaching`);
    const lock = await lockFile(`${partial}.lock`, out);
    let file: FileHandle | undefined;
    try {
      const beginning = encodeHeader(header);
      const known = await wholeRows(partial, header, beginning.length);
      file = await open(partial, known ? 'r+' : 'w');
      const writer = new TaughtWriter(header, file, lock, { partial, out }, 0);
      if (known) Object.assign(writer, known);
      else await writer.#append(beginning);
      writer.#at = beginning.length + writer.rows * layoutOf(header).recordBytes;
      await file.truncate(writer.#at);
      return writer;
    } catch (error) {
      await file?.close();
      await lock.release();
      throw error;
    }
  }

  /** The length of the file so far. */
  get bytes(): number {
    return this.#at;
  }

  /** Appends whole records of rows with the teacher's probabilities. */
  async addTaught(records: Uint8Array): Promise<void> {
    await this.#append(records);
    const { recordBytes } = layoutOf(this.header);
    for (let at = 0; at < records.length; at += recordBytes) {
      this.covered += coveredIn(this.header, records.subarray(at, at + recordBytes));
      this.rows++;
    }
  }

  /** Appends the record of a held-out row. */
  addHeldOut(record: Uint8Array): Promise<void> {
    return this.#append(record);
  }

  /** Makes sure that everything is on the disk. */
  sync(): Promise<void> {
    return this.file.sync();
  }

  /** Gives the complete file its name. */
  async finish(): Promise<void> {
    await this.file.sync();
    await rename(this.paths.partial, this.paths.out);
  }

  async close(): Promise<void> {
    await this.file.close();
    await this.lock.release();
  }

  async #append(bytes: Uint8Array): Promise<void> {
    for (let written = 0; written < bytes.length; ) {
      const left = bytes.length - written;
      const { bytesWritten } = await this.file.write(bytes, written, left, this.#at + written);
      written += bytesWritten;
    }
    this.#at += bytes.length;
    this.#unsynced += bytes.length;
    if (this.#unsynced < SYNC_EVERY) return;
    await this.file.datasync();
    this.#unsynced = 0;
  }
}

/** What an earlier run wrote for the same header, in complete rows; undefined if there is nothing to resume. */
async function wholeRows(path: string, header: TaughtHeader, dataStart: number) {
  if (!existsSync(path)) return undefined;
  const source = await FileSource.open(path);
  try {
    const found = await readTaughtHeader(source);
    const same = JSON.stringify(found.header) === JSON.stringify(header) && found.dataStart === dataStart;
    if (!same) return undefined;
    const { recordBytes } = layoutOf(header);
    let [rows, covered] = [0, 0];
    for (; rows < header.rows; rows++) {
      const at = dataStart + rows * recordBytes;
      if (at + recordBytes > source.size) break;
      const row = decodeRow(header, await source.read(at, recordBytes), true, crc32, `${path}: row ${rows}`);
      covered += row.entries!.covered;
    }
    return { rows, covered };
  } catch (error) {
    // Its header is incomplete or damaged: start over.
    if (!(error instanceof RopewalkError)) throw error;
    await rm(path);
    return undefined;
  } finally {
    await source.close();
  }
}
