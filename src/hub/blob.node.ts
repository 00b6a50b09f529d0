import { createHash, type Hash, randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { RopewalkError } from '../errors.ts';
import { errorCode, fileError } from '../files/file-errors.ts';
import { acquireLock } from '../files/lock.node.ts';
import type { RemoteFile } from './listing.ts';
import type { Reply } from './request.ts';
import { RequestError, type Timing, withRetries } from './retry.ts';

/** Bytes are buffered into pieces of this size before they are hashed and written. */
const PIECE = 1 << 20;

export interface BlobPlace {
  /** The folder of blobs. */
  readonly blobs: string;
  /** The folder of locks. */
  readonly locks: string;
}

export interface BlobOptions {
  /** Requests the file's bytes from a position on; `tag` is the entity tag of the bytes before it. */
  readonly open: (range: { from: number; tag: string | undefined }) => Promise<Reply>;
  readonly timing: Timing;
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of bytes received. */
  readonly onBytes?: (done: number) => void;
}

/** Whether a path is a file of this size (of any size, if undefined), possibly through a link. */
export async function hasSize(path: string, size: number | undefined): Promise<boolean> {
  const status = await stat(path).catch(() => undefined);
  return status?.isFile() === true && (size ?? status.size) === status.size;
}

/**
 * Downloads a file to the cache's blobs, unless it is there. The bytes are hashed while they are written to a partial
 * file next to it, which is renamed only if the hash matches the hub's. Partial files of earlier processes and
 * interrupted downloads are resumed.
 * @throws RequestError if the server fails; RopewalkError if the disk fails or the hash is wrong
 */
export async function fetchBlob(file: RemoteFile, place: BlobPlace, options: BlobOptions): Promise<void> {
  for (;;) {
    try {
      await fetchOnce(file, place, options);
      return;
    } catch (error) {
      if (!(error instanceof TakenOver)) throw error;
    }
  }
}

/** Another process assumed that we were dead and took over our partial file. */
class TakenOver extends RopewalkError {}

async function fetchOnce(file: RemoteFile, place: BlobPlace, options: BlobOptions): Promise<void> {
  const { signal, timing, onBytes = () => {} } = options;
  const blob = join(place.blobs, file.hash);
  const isDone = async () => {
    if (await hasSize(blob, file.size)) {
      onBytes(file.size);
      return true;
    }
    // Another process is downloading it: its progress is shown as ours.
    const [largest] = await leftovers(place.blobs, file.hash).catch(() => []);
    if (largest) onBytes(Math.min(file.size, largest.size));
    return false;
  };
  if (await isDone()) return;
  const lock = await acquireLock(join(place.locks, `${file.hash}.ropewalk.lock`), { isDone, signal });
  if (!lock) return;
  try {
    if (await isDone()) return;
    await mkdir(place.blobs, { recursive: true });
    const partial = await PartialFile.open(place.blobs, file);
    try {
      const progress = () => partial.position;
      await withRetries(() => receive(partial, file, options), timing, { signal, progress });
      await partial.publish(blob);
    } finally {
      await partial.close();
    }
  } catch (error) {
    throw fileError(error, `download ${file.path} to`, place.blobs);
  } finally {
    await lock.release();
  }
}

/** One attempt to complete a partial file and verify its hash. */
async function receive(partial: PartialFile, file: RemoteFile, { open, onBytes = () => {} }: BlobOptions) {
  if (partial.position < file.size) {
    const from = partial.position;
    const reply = await open({ from, tag: partial.tag });
    try {
      const { status, headers } = reply.response;
      if (status === 416 || (status === 206 && !continues(headers.get('content-range'), from, file.size))) {
        await partial.restart();
        throw new RequestError(
          `the server cannot continue ${file.path} at byte ${from}; try again`,
          'passing',
        );
      }
      // The whole file: the server does not support ranges, or the file has changed since.
      if (status === 200 && from > 0) await partial.restart();
      partial.continued ||= partial.position > 0;
      partial.tag = headers.get('etag') ?? undefined;
      onBytes(partial.position);
      for (let piece = await reply.read(); piece; piece = await reply.read()) {
        if (partial.position + piece.byteLength > file.size) {
          await partial.discard();
          throw new RequestError(
            `${file.path}: the server sent more than its ${file.size} bytes; refused`,
            'final',
          );
        }
        await partial.append(piece);
        onBytes(partial.position);
      }
    } finally {
      reply.close();
      await partial.flush();
    }
    if (partial.position < file.size) {
      throw new RequestError(
        `${file.path} stopped at byte ${partial.position} of ${file.size}; try again: the download will resume`,
        'passing',
      );
    }
  }
  if (partial.digest() === file.hash) return;
  const continued = partial.continued;
  await partial.restart();
  // Earlier bytes may have been damaged, or belong to another file: download everything once more.
  if (continued) throw new RequestError(`${file.path} does not have the hash ${file.hash}`, 'passing');
  await partial.discard();
  throw new RopewalkError(
    `${file.path}: the download does not have the hash ${file.hash} that the hub lists for it; it was damaged in transit ` +
      'or changed, and was discarded: try again',
  );
}

/** Whether `Content-Range` continues at `from`, in a file of that size. */
function continues(range: string | null, from: number, size: number): boolean {
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(range ?? '') ?? [];
  return Number(start) === from && (total === '*' || Number(total) === size);
}

/** Partial files of a blob whose processes may be gone, largest first. */
async function leftovers(blobs: string, hash: string): Promise<{ path: string; size: number }[]> {
  const names = await readdir(blobs);
  const partials = names.filter(
    (name) => name.startsWith(`${hash}.ropewalk-`) && name.endsWith('.incomplete'),
  );
  const found = await Promise.all(
    partials.map(async (name) => {
      const path = join(blobs, name);
      return { path, size: (await stat(path).catch(() => undefined))?.size ?? -1 };
    }),
  );
  return found.sort((a, b) => b.size - a.size);
}

/** A blob being downloaded. Its name is unique to this process, so that no two processes write the same file. */
class PartialFile {
  /** Bytes received: written or buffered. */
  position = 0;
  /** The entity tag of the bytes. */
  tag: string | undefined;
  /** Whether the bytes came from more than one response. */
  continued = false;
  #handle: FileHandle | undefined;
  #hash: Hash;
  readonly #pending = Buffer.allocUnsafe(PIECE);
  #pendingSize = 0;

  readonly #path: string;
  readonly #file: RemoteFile;

  private constructor(path: string, file: RemoteFile) {
    this.#path = path;
    this.#file = file;
    this.#hash = newHash(file);
  }

  /** Takes over a partial file of an earlier process, if any. Call while holding the blob's lock. */
  static async open(blobs: string, file: RemoteFile): Promise<PartialFile> {
    const path = join(blobs, `${file.hash}.ropewalk-${randomBytes(4).toString('hex')}.incomplete`);
    const partial = new PartialFile(path, file);
    const [largest, ...others] = await leftovers(blobs, file.hash);
    for (const { path } of others) await rm(path, { force: true });
    try {
      if (largest) {
        // If that process is still alive, it finds its file gone when it is done, and starts over.
        await rename(largest.path, path).catch(() => {});
        await partial.#readExisting();
      }
      return partial;
    } catch (error) {
      await partial.close();
      throw error;
    }
  }

  async #readExisting(): Promise<void> {
    try {
      this.#handle = await open(this.#path, 'r+');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return;
      throw error;
    }
    for (;;) {
      const { bytesRead } = await this.#handle.read(this.#pending, 0, PIECE, this.position);
      if (bytesRead === 0) break;
      this.#hash.update(this.#pending.subarray(0, bytesRead));
      this.position += bytesRead;
    }
    this.continued = this.position > 0;
    if (this.position > this.#file.size) await this.restart();
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength; ) {
      const part = bytes.subarray(at, at + PIECE - this.#pendingSize);
      this.#pending.set(part, this.#pendingSize);
      this.#pendingSize += part.byteLength;
      this.position += part.byteLength;
      at += part.byteLength;
      if (this.#pendingSize === PIECE) await this.flush();
    }
  }

  /** Writes the buffer. If the disk refuses, the position is that of the bytes it accepted. */
  async flush(): Promise<void> {
    if (this.#pendingSize === 0) return;
    if (this.#handle) await this.#checkMine();
    this.#handle ??= await open(this.#path, 'wx+');
    const start = this.position - this.#pendingSize;
    let done = 0;
    try {
      while (done < this.#pendingSize) {
        const { bytesWritten } = await this.#handle.write(
          this.#pending,
          done,
          this.#pendingSize - done,
          start + done,
        );
        done += bytesWritten;
      }
    } finally {
      this.#hash.update(this.#pending.subarray(0, done));
      this.position = start + done;
      this.#pendingSize = 0;
    }
  }

  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /**
   * Starts over. The file is removed, not truncated: a process that still has it open must not write into the new one.
   */
  async restart(): Promise<void> {
    await this.discard();
    this.#hash = newHash(this.#file);
    this.position = 0;
    this.tag = undefined;
    this.continued = false;
  }

  async discard(): Promise<void> {
    this.#pendingSize = 0;
    await this.close();
    await rm(this.#path, { force: true });
  }

  /** Renames the file to its final name. */
  async publish(blob: string): Promise<void> {
    this.#handle ??= await open(this.#path, 'wx+');
    await this.#handle.sync();
    await this.close();
    await this.#checkMine();
    await rename(this.#path, blob);
  }

  /**
   * A process that slept so long that another one took over its file (the path is then gone, because its name is
   * unique) must not write to it any more.
   */
  async #checkMine(): Promise<void> {
    const mine = await stat(this.#path).catch(() => undefined);
    if (!mine) throw new TakenOver(`${this.#file.path}: another process took over its download`);
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }
}

/**
 * Large files are identified by the SHA-256 of their bytes, others by git's SHA-1 of the blob: "blob", their size,
 * their bytes.
 */
function newHash({ hash, size }: RemoteFile): Hash {
  return hash.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`);
}
