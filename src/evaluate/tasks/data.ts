import { RopewalkError } from '../../errors.ts';
import { type Doc, Float, isDict, isList, type PythonValue } from '../python/values.ts';
import type { TaskConfig } from './config.ts';

/** The rows of a task. */
export interface TaskData {
  /** The items: at least one. */
  readonly items: readonly Doc[];
  /** The pool of few-shot examples. */
  readonly examples: readonly Doc[];
  readonly columns: ReadonlySet<string>;
}

/** Reads the rows of a split of a task's dataset. @throws RopewalkError if it does not exist. */
export type ReadSplit = (split: string) => Promise<readonly Doc[]>;

/**
 * The rows of a task: the test split, otherwise the validation split; and examples from the split that the task names,
 * otherwise from the training, validation or test split.
 *
 * @param wantsExamples whether items are preceded by examples: otherwise their split is not read.
 * @throws RopewalkError naming task and split, if the split does not exist or has no rows.
 */
export async function readTaskData(
  config: TaskConfig,
  read: ReadSplit,
  wantsExamples: boolean,
): Promise<TaskData> {
  const { splits, fewshot, name } = config;
  const known = new Map<string, readonly Doc[]>();
  const rowsOf = async (split: string) => {
    const rows = known.get(split) ?? (await read(split));
    known.set(split, rows);
    if (rows.length > 0) return rows;
    throw new RopewalkError(
      `task "${name}": the split "${split}" of its dataset has no rows; give one with rows`,
    );
  };
  const items = await rowsOf((splits.test ?? splits.validation)!);
  const columns = new Set(items.flatMap((doc) => Object.keys(doc)));
  const from =
    splits.fewshot ?? (fewshot.samples ? undefined : (splits.training ?? splits.validation ?? splits.test));
  let examples: readonly Doc[] = [];
  if (wantsExamples) examples = from === undefined ? fewshot.samples! : await rowsOf(from);
  return { items, examples, columns };
}

/**
 * Rows as in Python's `datasets` 5. Every row has every column, null if it is missing. A column with a fraction
 * becomes floats, also within lists and within mappings that all have the same fields. A column of ISO dates becomes
 * times.
 */
export function asDocs(rows: readonly Readonly<Record<string, unknown>>[]): Doc[] {
  const plain = rows.map((row) => plainValue(row) as Doc);
  const names = [...new Set(plain.flatMap((row) => Object.keys(row)))];
  const columns = names.map((name) => asTimes(unified(plain.map((row) => row[name] ?? null))));
  return plain.map((_, i) => Object.fromEntries(names.map((name, column) => [name, columns[column]![i]!])));
}

function plainValue(value: unknown): PythonValue {
  if (value === undefined || value === null) return null;
  if (typeof value === 'bigint') {
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
  }
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return Array.from(value as unknown[], plainValue);
  if (typeof value !== 'object') return value as PythonValue;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plainValue(one)]));
}

/** The values of one column, with one type. */
function unified(values: readonly PythonValue[]): readonly PythonValue[] {
  const dicts = values.filter(isDict);
  if (dicts.length > 0) {
    const names = Object.keys(dicts[0]!);
    const alike = (value: PythonValue) =>
      value === null ||
      (isDict(value) &&
        Object.keys(value).length === names.length &&
        names.every((name) => Object.hasOwn(value, name)));
    if (!values.every(alike)) return values;
    const columns = names.map((name) => unified(dicts.map((dict) => dict[name]!)));
    let row = 0;
    return values.map((value) => {
      if (value === null) return null;
      const i = row++;
      return Object.fromEntries(names.map((name, column) => [name, columns[column]![i]!]));
    });
  }
  const lists = values.filter(isList);
  if (lists.length > 0) {
    if (!values.every((value) => value === null || isList(value))) return values;
    const items = unified(lists.flat());
    let at = 0;
    return values.map((value) => {
      if (!isList(value)) return null;
      at += value.length;
      return items.slice(at - value.length, at);
    });
  }
  const numeric = values.every((value) => value === null || typeof value === 'number');
  if (!numeric || values.every((value) => value === null || Number.isInteger(value))) return values;
  return values.map((value) => (Number.isInteger(value) ? new Float(value as number) : value));
}

const ISO_TIME = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d)(:\d\d)?)?$/;

/** Dates and times as Python writes them, if a column has nothing else. */
function asTimes(values: readonly PythonValue[]): readonly PythonValue[] {
  const known = values.filter((value) => value !== null);
  if (known.length === 0 || !known.every((value) => typeof value === 'string' && ISO_TIME.test(value)))
    return values;
  return values.map((value) => {
    const [, date, minutes = '00:00', seconds = ':00'] = ISO_TIME.exec(String(value)) ?? [];
    return value === null ? null : `${date} ${minutes}${seconds}`;
  });
}
