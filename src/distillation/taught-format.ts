import { z } from 'zod';
import type { TrainingRows } from '../batches.ts';
import { RopewalkError } from '../errors.ts';
import type { ChosenEntries } from './choose.ts';

/**
 * A teacher's probabilities for a text, recorded once: a file of fixed-size records, so that any row is found by its
 * index. All numbers are little-endian.
 *
 *     8 bytes     "RWTAUGHT"
 *     4 bytes     length of the header
 *     header      JSON, padded with spaces to a total multiple of 8 bytes
 *     rows        records with the teacher's probabilities
 *     held out    records without it
 *
 * A record is a row of `seq` tokens: 4 bytes CRC-32 of the rest; the input ids; the target ids; a byte per target, 1
 * if it counts; for packed texts, positions and text indices (2 bytes each). Then, in rows: 4 bytes float32, the mean
 * total probability of the entries; for each target k ids, and k probabilities as 16-bit fractions of 65,535, whose
 * error is the same for large and small values, as in the loss's gradient (student − teacher). Ids take 2 bytes if the
 * vocabulary allows, else 3.
 */
export const TAUGHT_MAGIC = 'RWTAUGHT';

/** The longest valid header. */
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
  /** Entries of the teacher's distribution per token. */
  k: z.int().min(1).max(65535),
  method: z.enum(['largest', 'sampled']),
  /** For sampled entries. */
  seed: z.int(),
  temperature: z.number().positive(),
  /** Tokens per row. */
  seq: z.int().min(1).max(MOST_SEQ),
  packed: z.boolean(),
  rows: z.int().min(1),
  heldOut: count,
  /** A hash of the meanings of all ids. */
  tokenizer: sha256,
  /** The teacher's name, and a hash that distinguishes it from others. */
  teacher: z.object({ name: text, identity: sha256 }),
  /** An identifier of the text. */
  data: text,
});
/** The header of a file. */
export type TaughtHeader = z.infer<typeof headerSchema>;

/** The layout of a file with this header. */
export interface TaughtLayout {
  /** Bytes per id. */
  readonly idBytes: 2 | 3;
  /** Bytes of a record without and with the teacher's probabilities. */
  readonly plainBytes: number;
  readonly recordBytes: number;
}

export function layoutOf({ vocabSize, seq, packed, k }: TaughtHeader): TaughtLayout {
  const idBytes = vocabSize <= 65536 ? 2 : 3;
  const plainBytes = 4 + seq * (2 * idBytes + 1 + (packed ? 4 : 0));
  return { idBytes, plainBytes, recordBytes: plainBytes + 4 + seq * k * (idBytes + 2) };
}

/** The beginning of a file: magic, length, header. */
export function encodeHeader(header: TaughtHeader): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(header));
  const start = TAUGHT_MAGIC.length + 4;
  const bytes = new Uint8Array(Math.ceil((start + json.length) / 8) * 8).fill(0x20);
  bytes.set(new TextEncoder().encode(TAUGHT_MAGIC));
  new DataView(bytes.buffer).setUint32(TAUGHT_MAGIC.length, bytes.length - start, true);
  bytes.set(json, start);
  return bytes;
}

/** @throws RopewalkError naming the file and the problem. @param json the header's bytes. */
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
    `${file}: the header's field "${path.join('.')}" is invalid: ${message}. It is damaged or of another version: write it again with "teach".`,
  );
}

/** @throws RopewalkError if a text, a seq or a vocabulary does not fit into the format. */
export function checkHeader(header: TaughtHeader): void {
  const parsed = headerSchema.safeParse(header);
  if (parsed.success) return;
  const { path, message } = parsed.error.issues[0]!;
  throw new RopewalkError(
    `the teacher's probabilities cannot be written with this ${path.join('.')}: ${message}.`,
  );
}

/** One row of {@link TrainingRows}, with the teacher's entries at each target (undefined where it does not count). */
export interface TaughtRow {
  readonly rows: TrainingRows;
  readonly entries: readonly (ChosenEntries | undefined)[];
}

type Checksum = (bytes: Uint8Array) => number;

/** @param entries undefined for a held-out row. */
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

/** The mean total probability of the entries in a row's record. */
export function coveredIn(header: TaughtHeader, record: Uint8Array): number {
  const { buffer, byteOffset } = record;
  return new DataView(buffer).getFloat32(byteOffset + layoutOf(header).plainBytes, true);
}

/** A decoded row: the arrays of {@link TrainingRows}, and k renormalized entries per target. */
export interface DecodedRow {
  readonly inputs: Int32Array;
  readonly targets: Int32Array;
  readonly weights: Float32Array;
  readonly positions: Int32Array | undefined;
  readonly segments: Float32Array | undefined;
  /** `[seq, k]`; undefined in a held-out row. */
  readonly entries:
    | { readonly ids: Int32Array; readonly probabilities: Float32Array; readonly covered: number }
    | undefined;
}

/**
 * @param what the file and the row, for messages.
 * @throws RopewalkError if a value is invalid: nothing from a damaged row reaches the engine.
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
  if (reader.integer(4) !== checksum(bytes.subarray(4))) damaged('its checksum does not match');
  const ids = (size: number) =>
    Int32Array.from({ length: size }, () => {
      const id = reader.integer(idBytes);
      return id < vocabSize ? id : damaged(`the id ${id} is beyond the vocabulary of ${vocabSize}`);
    });
  const inputs = ids(seq);
  const targets = ids(seq);
  const weights = Float32Array.from({ length: seq }, () => reader.integer(1));
  if (weights.some((weight) => weight > 1)) damaged("a target's weight is neither 0 nor 1");
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
    if (sum === 0) damaged(`there are no probabilities for token ${token}`);
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
