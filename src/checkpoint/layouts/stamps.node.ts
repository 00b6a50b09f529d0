import type { FileStamp } from '../../files/source.ts';

/**
 * The stamps of files that are to be recognized later; undefined if one has changed since it was opened, or in the last
 * `settledMs`: the clocks of file systems have steps, so it could change again at the same time.
 */
export async function settledStamps(
  stampsOf: (() => Promise<FileStamp[] | undefined>) | undefined,
  settledMs: number,
): Promise<FileStamp[] | undefined> {
  const stamps = await stampsOf?.().catch(() => undefined);
  const latest = BigInt(Date.now() - settledMs) * 1_000_000n;
  const isSettled = ({ modified, changed }: FileStamp) => modified < latest && changed < latest;
  return settledMs === 0 || stamps?.every(isSettled) ? stamps : undefined;
}

/** Stamps as JSON. */
export function stampsJson(stamps: readonly FileStamp[]): string[][] {
  return stamps.map(({ sample, ...numbers }) => [sample, ...Object.values(numbers).map(String)]);
}
