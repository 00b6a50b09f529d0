import { RopewalkError } from '../../errors.ts';

/** What a run was started with; a resumed run must be the same. Plain JSON. */
export type RunRecord = Readonly<Record<string, unknown>>;

/** A run goes on only with what it was started with: anything else would be another run. */
export function checkSameRun(stored: RunRecord, wanted: RunRecord, out: string): void {
  const difference = firstDifference(stored, wanted, '');
  if (difference) {
    throw new RopewalkError(
      `${out} was started with another ${difference}. Resume with the same options and text, or start anew in another folder.`,
    );
  }
}

function firstDifference(a: unknown, b: unknown, path: string): string | undefined {
  if (typeof a === 'object' && typeof b === 'object' && a !== null && b !== null) {
    const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
    for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
      const difference = firstDifference(left[key], right[key], path === '' ? key : `${path}.${key}`);
      if (difference) return difference;
    }
    return undefined;
  }
  if (a === b) return undefined;
  const values = `(${JSON.stringify(a)}, now ${JSON.stringify(b)})`;
  return `"${path}"${values.length < 100 ? ` ${values}` : ''}`;
}
