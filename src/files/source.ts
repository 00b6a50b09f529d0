import { RopewalkError } from '../errors.ts';

/** Random-access bytes: a file, a buffer, or a slice of either. Reading never changes them. */
export interface ByteSource {
  /** The name in error messages: a path, or a description. */
  readonly name: string;
  /** Total size in bytes. */
  readonly size: number;
  /** `length` bytes from `offset` on; rejects if they are not all there. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Fills `target` with the bytes from `offset` on, without an intermediate buffer. */
  readInto?(offset: number, target: Uint8Array): Promise<void>;
  /** For a file: runs `work` with its descriptor, which other threads can read; closing the file waits for it. */
  lend?<T>(work: (descriptor: number) => Promise<T>): Promise<T>;
  /** For a file: what changes when its contents do; undefined if it has changed since it was opened. */
  stamp?(): Promise<FileStamp | undefined>;
  close?(): Promise<void>;
}

/** Identifies the contents of a file without reading all of it; times are nanoseconds since 1970. */
export interface FileStamp {
  readonly inode: bigint;
  readonly size: bigint;
  /** When the contents were last written; programs can set it. */
  readonly modified: bigint;
  /** When anything about the file last changed; programs cannot set it. */
  readonly changed: bigint;
  /** A hash of some of its bytes. */
  readonly sample: string;
}

/** Receives bytes in order. A piece may be reused once `write` has resolved. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
}

/** Fills `target` from `source`, directly if the source supports it. */
export async function readInto(source: ByteSource, offset: number, target: Uint8Array): Promise<void> {
  if (source.readInto) await source.readInto(offset, target);
  else target.set(await source.read(offset, target.byteLength));
}

/** The stamps of sources; undefined if one of them is not a file or has changed since it was opened. */
export async function stampsOf(sources: readonly ByteSource[]): Promise<FileStamp[] | undefined> {
  const stamps = await Promise.all(sources.map((source) => source.stamp?.()));
  return stamps.every((stamp) => stamp !== undefined) ? stamps : undefined;
}

/** A source over bytes in memory (a browser's upload, a test). The bytes are borrowed. */
export function memorySource(bytes: Uint8Array | ArrayBuffer, name = 'the buffer'): ByteSource {
  const view = bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes);
  const slice = (offset: number, length: number): Uint8Array => {
    checkRange(name, view.byteLength, offset, length);
    return view.subarray(offset, offset + length);
  };
  return {
    name,
    size: view.byteLength,
    read: async (offset, length) => slice(offset, length).slice(),
    readInto: async (offset, target) => target.set(slice(offset, target.byteLength)),
  };
}

/** A sink that collects what is written; `bytes()` joins it. */
export function memorySink(): ByteSink & { bytes(): Uint8Array } {
  const pieces: Uint8Array[] = [];
  let size = 0;
  return {
    async write(bytes) {
      pieces.push(bytes.slice());
      size += bytes.byteLength;
    },
    bytes() {
      const all = new Uint8Array(size);
      let at = 0;
      for (const piece of pieces) {
        all.set(piece, at);
        at += piece.byteLength;
      }
      return all;
    },
  };
}

/** Rejects a read outside `size` bytes. */
export function checkRange(name: string, size: number, offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw new RopewalkError(`${name}: cannot read ${length} bytes at ${offset}: not a valid position`);
  }
  if (offset + length > size) {
    throw new RopewalkError(
      `${name}: cannot read bytes ${offset} to ${offset + length}: it has only ${size}; the file is truncated`,
    );
  }
}
