import { type Dataset, type PrepareOptions, prepareDataset } from '../data/dataset.node.ts';
import { resolveData } from '../data/reading/resolve-data.node.ts';
import type { FinetuneData } from './job.node.ts';
import type { FinetuneSettings } from './settings.ts';

export interface DataFiles
  extends Pick<
    PrepareOptions,
    'files' | 'folder' | 'columns' | 'tooLong' | 'malformed' | 'specialTokensInText' | 'signal' | 'onProgress'
  > {
  /** Called with a sentence if only part of a folder or a dataset is trained on. */
  readonly onNote?: (text: string) => void;
  /** Called when the data is ready. */
  readonly onReady?: (dataset: Dataset) => void;
}

/**
 * Data in files (or patterns, folders, datasets on the hub; see {@link resolveData}) for `finetune`, tokenized for the
 * model and the settings.
 */
export function dataFiles(
  { onReady, onNote, files: names, ...options }: DataFiles,
  { seq, trainOn }: Pick<FinetuneSettings, 'seq' | 'trainOn'>,
): FinetuneData {
  return async ({ tokenizer, template }, now) => {
    const { signal } = options;
    const files = await resolveData(names, { ...(signal && { signal }), onNote });
    // A row of seq inputs and their targets has one more token.
    const dataset = await prepareDataset({
      ...options,
      ...{ files, tokenizer, template, trainOn, maxLength: seq + 1, now },
    });
    onReady?.(dataset);
    return dataset;
  };
}
