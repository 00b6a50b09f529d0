import { RopewalkError } from '../errors.ts';

/** Extensions of data files, and files with those extensions that describe the data. */
const ENDING = /\.(?:(?:jsonl|ndjson|json|csv|tsv|txt)(?:\.gz)?|parquet)$/i;
const DESCRIPTION =
  /(?:^|\/)(?:dataset_infos?|dataset_dict|state|croissant|metadata|config)\.json$|(?:^|\/)(?:readme|license|license|notice|requirements)\.txt$/i;

/** Words in file and folder names that indicate a split, as in Python's `datasets`. */
const SPLITS = {
  train: /(?:^|[-._ 0-9])train(?:ing)?(?=[-._ 0-9]|$)/i,
  other: /(?:^|[-._ 0-9])(?:validation|valid|val|dev|test|testing|eval|evaluation)(?=[-._ 0-9]|$)/i,
};

/** The candidate files, and those chosen. */
export interface ChosenData {
  readonly chosen: readonly string[];
  /**
   * Data files that are not trained on, because they belong to another split, or to none while there is a training
   * split.
   */
  readonly left: readonly string[];
}

/**
 * Chooses the files of a dataset to train on: the named one (or all in a folder of that name), else those of the
 * training split, else all that belong to no other split. Folder names take precedence over file names.
 *
 * @param id the dataset's name in messages.
 * @param options.named a file or a folder of it.
 * @param options.isFolder whether it is a local folder, whose files and folders are named by path.
 * @throws RopewalkError if there are none, or they have several extensions.
 */
export function chooseDataFiles(
  paths: Iterable<string>,
  id: string,
  { named, isFolder = false }: { readonly named?: string | undefined; readonly isFolder?: boolean } = {},
): ChosenData {
  const all = [...paths];
  const found = all.filter((path) => ENDING.test(path) && !DESCRIPTION.test(path)).sort();
  // Text files next to tables are usually notes rather than data.
  const tables = found.filter((path) => !/\.txt(?:\.gz)?$/i.test(path));
  const data = tables.length > 0 ? tables : found;
  const has =
    data.length > 0 ? `it has ${list(data)}` : 'it has no JSONL, JSON, CSV, TSV, TXT or Parquet files';
  if (named !== undefined) {
    if (all.includes(named)) return { chosen: [named], left: [] };
    const folder = found.filter((path) => path.startsWith(`${named.replace(/\/$/, '')}/`));
    if (folder.length > 0) return { chosen: folder, left: [] };
    throw new RopewalkError(`${id} has no data file "${named}"; ${has}`);
  }
  const training = data.filter((path) => splitOf(path) === 'train');
  const chosen = training.length > 0 ? training : data.filter((path) => splitOf(path) === undefined);
  const endings = new Set(chosen.map((path) => ENDING.exec(path)![0].toLowerCase().replace(/\.gz$/, '')));
  if (chosen.length > 0 && endings.size === 1) {
    return { chosen, left: data.filter((path) => !chosen.includes(path)) };
  }
  const how = isFolder
    ? `name one, or a folder, by its path (${id}/FILE)`
    : `name one, or a folder, as ${id}:FILE`;
  throw new RopewalkError(`${id}: it is not clear which of its files to train on; ${how}: ${has}`);
}

/** The split indicated by a path's folders, or else by the file name; undefined if there is none, or more than one. */
function splitOf(path: string): keyof typeof SPLITS | undefined {
  const parts = path.split('/');
  const file = parts.pop()!.replace(ENDING, '');
  const of = (name: string) => {
    const told = (['train', 'other'] as const).filter((split) => SPLITS[split].test(name));
    return told.length === 1 ? told[0] : undefined;
  };
  const folders = parts.map(of).filter((split) => split !== undefined);
  return folders.at(-1) ?? of(file);
}

function list(names: readonly string[]): string {
  return names.length > 8 ? `${names.slice(0, 8).join(', ')} and ${names.length - 8} more` : names.join(', ');
}
