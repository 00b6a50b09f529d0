import { existsSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { TrainingRows } from '../batches.ts';
import { RopewalkError } from '../errors.ts';
import { fileError } from '../files/file-errors.ts';
import { Random } from '../random.ts';
import { agree } from '../ranks/agree.ts';
import type { Communicator } from '../ranks/communicator.ts';
import { anyStops } from '../ranks/dealt.ts';
import { grouped } from '../ranks/grouped.ts';
import type { Engine } from '../runtime/engine.ts';
import type { SequenceShape } from '../training/graph.ts';
import { Pace } from '../training/runs/pace.ts';
import { type ChosenEntries, largest, sampled } from './choose.ts';
import { type OpenedTeacher, startTeacher, vocabularyHash } from './open-teacher.node.ts';
import { checkHeader, encodeRow, type TaughtHeader } from './taught-format.ts';
import { TaughtWriter } from './taught-writer.node.ts';
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
  /** Processes that share the work. Every one of them is given the same options. */
  readonly ranks?: Communicator | undefined;
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

/**
 * Runs a teacher on every row once and records its probabilities; see `taught-format.ts`. The file is written under a
 * temporary name and renamed when complete. After an interruption, the same call (teacher, data and options) resumes
 * from the last complete row, with the same result.
 *
 * Several ranks are dealt the batches one by one; the first of them writes the file, which is the same for any number
 * of ranks.
 *
 * @param signal ends it after the current batch; what has been written is kept.
 * @throws RopewalkError if the file already exists, the options are invalid, or ranks have different ones.
 */
export async function* teach(
  engine: Engine,
  options: TeachOptions,
  signal?: AbortSignal,
): AsyncGenerator<TeachEvent, void> {
  const { teacher: opened, data, shape, out, ranks } = options;
  if (existsSync(out)) {
    throw new RopewalkError(`${out} already exists; choose another file, or remove it.`);
  }
  const header = await headerOf(options);
  // The text first: another one also has another number of rows.
  const { data: text, ...more } = header;
  if (ranks) await agree(ranks, { data: text, ...more });
  let writer: TaughtWriter | undefined;
  let release: (() => Promise<void>) | undefined;
  try {
    if (!ranks || ranks.rank === 0) writer = await TaughtWriter.open(header, out);
    const started = await startTeacher(engine, opened, shape);
    release = started.release;
    let done = writer?.rows ?? 0;
    if (ranks) done = Number((await ranks.gather(String(done)))[0]);
    if (done > 0) yield { type: 'resumed', rows: done };
    const pace = new Pace();
    for await (const group of grouped(unwritten(data, shape.seq, done), ranks?.size ?? 1)) {
      if (await anyStops(ranks, signal)) {
        await writer?.sync();
        yield { type: 'interrupted', rows: done };
        return;
      }
      const began = performance.now();
      const mine = group[ranks?.rank ?? 0];
      const records = mine ? await recordsOf(started.teacher, mine, header, done) : new Uint8Array(0);
      for (const each of ranks ? await ranks.collect(records) : [records]) await writer?.addTaught(each);
      const { first, wanted } = group.at(-1)!;
      pace.add((first + wanted.length - done) * shape.seq, (performance.now() - began) / 1000);
      done = first + wanted.length;
      const { tokensPerSecond } = pace;
      const secondsLeft = ((header.rows - done) * shape.seq) / tokensPerSecond;
      yield { type: 'progress', rows: done, of: header.rows, tokensPerSecond, secondsLeft };
    }
    if (writer) {
      for await (const batch of data.heldOut?.() ?? [])
        for (const index of countingRows(batch, shape.seq))
          await writer.addHeldOut(encodeRow(header, rowOf(batch, index, shape.seq), undefined, crc32));
      await writer.finish();
    }
    await ranks?.barrier();
    const { rows, heldOut } = header;
    const { bytes = 0, covered = 0 } = writer ?? {};
    yield { type: 'finished', rows, heldOut, bytes, covered: covered / rows };
  } catch (error) {
    throw fileError(error, 'write', out);
  } finally {
    await release?.();
    await writer?.close();
  }
}

/** Describes the whole file before any of it is computed. */
async function headerOf({ teacher, data, shape, ...options }: TeachOptions): Promise<TaughtHeader> {
  const header: TaughtHeader = {
    format: 1,
    vocabSize: teacher.opened.model.head.weight.shape[0]!,
    k: options.k,
    method: options.method,
    seed: options.seed,
    temperature: options.temperature,
    seq: shape.seq,
    packed: shape.packed ?? false,
    rows: await countRows(data.training(), shape.seq),
    heldOut: data.heldOut ? await countRows(data.heldOut(), shape.seq) : 0,
    tokenizer: vocabularyHash(teacher.tokenizer),
    teacher: { name: teacher.name, identity: teacher.identity },
    data: data.identity,
  };
  checkHeader(header);
  if (header.k > header.vocabSize) {
    throw new RopewalkError(
      `k is ${header.k}, but the vocabulary has ${header.vocabSize} entries; choose a smaller k.`,
    );
  }
  return header;
}

/** A batch whose rows are to be recorded. */
interface Wanted {
  readonly batch: TrainingRows;
  /** Indices of its rows with a counted target. */
  readonly wanted: readonly number[];
  /** The index of the first of them in the file. */
  readonly first: number;
}

/** The batches that an earlier run has not recorded, or not all rows of. */
async function* unwritten(
  { training }: TeachingData,
  seq: number,
  done: number,
): AsyncGenerator<Wanted, void> {
  let first = 0;
  for await (const batch of training()) {
    const wanted = countingRows(batch, seq);
    if (first + wanted.length > done) yield { batch, wanted, first };
    first += wanted.length;
  }
}

/** The records of a batch's wanted rows from the `done`th row of the file on. */
async function recordsOf(
  teacher: Teacher,
  { batch, wanted, first }: Wanted,
  header: TaughtHeader,
  done: number,
): Promise<Uint8Array> {
  const { seq } = header;
  const entries = await entriesOf(teacher, batch, header, first, wanted);
  const records = wanted.flatMap((index, i) =>
    first + i < done
      ? []
      : [encodeRow(header, rowOf(batch, index, seq), entries.slice(i * seq, (i + 1) * seq), crc32)],
  );
  return Buffer.concat(records);
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
