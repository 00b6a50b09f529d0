import { existsSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import type { TrainingRows } from '../batches.ts';
import { RopewalkError } from '../errors.ts';
import { FileSource, fileSink } from '../files/file.node.ts';
import { fileError } from '../files/file-errors.ts';
import { Random } from '../random.ts';
import type { Engine } from '../runtime/engine.ts';
import type { SequenceShape } from '../training/graph.ts';
import { Pace } from '../training/runs/pace.ts';
import { lockFile } from '../training/runs/run-lock.node.ts';
import { type ChosenEntries, largest, sampled } from './choose.ts';
import { type OpenedTeacher, startTeacher, vocabularyHash } from './open-teacher.node.ts';
import { readTaughtHeader } from './taught-file.node.ts';
import {
  checkHeader,
  decodeRow,
  encodeHeader,
  encodeRow,
  layoutOf,
  type TaughtHeader,
} from './taught-format.ts';
import type { Teacher } from './teacher.ts';

/** Rows for the teacher, and rows to evaluate students on. */
export interface TeachingData {
  /** From the beginning, the same each time; rows without counted targets are skipped. Weights are 0 or 1. */
  readonly training: () => Iterable<TrainingRows> | AsyncIterable<TrainingRows>;
  readonly heldOut?: () => Iterable<TrainingRows> | AsyncIterable<TrainingRows>;
  /** An identifier of the text, such as a hash. */
  readonly identity: string;
}

export interface TeachOptions {
  readonly teacher: OpenedTeacher;
  readonly data: TeachingData;
  /** The shape of the data's batches. */
  readonly shape: SequenceShape;
  /** Vocabulary entries kept per token. */
  readonly k: number;
  /** The `largest` probabilities, renormalized, or entries `sampled` from the teacher's distribution. */
  readonly method: 'largest' | 'sampled';
  /** The temperature of the teacher's softmax; students must use the same. */
  readonly temperature: number;
  /** For sampled entries. */
  readonly seed: number;
  /** The file. It appears once it is complete. */
  readonly out: string;
}

export type TeachEvent =
  | { readonly type: 'resumed'; readonly rows: number }
  | {
      readonly type: 'progress';
      readonly rows: number;
      readonly of: number;
      readonly tokensPerSecond: number;
      readonly secondsLeft: number;
    }
  | {
      readonly type: 'finished';
      readonly rows: number;
      readonly heldOut: number;
      readonly bytes: number;
      /** Mean total probability of the kept entries. */
      readonly covered: number;
    }
  | { readonly type: 'interrupted'; readonly rows: number };

/** Bytes between syncs to disk. */
const SYNC_EVERY = 64 * 2 ** 20;

/**
 * Runs a teacher on every row once and records its probabilities; see `taught-format.ts`. The file is written under a
 * temporary name and renamed when complete. After an interruption, the same call (teacher, data and options) resumes
 * from the last complete row, with the same result.
 *
 * @param signal ends it after the current batch; what has been written is kept.
 * @throws RopewalkError if the file already exists, or the options are invalid.
 */
export async function* teach(
  engine: Engine,
  options: TeachOptions,
  signal?: AbortSignal,
): AsyncGenerator<TeachEvent, void> {
  const { teacher: opened, data, shape, out } = options;
  if (existsSync(out)) {
    throw new RopewalkError(`${out} already exists; choose another file, or remove it.`);
  }
  const header: TaughtHeader = {
    format: 1,
    vocabSize: opened.opened.model.head.weight.shape[0]!,
    k: options.k,
    method: options.method,
    seed: options.seed,
    temperature: options.temperature,
    seq: shape.seq,
    packed: shape.packed ?? false,
    rows: await countRows(data.training(), shape.seq),
    heldOut: data.heldOut ? await countRows(data.heldOut(), shape.seq) : 0,
    tokenizer: vocabularyHash(opened.tokenizer),
    teacher: { name: opened.name, identity: opened.identity },
    data: data.identity,
  };
  checkHeader(header);
  if (header.k > header.vocabSize) {
    throw new RopewalkError(
      `k is ${header.k}, but the vocabulary has ${header.vocabSize} entries; choose a smaller k.`,
    );
  }
  const partial = join(dirname(resolve(out)), `.${basename(out)}.teaching`);
  const { recordBytes } = layoutOf(header);
  const lock = await lockFile(`${partial}.lock`, out);
  let file: FileHandle | undefined;
  let release: (() => Promise<void>) | undefined;
  try {
    const started = await startTeacher(engine, opened, shape);
    release = started.release;
    const { teacher } = started;
    const beginning = encodeHeader(header);
    const known = await wholeRows(partial, header, beginning.length);
    file = await open(partial, known ? 'r+' : 'w');
    if (known) yield { type: 'resumed', rows: known.rows };
    else await fileSink(file).write(beginning);
    let at = beginning.length + (known?.rows ?? 0) * recordBytes;
    await file.truncate(at);
    let covered = known?.covered ?? 0;
    let done = known?.rows ?? 0;
    let unsynced = 0;
    const pace = new Pace();
    const write = async (bytes: Uint8Array) => {
      for (let written = 0; written < bytes.length; ) {
        const left = bytes.length - written;
        const { bytesWritten } = await file!.write(bytes, written, left, at + written);
        written += bytesWritten;
      }
      at += bytes.length;
      unsynced += bytes.length;
      if (unsynced < SYNC_EVERY) return;
      await file!.datasync();
      unsynced = 0;
    };
    let row = 0;
    for await (const batch of data.training()) {
      const wanted = countingRows(batch, shape.seq);
      const first = row;
      row += wanted.length;
      // Rows written by an earlier run are not computed again.
      if (row <= done) continue;
      if (signal?.aborted) {
        await file.sync();
        yield { type: 'interrupted', rows: done };
        return;
      }
      const started = performance.now();
      const entries = await entriesOf(teacher, batch, header, first, wanted);
      for (const [i, index] of wanted.entries()) {
        if (first + i < done) continue;
        const said = entries.slice(i * shape.seq, (i + 1) * shape.seq);
        await write(encodeRow(header, rowOf(batch, index, shape.seq), said, crc32));
        const known = said.filter((entry) => entry !== undefined);
        covered += known.reduce((sum, entry) => sum + entry.covered, 0) / known.length;
      }
      pace.add((row - Math.max(first, done)) * shape.seq, (performance.now() - started) / 1000);
      done = row;
      const { tokensPerSecond } = pace;
      const secondsLeft = ((header.rows - done) * shape.seq) / tokensPerSecond;
      yield { type: 'progress', rows: done, of: header.rows, tokensPerSecond, secondsLeft };
    }
    if (data.heldOut) {
      for await (const batch of data.heldOut()) {
        for (const index of countingRows(batch, shape.seq)) {
          await write(encodeRow(header, rowOf(batch, index, shape.seq), undefined, crc32));
        }
      }
    }
    await file.sync();
    await file.close();
    file = undefined;
    await rename(partial, out);
    const { rows, heldOut } = header;
    yield { type: 'finished', rows, heldOut, bytes: at, covered: covered / rows };
  } catch (error) {
    throw fileError(error, 'write', out);
  } finally {
    await file?.close();
    await release?.();
    await lock.release();
  }
}

/** What an earlier run wrote for the same header, in complete rows; undefined if there is nothing to resume. */
async function wholeRows(path: string, header: TaughtHeader, dataStart: number) {
  if (!existsSync(path)) return undefined;
  const source = await FileSource.open(path);
  try {
    const found = await readTaughtHeader(source);
    const same = JSON.stringify(found.header) === JSON.stringify(header) && found.dataStart === dataStart;
    if (!same) return undefined;
    const { recordBytes } = layoutOf(header);
    let [rows, covered] = [0, 0];
    for (; rows < header.rows; rows++) {
      const at = dataStart + rows * recordBytes;
      if (at + recordBytes > source.size) break;
      const row = decodeRow(header, await source.read(at, recordBytes), true, crc32, `${path}: row ${rows}`);
      covered += row.entries!.covered;
    }
    return { rows, covered };
  } catch (error) {
    // Its header is incomplete or damaged: start over.
    if (!(error instanceof RopewalkError)) throw error;
    await rm(path);
    return undefined;
  } finally {
    await source.close();
  }
}

/** Indices of a batch's rows with a counted target. */
function countingRows({ inputs, weights }: TrainingRows, seq: number): number[] {
  const rows = Array.from({ length: inputs.length / seq }, (_, row) => row);
  if (!weights) return rows;
  return rows.filter((row) => weights.subarray(row * seq, (row + 1) * seq).some((weight) => weight !== 0));
}

async function countRows(data: Iterable<TrainingRows> | AsyncIterable<TrainingRows>, seq: number) {
  let rows = 0;
  for await (const batch of data) {
    if (batch.weights?.some((weight) => weight !== 0 && weight !== 1)) {
      throw new RopewalkError("a target's weight must be 0 or 1 to be recorded.");
    }
    rows += countingRows(batch, seq).length;
  }
  return rows;
}

function rowOf(batch: TrainingRows, index: number, seq: number): TrainingRows {
  const [from, to] = [index * seq, (index + 1) * seq];
  const { inputs, targets, weights, positions, segments } = batch;
  return {
    inputs: inputs.subarray(from, to),
    targets: targets.subarray(from, to),
    ...(weights && { weights: weights.subarray(from, to) }),
    ...(positions && { positions: positions.subarray(from, to) }),
    ...(segments && { segments: segments.subarray(from, to) }),
  };
}

/** The teacher's entries at each target of the wanted rows, in order; undefined where it does not count. */
async function entriesOf(
  teacher: Teacher,
  batch: TrainingRows,
  { k, method, temperature, seed, seq }: TaughtHeader,
  first: number,
  wanted: readonly number[],
): Promise<(ChosenEntries | undefined)[]> {
  const all = new Array<ChosenEntries | undefined>(batch.inputs.length).fill(undefined);
  const { vocabSize } = teacher;
  const hidden = await teacher.hiddenStates(batch);
  // Draws depend only on the row's index, so that a resumed run makes the same ones.
  const places = new Map(wanted.map((row, i) => [row, new Random(seed + (first + i) * 2 ** 20)]));
  for await (const { start, rows, data } of teacher.probabilities(hidden, temperature)) {
    for (let token = start; token < start + rows; token++) {
      const random = places.get(Math.floor(token / seq));
      if (!random || batch.weights?.[token] === 0) continue;
      const distribution = data.subarray((token - start) * vocabSize, (token - start + 1) * vocabSize);
      const chosen = method === 'largest' ? largest(distribution, k) : sampled(distribution, k, random);
      if (!(chosen.covered > 0)) {
        throw new RopewalkError("the teacher's probabilities are NaN: its weights are damaged.");
      }
      all[token] = chosen;
    }
  }
  return wanted.flatMap((row) => all.slice(row * seq, (row + 1) * seq));
}
