import { RopewalkError } from '../errors.ts';

/** Endings of data files, and files of those endings that describe the data rather than being them. */
const ENDING = /\.(?:jsonl|ndjson|json|csv|tsv|parquet)$/i;
const DESCRIPTION = /(?:^|\/)(?:dataset_infos?|dataset_dict|state|croissant|metadata|config)\.json$/i;

/** The parts into which data sets are split, as their files' names tell: `train-00000-of-00002`, `data/test.csv`. */
const SPLITS: Readonly<Record<string, RegExp>> = {
  train: /(?:^|[/._-])train(?:ing)?(?:[/._-]|$|\d)/i,
  other: /(?:^|[/._-])(?:test|valid|validation|val|dev|eval)(?:[/._-]|$|\d)/i,
};

/**
 * Picks the files of a data set that are to be trained on: the named one (or all in a folder of that name), else those of
 * the training split, else all that belong to no other one.
 *
 * @param id what messages call the data set.
 * @throws RopewalkError where there are none, or they are of several endings.
 */
export function chooseDataFiles(paths: Iterable<string>, id: string, named?: string): string[] {
  const all = [...paths];
  const data = all.filter((path) => ENDING.test(path) && !DESCRIPTION.test(path)).sort();
  const found = data.length > 0 ? `it has ${list(data)}` : 'it has no JSONL, JSON, CSV, TSV or Parquet files';
  if (named !== undefined) {
    if (all.includes(named)) return [named];
    const folder = data.filter((path) => path.startsWith(`${named.replace(/\/$/, '')}/`));
    if (folder.length > 0) return folder;
    throw new RopewalkError(`${id} has no data file "${named}"; ${found}`);
  }
  const training = data.filter((path) => SPLITS.train!.test(path));
  const chosen = training.length > 0 ? training : data.filter((path) => !SPLITS.other!.test(path));
  const endings = new Set(chosen.map((path) => ENDING.exec(path)![0].toLowerCase()));
  if (chosen.length > 0 && endings.size === 1) return chosen;
  throw new RopewalkError(
    `${id}: which of its files to train on is not clear; name one, or a folder, as ${id}:FILE: ${found}`,
  );
}

function list(names: readonly string[]): string {
  return names.length > 8 ? `${names.slice(0, 8).join(', ')} and ${names.length - 8} more` : names.join(', ');
}
