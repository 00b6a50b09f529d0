import type { TrainingRows } from '../../batches.ts';
import { option as named, said } from '../../errors.ts';
import { OptionError } from '../../options.ts';

/** Which rows of a step a rank computes on, and in which micro-batches. */
export interface Share {
  /** Rows in one of this rank's micro-batches. */
  readonly batch: number;
  /** Micro-batches of a step. */
  readonly accumulate: number;
}

/**
 * Deals the rows of a step out to ranks, as many to each, in micro-batches as large as they fit, but not larger than one
 * process would use.
 *
 * @throws OptionError for a number of rows that does not divide by the number of ranks.
 */
export function shareOf(batch: number, accumulate: number, ranks: number): Share {
  const rows = batch * accumulate;
  if (rows % ranks !== 0) {
    throw new OptionError(
      'batch',
      said`a step has ${rows} rows (${named('batch')} ${batch} × ${named('accumulate')} ${accumulate}), which cannot be dealt out to ${ranks} ranks; choose a multiple of ${ranks}.`,
    );
  }
  const own = rows / ranks;
  let size = Math.min(batch, own);
  while (own % size !== 0) size--;
  return { batch: size, accumulate: own / size };
}

/**
 * A rank's rows of a step.
 *
 * @param batches the step's micro-batches, of `seq` tokens a row, all of the same number of rows.
 */
export function dealRows(
  batches: readonly TrainingRows[],
  seq: number,
  { batch, accumulate }: Share,
  rank: number,
): TrainingRows[] {
  const rows = batches.map(({ inputs }) => inputs.length / seq);
  return Array.from({ length: accumulate }, (_, i) => {
    let from = (rank * accumulate + i) * batch;
    let missing = batch;
    const pieces: TrainingRows[] = [];
    for (const [which, one] of batches.entries()) {
      const take = Math.min(missing, rows[which]! - from);
      if (take > 0) {
        pieces.push(sliceRows(one, rows[which]!, from, from + take));
        missing -= take;
      }
      from = Math.max(0, from - rows[which]!);
    }
    return joinRows(pieces, seq);
  });
}

/** Rows that count for nothing, to fill a last group of held-out rows up. */
export function blankRows({ inputs, extra }: TrainingRows): TrainingRows {
  const { length } = inputs;
  const blank = { inputs: new Int32Array(length), targets: new Int32Array(length) };
  return { ...blank, weights: new Float32Array(length), ...(extra && { extra }) };
}

type Data = Float32Array | Int32Array;

function sliceRows(one: TrainingRows, rows: number, start: number, end: number): TrainingRows {
  if (start === 0 && end === rows) return one;
  const part = <T extends Data>(data: T) =>
    data.subarray((data.length / rows) * start, (data.length / rows) * end) as T;
  const { inputs, targets, weights, positions, segments, extra } = one;
  return {
    ...{ inputs: part(inputs), targets: part(targets) },
    ...(weights && { weights: part(weights) }),
    ...(positions && { positions: part(positions) }),
    ...(segments && { segments: part(segments) }),
    ...(extra && {
      extra: Object.fromEntries(
        Object.entries(extra).map(
          ([
            name,
            {
              data,
              shape: [first, ...rest],
            },
          ]) => [name, { data: part(data), shape: [(first! / rows) * (end - start), ...rest] }],
        ),
      ),
    }),
  };
}

function joinRows(pieces: readonly TrainingRows[], seq: number): TrainingRows {
  const [first, ...others] = pieces;
  if (others.length === 0) return first!;
  const all = <T extends Data>(of: (one: TrainingRows) => T) => joined(pieces.map(of));
  const some = <T extends Data>(
    of: (one: TrainingRows) => T | undefined,
    otherwise: (length: number) => T,
  ) => (pieces.some(of) ? all((one) => of(one) ?? otherwise(one.inputs.length)) : undefined);
  const weights = some(
    ({ weights }) => weights,
    (length) => new Float32Array(length).fill(1),
  );
  const positions = some(
    ({ positions }) => positions,
    (length) => Int32Array.from({ length }, (_, i) => i % seq),
  );
  const segments = some(
    ({ segments }) => segments,
    (length) => new Float32Array(length),
  );
  return {
    ...{ inputs: all(({ inputs }) => inputs), targets: all(({ targets }) => targets) },
    ...(weights && { weights }),
    ...(positions && { positions }),
    ...(segments && { segments }),
    ...(first!.extra && {
      extra: Object.fromEntries(
        Object.keys(first!.extra).map((name) => {
          const parts = pieces.map(({ extra }) => extra![name]!);
          const length = parts.reduce((sum, { shape }) => sum + shape[0]!, 0);
          return [
            name,
            { data: joined(parts.map(({ data }) => data)), shape: [length, ...parts[0]!.shape.slice(1)] },
          ];
        }),
      ),
    }),
  };
}

function joined<T extends Data>(parts: readonly T[]): T {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const whole = new (parts[0]!.constructor as new (length: number) => T)(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
