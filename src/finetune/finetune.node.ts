import { join } from 'node:path';
import type { RunEvent } from '../training/runs/events.ts';
import { RunDirectory } from '../training/runs/run-directory.node.ts';
import { type RunOptions, runJob } from '../training/runs/run-job.node.ts';
import { type DataFiles, dataFiles } from './data-files.node.ts';
import { type FinetuneData, type JobOptions, openFinetuning, settingsOf } from './job.node.ts';

/** Subfolder of a run for its tokenized data. */
export const DATA_FOLDER = 'data';

export interface FinetuneOptions extends Omit<JobOptions, 'now'>, Omit<RunOptions, 'measureLimit'> {}

/**
 * Trains every weight of a model, or those that are not frozen, on your own examples. The run is in a folder and can
 * be resumed bit for bit; the result is a Hugging Face directory.
 *
 * @param model a model directory or a GGUF file.
 * @param data files of examples; or examples, or a function that makes them from the model's tokenizer and template.
 * @throws RopewalkError for unusable settings, data or memory, and if values are not finite.
 */
export async function* finetune(
  model: string,
  data: FinetuneData | string | readonly string[] | Omit<DataFiles, 'folder'>,
  options: FinetuneOptions,
): AsyncGenerator<RunEvent, void> {
  const now = await beginningOf(options);
  const job = await openFinetuning(model, dataOf(data, options), { ...options, now });
  try {
    yield* runJob(job, { ...options, measureLimit: true });
  } finally {
    await job.close();
  }
}

function dataOf(data: Parameters<typeof finetune>[1], options: FinetuneOptions): FinetuneData {
  if (typeof data === 'function' || (typeof data === 'object' && 'read' in data)) return data;
  const files = typeof data === 'string' ? { files: [data] } : 'files' in data ? data : { files: data };
  const { signal, out } = options;
  return dataFiles(
    { ...files, folder: join(out, DATA_FOLDER), signal: files.signal ?? signal },
    settingsOf(options),
  );
}

/** When the resumed run began: templates that use the date must get the same one. */
export async function beginningOf({
  out,
  resume = 'never',
}: Pick<FinetuneOptions, 'out' | 'resume'>): Promise<Date> {
  if (resume === 'never' || !RunDirectory.exists(out)) return new Date();
  const { begun } = (await RunDirectory.open(out)).record;
  return typeof begun === 'string' ? new Date(begun) : new Date();
}
