import { norm } from './numbers.ts';

type Weights = ReadonlyMap<string, Float32Array>;

export function copies(values: Weights): Map<string, Float32Array> {
  return new Map([...values].map(([path, data]) => [path, data.slice()]));
}

/** The difference of all weights, relative to their norm. */
export function difference(expected: Weights, got: Weights): number {
  let [wrong, whole] = [0, 0];
  for (const [path, data] of expected) {
    const other = got.get(path)!;
    wrong += norm(data.map((value, i) => value - other[i]!)) ** 2;
    whole += norm(data) ** 2;
  }
  return Math.sqrt(wrong / whole);
}

export function sameBits(a: Weights, b: Weights): boolean {
  return [...a].every(([path, data]) => {
    const other = b.get(path)!;
    return data.every((value, i) => Object.is(value, other[i]));
  });
}
