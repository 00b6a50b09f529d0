import { RopewalkError } from '../errors.ts';

interface Watched {
  readonly name: string;
  readonly value: Float32Array;
  readonly gradient?: Float32Array;
}

/** Non-finite values: training cannot continue. */
export class NotFiniteError extends RopewalkError {}

/** The error for a step with non-finite values: names the first weight that is not finite, else the first gradient. */
export function notFinite(loss: number, parameters: Iterable<Watched>): NotFiniteError {
  const bad = (values: Float32Array | undefined) => values?.some((value) => !Number.isFinite(value)) ?? false;
  const all = [...parameters];
  const weight = all.find(({ value }) => bad(value));
  const gradient = all.find(({ gradient }) => bad(gradient));
  const where = weight
    ? `the weight ${weight.name} is not finite`
    : `the gradient of ${gradient?.name ?? 'the loss'} is not finite`;
  return new NotFiniteError(`the loss is ${loss} and ${where}`);
}

/** The name of the first array with a non-finite value; undefined if all are finite. */
export function firstNotFiniteArray(arrays: Iterable<readonly [string, Float32Array]>): string | undefined {
  for (const [name, values] of arrays) {
    // A sum is not finite if any element is not; a finite sum that overflows is checked element by element.
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[i]!;
    if (!Number.isFinite(sum) && values.some((value) => !Number.isFinite(value))) return name;
  }
  return undefined;
}
