import type { DatasetView } from '../data/view.ts';
import type { DataSize } from '../training/runs/plan.ts';

/**
 * The size of a dataset, for a plan.
 *
 * @param dataset may know how many of its tokens count; those of a part are then estimated.
 */
export async function datasetSize(
  dataset: DatasetView & { readonly trainedTokens?: number },
  { training, validation }: { readonly training: DatasetView; readonly validation: DatasetView },
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
