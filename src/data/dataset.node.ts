import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ChatTemplate } from '../chat/template.ts';
import { fileError } from '../checkpoint/file-errors.ts';
import { RopewalkError } from '../errors.ts';
import type { Tokenizer } from '../text/tokenizer.ts';
import { type EncodeExampleOptions, encodeExample, type TrainOn } from './encode-example.ts';
import { readRows } from './read-rows.node.ts';
import { type DataReport, ReportBuilder } from './report.ts';
import { type DataColumns, type RowReader, rowReader } from './row-form.ts';
import { namedTemplate, type TemplateName } from './templates.ts';
import { TokenFile, writeTokenFile } from './token-file.node.ts';
import type { DatasetView, Example } from './view.ts';

/** What decides about the tokens of the examples. */
export interface ExampleOptions {
  readonly tokenizer: Tokenizer;
  /** A chat template, or the name of one for a model that has none; default the tokenizer's own. */
  readonly template?: ChatTemplate | TemplateName | undefined;
  /** Names of columns, where they are not the usual ones. */
  readonly columns?: DataColumns | undefined;
  /** Default `assistant`: only what the assistant says, and the end of its turns. Plain texts are trained as a whole. */
  readonly trainOn?: TrainOn | undefined;
  /** Tokens that an example may have. Rows of `seq` inputs hold examples of `seq + 1` tokens. */
  readonly maxLength: number;
  /** What is done with longer ones: `truncate` (the default) keeps their beginning, `drop` leaves them out. */
  readonly tooLong?: 'truncate' | 'drop' | undefined;
  /** What is done with rows that cannot be read: `stop` (the default) throws, `drop` counts them in the report. */
  readonly malformed?: 'stop' | 'drop' | undefined;
  /** Whether special tokens that plain texts spell are special. Default false. */
  readonly specialTokensInText?: boolean | undefined;
  /** The time that templates tell which ask for it; default now. A run that is to be resumed later keeps its own. */
  readonly now?: Date | undefined;
}

export interface PrepareOptions extends ExampleOptions {
  /** JSONL, JSON, CSV, TSV or Parquet, told by the endings of their names. */
  readonly files: readonly string[];
  /** Where tokenised data are kept, and found again; made if need be. */
  readonly folder: string;
  readonly signal?: AbortSignal | undefined;
  /** Called after each row while the data are tokenised. */
  readonly onProgress?: ((progress: { readonly rows: number; readonly tokens: number }) => void) | undefined;
}

/** Tokenised data in a file, of which examples are read as they are needed. */
export interface Dataset extends DatasetView {
  readonly tokens: number;
  /** Targets that count. */
  readonly trainedTokens: number;
  readonly report: DataReport;
  /** The file of tokens. */
  readonly path: string;
  /** Whether it was there already. */
  readonly reused: boolean;
  close(): Promise<void>;
}

/**
 * Tokenises data files once, into a file that is named by a hash of all that decides about the tokens (the files'
 * contents, the tokenizer, the template, the options) and is found by it again. A damaged file of tokens is made anew.
 * Close the dataset when done.
 *
 * @throws RopewalkError naming the file and the line of a row that cannot be read (unless `malformed` is `drop`), and
 *   when no example is left.
 */
export async function prepareDataset(options: PrepareOptions): Promise<Dataset> {
  const { files, folder, signal } = options;
  if (files.length === 0) throw new RopewalkError('no data file is given; name at least one');
  if (!Number.isInteger(options.maxLength) || options.maxLength < 2) {
    throw new RopewalkError(`maxLength must be a whole number of at least 2, but is ${options.maxLength}`);
  }
  const template = templateOf(options);
  const before = await Promise.all(files.map(stamp));
  const identity = await identityOf(options, template);
  const path = join(folder, `${identity.slice(0, 32)}.tokens`);
  const existing = await openExisting(path, identity);
  if (existing) return datasetFrom(existing, path, true);
  const report = new ReportBuilder();
  await writeTokenFile(path, examplesOf(options, template, report), () => {
    signal?.throwIfAborted();
    return { identity, report: report.build(options.maxLength) };
  });
  const after = await Promise.all(files.map(stamp));
  const changed = files.find((_, i) => before[i] !== after[i]);
  const made = await TokenFile.open(path);
  if (changed !== undefined || made.size === 0) {
    await made.close();
    throw new RopewalkError(
      changed !== undefined
        ? `${changed} was changed while it was read; start again`
        : emptiness(made.report),
    );
  }
  return datasetFrom(made, path, false);
}

/** The examples of data files, one after the other, without a file of tokens; counts go to `report`. */
export async function* examplesOf(
  options: ExampleOptions & Pick<PrepareOptions, 'files' | 'signal' | 'onProgress'>,
  template: ChatTemplate | undefined = templateOf(options),
  report: ReportBuilder = new ReportBuilder(),
): AsyncGenerator<Example & { readonly where: string }> {
  const { maxLength, tooLong = 'truncate', malformed = 'stop', signal, onProgress } = options;
  const encoding: EncodeExampleOptions = { ...options, template, trainOn: options.trainOn ?? 'assistant' };
  let tokens = 0;
  for (const file of options.files) {
    report.beginFile(file);
    let reader: RowReader | undefined;
    for await (const { where, values, problem } of readRows(file)) {
      signal?.throwIfAborted();
      report.row();
      onProgress?.({ rows: report.rows, tokens });
      let example: Example;
      try {
        if (!values) throw new RopewalkError(problem ?? 'it cannot be read');
        if (!reader) {
          // A file without the columns is wrong as a whole: dropping its rows one by one would hide that.
          reader = formOf(values, options.columns, where);
          report.setColumns(Object.values(reader.columns) as string[]);
        }
        example = encodeExample(reader.read(values), encoding);
      } catch (error) {
        if (!(error instanceof RopewalkError) || error instanceof WrongForm) throw error;
        const message = `${where}: ${error.message}`;
        if (malformed === 'stop') throw new RopewalkError(message, { cause: error });
        report.dropped('malformed', message);
        continue;
      }
      const fitted = shorten(example, maxLength, tooLong, where, report);
      if (!fitted) continue;
      tokens += fitted.ids.length;
      yield { ...fitted, where };
    }
  }
}

class WrongForm extends RopewalkError {}

function formOf(values: Readonly<Record<string, unknown>>, columns: DataColumns | undefined, where: string) {
  try {
    return rowReader(values, columns);
  } catch (error) {
    if (error instanceof RopewalkError) throw new WrongForm(`${where}: ${error.message}`, { cause: error });
    throw error;
  }
}

/** Cuts an example to length; undefined where it is dropped. */
function shorten(
  { ids, trained }: Example,
  maxLength: number,
  tooLong: 'truncate' | 'drop',
  where: string,
  report: ReportBuilder,
): Example | undefined {
  const drop = (reason: Parameters<ReportBuilder['dropped']>[0]) => {
    report.dropped(reason, where);
    return undefined;
  };
  if (ids.length < 2) return drop('empty');
  report.length(ids.length);
  const excess = ids.length - maxLength;
  if (excess > 0 && tooLong === 'drop') return drop('too long');
  const kept =
    excess > 0 ? { ids: ids.slice(0, maxLength), trained: trained.slice(0, maxLength) } : { ids, trained };
  const count = kept.trained.reduce((sum, one) => sum + one, 0);
  if (count === 0) return drop('nothing trained');
  if (excess > 0) report.truncated(excess);
  report.example(kept.ids.length, count);
  return kept;
}

function emptiness({ rows, dropped, maxLength }: DataReport): string {
  const why = dropped.map(({ reason, rows: count, first }) => `${count} ${reason} (${first[0]})`).join(', ');
  return rows === 0
    ? 'the data files have no rows; give others'
    : `none of the ${rows} rows can be trained on: ${why}; check the columns, and raise maxLength (${maxLength}) where answers begin beyond it`;
}

function templateOf({ template, tokenizer }: ExampleOptions): ChatTemplate | undefined {
  if (typeof template === 'string') return namedTemplate(template, tokenizer);
  return template ?? ChatTemplate.fromConfig(tokenizer.config, 'the chat template of the model');
}

/** A hash of all that decides about the tokens. */
async function identityOf(options: PrepareOptions, template: ChatTemplate | undefined): Promise<string> {
  const { tokenizer, files, signal } = options;
  const hash = createHash('sha256');
  const tellsTime = template?.source.includes('strftime_now');
  const described = {
    format: 1,
    template: template?.source ?? null,
    columns: options.columns ?? null,
    trainOn: options.trainOn ?? 'assistant',
    maxLength: options.maxLength,
    tooLong: options.tooLong ?? 'truncate',
    malformed: options.malformed ?? 'stop',
    specialTokensInText: options.specialTokensInText ?? false,
    // Templates that tell the time tell the day.
    day: tellsTime ? (options.now ?? new Date()).toISOString().slice(0, 10) : null,
    tokenizer: tokenizer.toJSON(),
    bos: tokenizer.bosId ?? null,
    eos: tokenizer.eosId ?? null,
    endings: files.map((file) => /[^.]*$/.exec(file)![0].toLowerCase()),
  };
  hash.update(JSON.stringify(described));
  for (const file of files) hash.update(await fileHash(file, signal));
  return hash.digest('hex');
}

async function fileHash(path: string, signal: AbortSignal | undefined): Promise<Buffer> {
  const hash = createHash('sha256');
  try {
    for await (const bytes of createReadStream(path, { highWaterMark: 1 << 20, ...(signal && { signal }) })) {
      hash.update(bytes as Buffer);
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw fileError(error, 'read', path);
  }
  return hash.digest();
}

/** What changes when a file does. */
async function stamp(path: string): Promise<string> {
  try {
    const status = await stat(path);
    if (!status.isFile()) {
      throw new RopewalkError(
        `cannot read ${path}: it is not a regular file; name the data files one by one`,
      );
    }
    return `${status.size} ${status.mtimeMs}`;
  } catch (error) {
    throw fileError(error, 'read', path);
  }
}

/** The file of tokens of an earlier call; undefined where there is none that is whole. */
async function openExisting(path: string, identity: string): Promise<TokenFile | undefined> {
  let file: TokenFile;
  try {
    file = await TokenFile.open(path);
  } catch (error) {
    if (error instanceof RopewalkError) return undefined;
    throw error;
  }
  if (file.identity === identity && file.size > 0) return file;
  await file.close();
  return undefined;
}

function datasetFrom(file: TokenFile, path: string, reused: boolean): Dataset {
  const { size, tokens, trainedTokens, identity, report } = file;
  return {
    ...{ size, tokens, trainedTokens, identity, report, path, reused },
    length: (index) => file.length(index),
    read: (index) => file.read(index),
    close: () => file.close(),
  };
}

export { type DatasetView, type Example, splitDataset } from './view.ts';
