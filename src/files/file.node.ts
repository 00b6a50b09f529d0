import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { RopewalkError } from '../errors.ts';
import { fileError } from './file-errors.ts';
import { type ByteSink, type ByteSource, checkRange, type FileStamp } from './source.ts';

/** Node refuses reads and writes of 2 GiB and more: larger ones are split into pieces of this many bytes. */
const PIECE = 1 << 30;

/** A file's stamp samples so many places, the first and the last bytes among them, each of so many bytes. */
const SAMPLES = 16;
const SAMPLE_BYTES = 1 << 16;

/** A file read by position. `readInto` reads directly into the caller's memory, without a second copy. */
export class FileSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #handle: FileHandle;
  readonly #opened: BigIntStats;
  /** Work with the descriptor that is not done. */
  readonly #lent = new Set<Promise<unknown>>();

  private constructor(name: string, handle: FileHandle, opened: BigIntStats) {
    this.name = name;
    this.size = Number(opened.size);
    this.#handle = handle;
    this.#opened = opened;
  }

  /**
   * Opens a regular file for reading; a missing, unreadable or special file is a RopewalkError.
   * @param name for messages: by default its path
   */
  static async open(path: string, name = path): Promise<FileSource> {
    let handle: FileHandle | undefined;
    try {
      // Checked before opening: opening a pipe would wait for its other end forever.
      if (!(await stat(path)).isFile()) {
        throw new RopewalkError(`cannot read ${name}: it is not a regular file; name a file`);
      }
      handle = await open(path, 'r');
      return new FileSource(name, handle, await handle.stat({ bigint: true }));
    } catch (error) {
      await handle?.close();
      throw fileError(error, 'read', name);
    }
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkRange(this.name, this.size, offset, length);
    const bytes = new Uint8Array(length);
    await this.readInto(offset, bytes);
    return bytes;
  }

  async readInto(offset: number, target: Uint8Array): Promise<void> {
    checkRange(this.name, this.size, offset, target.byteLength);
    let done = 0;
    while (done < target.byteLength) {
      const length = Math.min(PIECE, target.byteLength - done);
      let bytesRead: number;
      try {
        ({ bytesRead } = await this.#handle.read(target, done, length, offset + done));
      } catch (error) {
        throw fileError(error, 'read', this.name);
      }
      if (bytesRead === 0) {
        throw new RopewalkError(
          `cannot read ${this.name}: it ended at byte ${offset + done} but was ${this.size} bytes long when opened; ` +
            'do not change a file while it is being read',
        );
      }
      done += bytesRead;
    }
  }

  /** The stamp of the open file, even if its path by now leads to another. */
  async stamp(): Promise<FileStamp | undefined> {
    const hash = createHash('sha256');
    const length = Math.min(SAMPLE_BYTES, this.size);
    for (let i = 0; i < SAMPLES; i++)
      hash.update(await this.read(Math.floor((i * (this.size - length)) / (SAMPLES - 1)), length));
    const sample = hash.digest('hex');
    const stampOf = ({ ino, size, mtimeNs, ctimeNs }: BigIntStats) => {
      return { inode: ino, size, modified: mtimeNs, changed: ctimeNs, sample };
    };
    const [then, now] = [stampOf(this.#opened), stampOf(await this.#handle.stat({ bigint: true }))];
    const same = (Object.keys(now) as (keyof FileStamp)[]).every((field) => then[field] === now[field]);
    return same ? now : undefined;
  }

  async lend<T>(work: (descriptor: number) => Promise<T>): Promise<T> {
    const running = work(this.#handle.fd);
    this.#lent.add(running);
    try {
      return await running;
    } finally {
      this.#lent.delete(running);
    }
  }

  /** Closes the file, once nothing uses its descriptor. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#lent);
    await this.#handle.close();
  }
}

/** A sink that appends to an open file. Rejects with the operating system's own error. */
export function fileSink(handle: FileHandle): ByteSink {
  return {
    async write(bytes) {
      let done = 0;
      while (done < bytes.byteLength) {
        const length = Math.min(PIECE, bytes.byteLength - done);
        const { bytesWritten } = await handle.write(bytes, done, length);
        done += bytesWritten;
      }
    },
  };
}
