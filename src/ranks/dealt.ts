import type { Communicator } from './communicator.ts';
import { grouped } from './grouped.ts';

/** A piece of work: runs it, and yields its results. */
export type Piece<T> = (signal: AbortSignal | undefined) => AsyncIterable<T>;

/**
 * Runs pieces of work one after another. Several ranks take turns: each runs every Nth piece as a whole, and all receive the
 * results of all, in the order of the pieces, as JSON has them.
 *
 * @param signal of this rank. Several ranks stop together, before their next pieces, once one of theirs has aborted.
 * @throws the signal's reason; an `AbortError` on ranks whose own signal has not aborted.
 */
export async function* dealt<T>(
  pieces: readonly Piece<T>[],
  ranks: Communicator | undefined,
  signal?: AbortSignal,
): AsyncGenerator<T, void> {
  if (!ranks) {
    for (const piece of pieces) yield* piece(signal);
    return;
  }
  for await (const group of grouped(pieces, ranks.size)) {
    if (await anyStops(ranks, signal)) throw stopped(signal);
    const own: T[] = [];
    const piece = group[ranks.rank];
    if (piece) for await (const result of piece(undefined)) own.push(result);
    for (const text of await ranks.gather(JSON.stringify(own))) yield* JSON.parse(text) as T[];
  }
}

/** Whether the signal of any rank has aborted. */
export async function anyStops(
  ranks: Communicator | undefined,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const wishes = Float64Array.of(signal?.aborted ? 1 : 0);
  await ranks?.sum([wishes]);
  return wishes[0]! > 0;
}

function stopped(signal: AbortSignal | undefined): unknown {
  return signal?.aborted ? signal.reason : new DOMException('Another rank was interrupted.', 'AbortError');
}
