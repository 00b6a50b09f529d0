import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { dataFileEnding, readRows } from '../../data/reading/read-rows.node.ts';
import { type NamedOption, option, RopewalkError, said } from '../../errors.ts';
import { filesBelow } from '../../files/paths.node.ts';
import { type PullDatasetOptions, pullDataset } from '../../hub/pull-dataset.node.ts';
import { BUILT_IN, FORGETTING, forgettingRows } from '../forgetting.ts';
import type { Doc } from '../python/values.ts';
import type { TaskConfig } from './config.ts';
import { typedColumns } from './csv-columns.ts';
import { asDocs } from './data.ts';

/**
 * Where data sets lie: `NAME=PATH`, NAME a task's `dataset_path`, `dataset_path:dataset_name` or its own name, with `@SPLIT`
 * for a file of one split; PATH a file or a folder with a file for each split.
 */
export type DataPlaces = ReadonlyMap<string, string>;

/** The splits' names in names of files, with words that mean the same. */
const SPLIT_WORDS: Readonly<Record<string, readonly string[]>> = {
  train: ['train', 'training'],
  validation: ['validation', 'valid', 'val', 'dev'],
  test: ['test', 'testing', 'eval', 'evaluation'],
};

/** Reads a split of a task's data set: from what the user names, else from the hub. */
export async function readSplit(
  config: TaskConfig,
  split: string,
  places: DataPlaces,
  options: PullDatasetOptions = {},
): Promise<readonly Doc[]> {
  if (config.datasetPath === BUILT_IN && config.name.startsWith(FORGETTING)) return forgettingRows(split);
  const files = await filesOf(config, split, places, options);
  const rows: Record<string, unknown>[] = [];
  let isText = false;
  for (const file of files) {
    isText ||= ['csv', 'tsv'].includes(dataFileEnding(file)?.ending ?? '');
    for await (const { where, values, problem } of readRows(file)) {
      if (!values) throw new RopewalkError(`task "${config.name}", split "${split}": ${where}: ${problem}`);
      rows.push({ ...values });
    }
  }
  return asDocs(isText ? typedColumns(rows) : rows);
}

async function filesOf(
  config: TaskConfig,
  split: string,
  places: DataPlaces,
  options: PullDatasetOptions,
): Promise<readonly string[]> {
  const { name, datasetPath, datasetName, datasetSettings } = config;
  const names = [name, ...(datasetPath === undefined ? [] : [`${datasetPath}:${datasetName}`, datasetPath])];
  for (const known of names) {
    const exact = places.get(`${known}@${split}`);
    if (exact !== undefined) return [exact];
    const place = places.get(known);
    if (place !== undefined) return filesAt(config, split, place);
  }
  const refused = Object.keys(datasetSettings).find((field) => field !== 'trust_remote_code');
  if (refused !== undefined || datasetPath === undefined) {
    const why = datasetPath === undefined ? 'it names no data set' : `its "dataset_kwargs" has "${refused}"`;
    throw new RopewalkError(
      said`task "${name}": ${why}; name a file or a folder of its rows: ${placeOf(datasetPath ?? name)}`,
    );
  }
  // Every data set on the hub has a copy in Parquet, by subset and split.
  const folder = `${datasetName ?? 'default'}/${split}`;
  try {
    return await pullDataset(datasetPath, { ...options, revision: 'refs/convert/parquet', file: folder });
  } catch (error) {
    if (!(error instanceof RopewalkError)) throw error;
    throw new RopewalkError(
      said`task "${name}": the split "${split}" of the data set ${datasetPath} (${folder} of its Parquet copy): ${error}; or name files: ${placeOf(datasetPath)}`,
      { cause: error },
    );
  }
}

function placeOf(name: string): NamedOption {
  return option('data', { [name]: 'PATH' });
}

/** The files of a split below a folder, or the file itself where it is one, of the split that is evaluated. */
async function filesAt(config: TaskConfig, split: string, place: string): Promise<readonly string[]> {
  const { name, datasetName, splits } = config;
  const found = await stat(place).catch(() => undefined);
  if (!found) {
    throw new RopewalkError(
      said`task "${name}": ${place}: no such file or folder; correct ${option('data')}`,
    );
  }
  if (found.isFile()) {
    if (split === (splits.test ?? splits.validation)) return [place];
    throw new RopewalkError(
      said`task "${name}": it needs the split "${split}" too, but ${option('data')} names the one file ${place}; name a folder, or ${placeOf(`NAME@${split}`)}`,
    );
  }
  const subset = datasetName === undefined ? undefined : join(place, datasetName);
  const within = subset !== undefined && (await stat(subset).catch(() => undefined))?.isDirectory();
  const folder = within ? subset : place;
  const all = (await filesBelow(folder)).filter((file) => dataFileEnding(file)).sort();
  const files = all.filter((file) => isOfSplit(file, split));
  if (files.length > 0) return files.map((file) => join(folder, file));
  throw new RopewalkError(
    `task "${name}": ${folder} has no file for the split "${split}" (such as ${split}.jsonl); it has ${all.slice(0, 8).join(', ') || 'no data files'}`,
  );
}

/** Whether a file's name, or a folder's above it, is a split's: `test.jsonl`, `test-00000-of-00001.parquet`, `test/0.csv`. */
function isOfSplit(file: string, split: string): boolean {
  const words = SPLIT_WORDS[split] ?? [split];
  return file.split(/[/\\]/).some((part) => {
    const stem = part.replace(/\.[^./\\]+(?:\.gz)?$/, '').replace(/-\d{5}-of-\d{5}$/, '');
    return stem === split || words.includes(stem) || part === split;
  });
}
