import { type FileHandle, open, stat } from 'node:fs/promises';
import { RopewalkError } from '../errors.ts';
import { fileError } from './file-errors.ts';
import { type ByteSink, type ByteSource, checkRange } from './source.ts';

/** Node refuses reads and writes of 2 GiB and more: larger ones are split into pieces of this many bytes. */
const PIECE = 1 << 30;

/** A file read by position. `readInto` reads directly into the caller's memory, without a second copy. */
export class FileSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #handle: FileHandle;

  private constructor(name: string, size: number, handle: FileHandle) {
    this.name = name;
    this.size = size;
    this.#handle = handle;
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
      return new FileSource(name, (await handle.stat()).size, handle);
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

  /** Closes the file. */
  async close(): Promise<void> {
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
