import { RopewalkError } from '../errors.ts';
import { Random } from '../random.ts';

/** A training text. */
export interface Example {
  /** Token ids, `[length]`. */
  readonly ids: Int32Array;
  /** `[length]`: 1 if the token is a target whose loss counts (predicted from the one before), else 0. */
  readonly trained: Uint8Array;
}

/** Examples by index, not all of which need to be in memory. */
export interface DatasetView {
  readonly size: number;
  /** A hash of the examples' contents: equal identities mean the same examples in the same order. */
  readonly identity: string;
  /** The number of tokens in example `index`. */
  length(index: number): number;
  /** @throws RopewalkError if its file is damaged. */
  read(index: number): Promise<Example>;
}

/**
 * Examples in memory.
 *
 * @param identity distinguishes this data from other data, for the state of a run
 * @throws RopewalkError for an example without tokens, or whose two arrays differ in length.
 */
export function datasetOf(examples: readonly Example[], identity: string): DatasetView {
  for (const [i, { ids, trained }] of examples.entries()) {
    if (ids.length === 0 || ids.length !== trained.length) {
      throw new RopewalkError(
        `example ${i} has ${ids.length} ids but ${trained.length} training flags; give as many of each, at least one`,
      );
    }
  }
  const at = (index: number) => {
    checkIndex(index, examples.length);
    return examples[index]!;
  };
  return {
    size: examples.length,
    identity,
    length: (index) => at(index).ids.length,
    read: async (index) => at(index),
  };
}

/**
 * Sets examples aside for validation, drawn at random from a seed; both views keep the order of the data.
 *
 * @param validation a share below 1 (rounded, at least one example), or a number of examples. 0 sets none aside.
 * @throws RopewalkError if that leaves nothing to train on.
 */
export function splitDataset(
  dataset: DatasetView,
  validation: number,
  seed: number,
): { training: DatasetView; validation: DatasetView } {
  const { size } = dataset;
  const isShare = validation > 0 && validation < 1;
  if (!isShare && (!Number.isInteger(validation) || validation < 0)) {
    throw new RopewalkError(
      `the validation set must be a share below 1 or a number of examples, but is ${validation}`,
    );
  }
  const count = isShare ? Math.max(1, Math.round(size * validation)) : validation;
  if (count >= size) {
    throw new RopewalkError(
      `${count} of ${size} examples for validation leave none to train on; hold out fewer, or give more data`,
    );
  }
  const order = new Random(seed).shuffle(Int32Array.from({ length: size }, (_, i) => i));
  const part = (name: string, indices: Int32Array) =>
    subset(dataset, indices.sort(), `${dataset.identity}/${name}-${count}-of-${size}-seed-${seed}`);
  return {
    training: part('training', order.slice(count)),
    validation: part('validation', order.slice(0, count)),
  };
}

function subset(dataset: DatasetView, indices: Int32Array, identity: string): DatasetView {
  const at = (index: number) => {
    checkIndex(index, indices.length);
    return indices[index]!;
  };
  return {
    size: indices.length,
    identity,
    length: (index) => dataset.length(at(index)),
    read: async (index) => dataset.read(at(index)),
  };
}

/** @throws RangeError, since a wrong index is a bug in the program. */
export function checkIndex(index: number, size: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= size) {
    throw new RangeError(`there is no example ${index}: they are numbered 0 to ${size - 1}`);
  }
}
