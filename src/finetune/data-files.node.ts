import { type Dataset, type PrepareOptions, prepareDataset } from '../data/dataset.node.ts';
import type { FinetuneData } from './job.node.ts';
import type { FinetuneSettings } from './settings.ts';

export interface DataFiles
  extends Pick<
    PrepareOptions,
    'files' | 'folder' | 'columns' | 'tooLong' | 'malformed' | 'specialTokensInText' | 'signal' | 'onProgress'
  > {
  /** Called when the data are ready. */
  readonly onReady?: (dataset: Dataset) => void;
}

/** Data in files, for {@link file://./finetune.node.ts finetune}: tokenised as the model and the settings ask for. */
export function dataFiles(
  { onReady, ...files }: DataFiles,
  { seq, trainOn }: Pick<FinetuneSettings, 'seq' | 'trainOn'>,
): FinetuneData {
  return async ({ tokenizer, template }, now) => {
    // A row of seq inputs and their targets holds one token more.
    const dataset = await prepareDataset({ ...files, tokenizer, template, trainOn, maxLength: seq + 1, now });
    onReady?.(dataset);
    return dataset;
  };
}
