import { crc32 } from 'node:zlib';
import type { BatchSource, TrainingRows } from '../batches.ts';
import { RopewalkError } from '../errors.ts';
import { FileSource } from '../files/file.node.ts';
import { Random } from '../random.ts';
import { TEACHER_INPUTS } from './losses.ts';
import {
  type DecodedRow,
  decodeHeader,
  decodeRow,
  layoutOf,
  MOST_HEADER,
  TAUGHT_MAGIC,
  type TaughtHeader,
  type TaughtLayout,
} from './taught-format.ts';

/** A file of recorded probabilities, open for reading; see `taught-format.ts`. Any row takes one read. */
export class TaughtFile {
  readonly #layout: TaughtLayout;

  readonly #source: FileSource;
  readonly #dataStart: number;

  private constructor(
    readonly header: TaughtHeader,
    source: FileSource,
    dataStart: number,
  ) {
    this.#source = source;
    this.#dataStart = dataStart;
    this.#layout = layoutOf(header);
  }

  /** @throws RopewalkError if it is not such a file, or is incomplete. */
  static async open(path: string): Promise<TaughtFile> {
    const source = await FileSource.open(path);
    try {
      const { header, dataStart } = await readTaughtHeader(source);
      const { plainBytes, recordBytes } = layoutOf(header);
      const size = dataStart + header.rows * recordBytes + header.heldOut * plainBytes;
      if (size !== source.size) {
        throw new RopewalkError(
          `${path}: it has ${source.size} bytes, but its header implies ${size}; it is truncated or damaged: write it again with "teach".`,
        );
      }
      return new TaughtFile(header, source, dataStart);
    } catch (error) {
      await source.close();
      throw error;
    }
  }

  get path(): string {
    return this.#source.name;
  }

  /** Row `i` with the teacher's probabilities. */
  row(i: number): Promise<DecodedRow> {
    return this.#read(i, true);
  }

  /** Held-out row `i`. */
  heldOutRow(i: number): Promise<DecodedRow> {
    return this.#read(i, false);
  }

  /** The held-out rows, `batch` at a time; the last batch is padded with targets that do not count. */
  async *heldOut(batch: number): AsyncGenerator<TrainingRows, void> {
    for (let start = 0; start < this.header.heldOut; start += batch) {
      const rows: DecodedRow[] = [];
      for (let i = start; i < Math.min(start + batch, this.header.heldOut); i++)
        rows.push(await this.heldOutRow(i));
      const last = rows.at(-1)!;
      const filler = { ...last, weights: new Float32Array(this.header.seq) };
      while (rows.length < batch) rows.push(filler);
      yield joinRows(rows);
    }
  }

  /** Closes the file. */
  close(): Promise<void> {
    return this.#source.close();
  }

  async #read(i: number, taught: boolean): Promise<DecodedRow> {
    const { rows, heldOut } = this.header;
    const { plainBytes, recordBytes } = this.#layout;
    if (!Number.isInteger(i) || i < 0 || i >= (taught ? rows : heldOut)) {
      throw new RopewalkError(`${this.path}: there is no row ${i}.`);
    }
    const start = this.#dataStart + (taught ? i * recordBytes : rows * recordBytes + i * plainBytes);
    const bytes = await this.#source.read(start, taught ? recordBytes : plainBytes);
    const what = `${this.path}: ${taught ? 'row' : 'held-out row'} ${i}`;
    return decodeRow(this.header, bytes, taught, crc32, what);
  }
}

/** The header of a file, which may be incomplete, and the offset of its first row. */
export async function readTaughtHeader(source: FileSource) {
  const { name, size } = source;
  const start = TAUGHT_MAGIC.length + 4;
  const beginning = size < start ? new Uint8Array(start) : await source.read(0, start);
  if (new TextDecoder().decode(beginning.subarray(0, TAUGHT_MAGIC.length)) !== TAUGHT_MAGIC) {
    throw new RopewalkError(
      `${name}: it is not a file of a teacher's probabilities; use one written by "ropewalk teach".`,
    );
  }
  const length = new DataView(beginning.buffer, beginning.byteOffset).getUint32(TAUGHT_MAGIC.length, true);
  if (length > MOST_HEADER || start + length > size) {
    throw new RopewalkError(
      `${name}: its header would be ${length} bytes long; it is truncated or damaged: write it again with "teach".`,
    );
  }
  const header = decodeHeader(await source.read(start, length), name);
  return { header, dataStart: start + length };
}

/** Consecutive rows as one batch, including padding, whose probabilities are 0. */
function joinRows(rows: readonly DecodedRow[]): TrainingRows {
  const floats = (parts: readonly Float32Array[]) => {
    const all = new Float32Array(parts.reduce((size, part) => size + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  };
  const integers = (parts: readonly Int32Array[]) => {
    const all = new Int32Array(parts.reduce((size, part) => size + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  };
  const inputs = integers(rows.map((row) => row.inputs));
  const entries = rows.flatMap((row) => (row.entries ? [row.entries] : []));
  const shape = [inputs.length, (entries[0]?.ids.length ?? 0) / (rows[0]?.inputs.length ?? 1)];
  return {
    inputs,
    targets: integers(rows.map((row) => row.targets)),
    weights: floats(rows.map((row) => row.weights)),
    ...(rows[0]?.positions && {
      positions: integers(rows.map((row) => row.positions!)),
      segments: floats(rows.map((row) => row.segments!)),
    }),
    ...(entries.length > 0 && {
      extra: {
        [TEACHER_INPUTS.ids]: { data: integers(entries.map(({ ids }) => ids)), shape },
        [TEACHER_INPUTS.probabilities]: {
          data: floats(entries.map(({ probabilities }) => probabilities)),
          shape,
        },
      },
    }),
  };
}

/** Removes entries from `vocabSize` on, and renormalizes the others. */
function leaveOut({ entries, inputs, targets }: DecodedRow, vocabSize: number, path: string): void {
  const { ids, probabilities } = entries!;
  const k = ids.length / inputs.length;
  const beyond = [...inputs, ...targets].find((id) => id >= vocabSize);
  if (beyond !== undefined) {
    throw new RopewalkError(
      `${path}: its text has the id ${beyond}, but the student's vocabulary has ${vocabSize} entries; use a student with as many as the teacher.`,
    );
  }
  for (let start = 0; start < ids.length; start += k) {
    const own = probabilities.subarray(start, start + k);
    let sum = 0;
    for (let place = 0; place < k; place++) {
      if (ids[start + place]! >= vocabSize) [ids[start + place], own[place]] = [0, 0];
      sum += own[place]!;
    }
    if (sum > 0) for (let place = 0; place < k; place++) own[place]! /= sum;
  }
}

/** The position of a source of a file's rows; plain JSON. */
export interface TaughtState {
  readonly epoch: number;
  /** Rows of this epoch that were returned. */
  readonly position: number;
  /** The random state from which this epoch's order was drawn. */
  readonly random: readonly number[];
  /** To check that the state belongs to these rows. */
  readonly rows: number;
}

/** Batches of a file's rows, each row once per epoch, in a new order every epoch. */
export class OfflineSource implements BatchSource<TaughtState> {
  #random: Random;
  #epoch = 0;
  #position = 0;
  #epochStart: number[] = [];
  #order = new Int32Array(0);

  readonly #file: TaughtFile;
  readonly #options: { readonly batch: number; readonly seed: number; readonly vocabSize: number };

  /** @param options.vocabSize the student's vocabulary size: probabilities of further entries are dropped. */
  constructor(
    file: TaughtFile,
    options: { readonly batch: number; readonly seed: number; readonly vocabSize: number },
  ) {
    this.#file = file;
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#begin();
  }

  /** The next batch of rows, with the teacher's probabilities. */
  async next(): Promise<TrainingRows & { readonly epoch: number }> {
    if (this.#position === this.#order.length) this.#goOn();
    const epoch = this.#epoch;
    const rows: DecodedRow[] = [];
    const { batch, vocabSize } = this.#options;
    while (rows.length < batch) {
      if (this.#position === this.#order.length) this.#goOn();
      const row = await this.#file.row(this.#order[this.#position++]!);
      if (vocabSize < this.#file.header.vocabSize) leaveOut(row, vocabSize, this.#file.path);
      rows.push(row);
    }
    return { ...joinRows(rows), epoch };
  }

  state(): TaughtState {
    const epoch = this.#epoch;
    const position = this.#position;
    const epochStart = this.#epochStart;
    return { epoch, position, random: [...epochStart], rows: this.#file.header.rows };
  }

  restore({ epoch, position, random, rows }: TaughtState): void {
    const count = this.#file.header.rows;
    const isCount = (value: number) => Number.isInteger(value) && value >= 0;
    if (rows !== count) {
      throw new RopewalkError(
        `the saved data position is for ${rows} rows, but ${this.#file.path} has ${count}; resume with the same file.`,
      );
    }
    if (!isCount(epoch) || !isCount(position) || position > count || !Array.isArray(random)) {
      throw new RopewalkError(`the saved data position is damaged: epoch ${epoch}, row ${position}.`);
    }
    try {
      this.#random = Random.fromState(random);
    } catch (error) {
      throw new RopewalkError(`the saved data position is damaged: ${String(error)}.`, { cause: error });
    }
    this.#epoch = epoch;
    this.#begin();
    this.#position = position;
  }

  #goOn(): void {
    this.#epoch++;
    this.#begin();
  }

  #begin(): void {
    this.#epochStart = this.#random.state();
    this.#order = this.#random.shuffle(Int32Array.from({ length: this.#file.header.rows }, (_, i) => i));
    this.#position = 0;
  }
}
