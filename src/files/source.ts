import { RopewalkError } from '../errors.ts';

/** Bytes at positions: a file, a buffer, or a slice of either. Reading never changes it. */
export interface ByteSource {
  /** What error messages call it: a path, or a description. */
  readonly name: string;
  /** Bytes in all. */
  readonly size: number;
  /** `length` bytes from `offset` on; rejects when they are not all there. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Fills `target` with the bytes from `offset` on, without a buffer between. */
  readInto?(offset: number, target: Uint8Array): Promise<void>;
  close?(): Promise<void>;
}

/** Where bytes are written, one piece after another. A piece may be reused once `write` has resolved. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
}

/** Fills `target` from `source`, directly where the source can. */
export async function readInto(source: ByteSource, offset: number, target: Uint8Array): Promise<void> {
  if (source.readInto) await source.readInto(offset, target);
  else target.set(await source.read(offset, target.byteLength));
}

/** A source over bytes that are in memory already (a browser's upload, a test). The bytes are borrowed. */
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

/** A sink that keeps what is written; `bytes()` joins it. */
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
    throw new RopewalkError(`${name}: cannot read ${length} bytes at ${offset}: not a position`);
  }
  if (offset + length > size) {
    throw new RopewalkError(
      `${name}: cannot read bytes ${offset} to ${offset + length}: it has only ${size}; the file is truncated`,
    );
  }
}
