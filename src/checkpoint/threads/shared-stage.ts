import type { RowTarget, RowTask } from './share.ts';

type Part = Uint8Array | Float32Array;
const FIELDS = ['data', 'scales', 'zeroPoints', 'offsets'] as const;

/** Shared memory in which threads leave rows for arrays that they cannot reach; it is used again for the next ones. */
export class SharedStage {
  #buffer = new SharedArrayBuffer(0);
  #staged: RowTarget | undefined;

  /** Arrays of the same sizes that are on shared memory, valid until the next call: the target's own if they are. */
  for(target: RowTarget): RowTarget {
    const round = (bytes: number) => Math.ceil(bytes / 64) * 64;
    const bytes = FIELDS.map((field) => round(needsStage(target[field]) ? target[field].byteLength : 0));
    const total = bytes.reduce((sum, each) => sum + each, 0);
    if (this.#buffer.byteLength < total) this.#buffer = new SharedArrayBuffer(total);
    let end = 0;
    const like = <T extends Part | undefined>(part: T): T => {
      if (!needsStage(part)) return part;
      const at = end;
      end += round(part.byteLength);
      const View = part.constructor as new (buffer: SharedArrayBuffer, at: number, length: number) => T;
      return new View(this.#buffer, at, part.length);
    };
    const { data, scales, zeroPoints, offsets } = target;
    this.#staged = {
      data: like(data),
      scales: like(scales),
      zeroPoints: like(zeroPoints),
      offsets: like(offsets),
    };
    return this.#staged;
  }

  /** Copies the rows of a batch that are not in the target, for which the last call was. */
  copyBatch(batch: number, { rows, batchRows, places }: RowTask, target: RowTarget): void {
    const first = batch * batchRows;
    const end = Math.min(rows, first + batchRows);
    for (const field of FIELDS) {
      const [from, to] = [this.#staged?.[field], target[field]];
      if (!from || !to || from === to) continue;
      const width = to.length / rows;
      if (!places) to.set(from.subarray(first * width, end * width), first * width);
      else
        for (const row of places.subarray(first, end))
          to.set(from.subarray(row * width, (row + 1) * width), row * width);
    }
  }
}

function needsStage(part: Part | undefined): part is Part {
  return part !== undefined && !(part.buffer instanceof SharedArrayBuffer);
}
