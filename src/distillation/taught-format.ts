import { z } from 'zod';
import type { TrainingRows } from '../batches.ts';
import { RopewalkError } from '../errors.ts';
import type { ChosenEntries } from './choose.ts';

/**
 * What a teacher said about a text, written down once: a file of records of one size, so that any row is found by its
 * number. All numbers are little-endian.
 *
 *     8 bytes     "RWTAUGHT"
 *     4 bytes     length of the header
 *     header      JSON, padded with spaces to a multiple of 8 bytes in all
 *     rows        records with the teacher's word
 *     held out    records without it
 *
 * A record is a row of `seq` tokens: 4 bytes CRC-32 of the rest; the input ids; the target ids; a byte for each target, 1
 * where it counts; where texts are packed, positions and text numbers (2 bytes each). Then, in rows: 4 bytes float32, the
 * mean probability that the entries had together; for each target k ids, and k probabilities as 16-bit shares of 65,535,
 * whose error is the same for large and small ones, as it is in the loss's gradient (student − teacher). Ids take 2 bytes
 * where the vocabulary allows it, else 3.
 */
export const TAUGHT_MAGIC = 'RWTAUGHT';

/** A longer header is not ours. */
export const MOST_HEADER = 1 << 20;
const SHARE = 65535;
const MOST_SEQ = 65535;

const count = z.int().min(0);
const text = z.string().max(1000);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const headerSchema = z.object({
  format: z.literal(1),
  vocabSize: z
    .int()
    .min(1)
    .max(2 ** 24),
  /** Entries of the vocabulary in the teacher's distribution at each token. */
  k: z.int().min(1).max(65535),
  method: z.enum(['largest', 'sampled']),
  /** Of draws. */
  seed: z.int(),
  temperature: z.number().positive(),
  /** Tokens in a row. */
  seq: z.int().min(1).max(MOST_SEQ),
  packed: z.boolean(),
  rows: z.int().min(1),
  heldOut: count,
  /** Of what each id means. */
  tokenizer: sha256,
  /** What the teacher was called, and a hash that tells it from others. */
  teacher: z.object({ name: text, identity: sha256 }),
  /** What identifies the text. */
  data: text,
});
/** What stands at a file's beginning. */
export type TaughtHeader = z.infer<typeof headerSchema>;

/** Where things are in a file with this header. */
export interface TaughtLayout {
  /** Bytes of an id. */
  readonly idBytes: 2 | 3;
  /** Of a record without the teacher's word, and with it. */
  readonly plainBytes: number;
  readonly recordBytes: number;
}

export function layoutOf({ vocabSize, seq, packed, k }: TaughtHeader): TaughtLayout {
  const idBytes = vocabSize <= 65536 ? 2 : 3;
  const plainBytes = 4 + seq * (2 * idBytes + 1 + (packed ? 4 : 0));
  return { idBytes, plainBytes, recordBytes: plainBytes + 4 + seq * k * (idBytes + 2) };
}

/** The file's beginning: magic, length, header. */
export function encodeHeader(header: TaughtHeader): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(header));
  const start = TAUGHT_MAGIC.length + 4;
  const bytes = new Uint8Array(Math.ceil((start + json.length) / 8) * 8).fill(0x20);
  bytes.set(new TextEncoder().encode(TAUGHT_MAGIC));
  new DataView(bytes.buffer).setUint32(TAUGHT_MAGIC.length, bytes.length - start, true);
  bytes.set(json, start);
  return bytes;
}

/** @throws RopewalkError naming the file and what is wrong. @param json the header's bytes. */
export function decodeHeader(json: Uint8Array, file: string): TaughtHeader {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (error) {
    throw new RopewalkError(`${file}: its header is not JSON; the file is damaged: write it again.`, {
      cause: error,
    });
  }
  const parsed = headerSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new RopewalkError(
    `${file}: the header's field "${path.join('.')}" cannot be: ${message}. It is damaged or of another version: write it again with "teach".`,
  );
}

/** @throws RopewalkError when a text, a seq or a vocabulary does not fit into the format. */
export function checkHeader(header: TaughtHeader): void {
  const parsed = headerSchema.safeParse(header);
  if (parsed.success) return;
  const { path, message } = parsed.error.issues[0]!;
  throw new RopewalkError(`what a teacher says cannot be written with this ${path.join('.')}: ${message}.`);
}

/** One row of {@link TrainingRows}, and what the teacher said at each of its targets (undefined where it does not count). */
export interface TaughtRow {
  readonly rows: TrainingRows;
  readonly entries: readonly (ChosenEntries | undefined)[];
}

type Checksum = (bytes: Uint8Array) => number;

/** @param entries undefined for a row that is held out. */
export function encodeRow(
  header: TaughtHeader,
  { inputs, targets, weights, positions, segments }: TrainingRows,
  entries: TaughtRow['entries'] | undefined,
  checksum: Checksum,
): Uint8Array {
  const { seq, k, packed } = header;
  const layout = layoutOf(header);
  const writer = new Writer(entries ? layout.recordBytes : layout.plainBytes);
  writer.at = 4;
  for (const id of inputs) writer.integer(id, layout.idBytes);
  for (const id of targets) writer.integer(id, layout.idBytes);
  for (let i = 0; i < seq; i++) writer.integer(weights?.[i] ?? 1, 1);
  if (packed) {
    for (let i = 0; i < seq; i++) writer.integer(positions?.[i] ?? i, 2);
    for (let i = 0; i < seq; i++) writer.integer(segments?.[i] ?? 0, 2);
  }
  if (entries) {
    const known = entries.filter((entry) => entry !== undefined);
    writer.float(known.reduce((sum, { covered }) => sum + covered, 0) / Math.max(1, known.length));
    for (const entry of entries)
      for (let place = 0; place < k; place++) writer.integer(entry?.ids[place] ?? 0, layout.idBytes);
    for (const entry of entries)
      for (let place = 0; place < k; place++)
        writer.integer(Math.round((entry?.probabilities[place] ?? 0) * SHARE), 2);
  }
  const { bytes } = writer;
  new DataView(bytes.buffer).setUint32(0, checksum(bytes.subarray(4)), true);
  return bytes;
}

/** A row as it is read: the arrays of {@link TrainingRows}, and k entries of each target, renormalized. */
export interface DecodedRow {
  readonly inputs: Int32Array;
  readonly targets: Int32Array;
  readonly weights: Float32Array;
  readonly positions: Int32Array | undefined;
  readonly segments: Float32Array | undefined;
  /** `[seq, k]`; undefined in a row that is held out. */
  readonly entries:
    | { readonly ids: Int32Array; readonly probabilities: Float32Array; readonly covered: number }
    | undefined;
}

/**
 * @param what names the file and the row in messages.
 * @throws RopewalkError when a number cannot be: nothing of a damaged row reaches the engine.
 */
export function decodeRow(
  header: TaughtHeader,
  bytes: Uint8Array,
  taught: boolean,
  checksum: Checksum,
  what: string,
): DecodedRow {
  const { seq, k, packed, vocabSize } = header;
  const { idBytes } = layoutOf(header);
  const reader = new Reader(bytes);
  const damaged = (problem: string): never => {
    throw new RopewalkError(`${what} is damaged: ${problem}; write the file again with "teach".`);
  };
  if (reader.integer(4) !== checksum(bytes.subarray(4))) damaged('its checksum is another');
  const ids = (size: number) =>
    Int32Array.from({ length: size }, () => {
      const id = reader.integer(idBytes);
      return id < vocabSize ? id : damaged(`the id ${id} is beyond the vocabulary of ${vocabSize}`);
    });
  const inputs = ids(seq);
  const targets = ids(seq);
  const weights = Float32Array.from({ length: seq }, () => reader.integer(1));
  if (weights.some((weight) => weight > 1)) damaged('a target counts neither 0 nor 1');
  let positions: Int32Array | undefined;
  let segments: Float32Array | undefined;
  if (packed) {
    positions = Int32Array.from({ length: seq }, () => reader.integer(2));
    if (positions.some((position) => position >= seq)) damaged('a position is beyond the row');
    segments = Float32Array.from({ length: seq }, () => reader.integer(2));
  }
  const row = { inputs, targets, weights, positions, segments };
  if (!taught) return { ...row, entries: undefined };
  const covered = reader.float();
  const entryIds = ids(seq * k);
  const probabilities = new Float32Array(seq * k);
  for (let token = 0; token < seq; token++) {
    let sum = 0;
    for (let place = 0; place < k; place++) {
      const share = reader.integer(2);
      probabilities[token * k + place] = share;
      sum += share;
    }
    if (weights[token] === 0) continue;
    if (sum === 0) damaged(`nothing is said about token ${token}`);
    for (let place = token * k; place < (token + 1) * k; place++) probabilities[place]! /= sum;
  }
  return { ...row, entries: { ids: entryIds, probabilities, covered } };
}

class Writer {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
  }

  integer(value: number, size: 1 | 2 | 3): void {
    for (let i = 0; i < size; i++) this.bytes[this.at++] = (value >>> (8 * i)) & 255;
  }

  float(value: number): void {
    this.#view.setFloat32(this.at, value, true);
    this.at += 4;
  }
}

class Reader {
  readonly #view: DataView;
  #at = 0;

  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  integer(size: 1 | 2 | 3 | 4): number {
    let value = 0;
    for (let i = 0; i < size; i++) value += this.#bytes[this.#at++]! * 2 ** (8 * i);
    return value;
  }

  float(): number {
    const value = this.#view.getFloat32(this.#at, true);
    this.#at += 4;
    return value;
  }
}
