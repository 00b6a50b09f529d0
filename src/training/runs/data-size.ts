import type { DataSize } from './plan.ts';

/** Examples that can be counted, such as a data set's. */
export interface CountedExamples {
  readonly size: number;
  /** Tokens of an example. */
  length(index: number): number;
  read(index: number): Promise<{ readonly trained: Uint8Array }>;
}

/**
 * The size of a dataset, for a plan.
 *
 * @param dataset may know how many of its tokens count; those of a part are then estimated.
 */
export async function datasetSize(
  dataset: CountedExamples & { readonly trainedTokens?: number },
  { training, validation }: { readonly training: CountedExamples; readonly validation: CountedExamples },
  batchesPerEpoch: number,
): Promise<DataSize> {
  let tokens = 0;
  for (let i = 0; i < training.size; i++) tokens += training.length(i);
  let trainedTokens = 0;
  if (dataset.trainedTokens !== undefined) {
    trainedTokens = Math.round((dataset.trainedTokens * training.size) / dataset.size);
  } else {
    for (let i = 0; i < training.size; i++) {
      trainedTokens += (await training.read(i)).trained.reduce((sum, each) => sum + each, 0);
    }
  }
  return {
    examples: training.size,
    validationExamples: validation.size,
    ...{ tokens, trainedTokens, batchesPerEpoch },
  };
}
