import { closeSync, openSync, readSync } from 'node:fs';
import { RopewalkError } from '../errors.ts';
import { fileError } from '../files/file-errors.ts';
import type { RowReader, RowsInFile } from './checkpoint.ts';

/** Reads single rows synchronously: a token's embedding is a few kilobytes, mostly in the system's file cache. */
export class FileRows implements RowReader {
  readonly width: number;
  readonly rows: number;
  readonly #place: RowsInFile;
  readonly #bytes: Uint8Array;
  #file: number | undefined;

  constructor(place: RowsInFile) {
    this.#place = place;
    this.width = place.width;
    this.rows = place.rows;
    this.#bytes = new Uint8Array(place.rowBytes);
    try {
      this.#file = openSync(place.path, 'r');
    } catch (error) {
      throw fileError(error, 'read', place.name);
    }
  }

  read(row: number, target: Float32Array, at: number): void {
    const { name, offset, rowBytes, width } = this.#place;
    if (this.#file === undefined) throw new RopewalkError(`${name}: the model was released; load it again.`);
    let done = 0;
    while (done < rowBytes) {
      let count: number;
      try {
        count = readSync(this.#file, this.#bytes, done, rowBytes - done, offset + row * rowBytes + done);
      } catch (error) {
        throw fileError(error, 'read', name);
      }
      if (count === 0) {
        throw new RopewalkError(
          `cannot read ${name}: it became shorter; do not change a model that is in use`,
        );
      }
      done += count;
    }
    this.#place.decode(this.#bytes, target.subarray(at, at + width));
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}
