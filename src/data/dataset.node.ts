import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ChatTemplate } from '../chat/template.ts';
import { RopewalkError } from '../errors.ts';
import { fileError } from '../files/file-errors.ts';
import { removeEmpty } from '../files/folders.node.ts';
import {
  chatTemplateOf,
  checkMaxLength,
  type DataSources,
  type ExampleOptions,
  examplesOf,
} from './examples.node.ts';
import { dataFileEnding } from './reading/read-rows.node.ts';
import { type DataReport, ReportBuilder } from './report.ts';
import { TokenFile, writeTokenFile } from './token-file.node.ts';
import type { DatasetView } from './view.ts';

export interface PrepareOptions extends ExampleOptions, DataSources {
  /** Folder of the tokenized data, where it is found again; created if necessary. */
  readonly folder: string;
}

/** Tokenized data in a file; examples are read as they are needed. */
export interface Dataset extends DatasetView {
  readonly tokens: number;
  /** Targets that count. */
  readonly trainedTokens: number;
  readonly report: DataReport;
  /** The file of tokens. */
  readonly path: string;
  /** Whether the file already existed. */
  readonly reused: boolean;
  close(): Promise<void>;
}

/**
 * Tokenizes data files once, into a file named by a hash of everything that determines the tokens (the files'
 * contents, the tokenizer, the template, the options), and reuses it. A damaged token file is created again. Close
 * the dataset when done.
 *
 * @throws RopewalkError naming the file and the line of an unreadable row (unless `malformed` is `drop`), and if no
 *   example remains.
 */
export async function prepareDataset(options: PrepareOptions): Promise<Dataset> {
  const { files, folder, signal } = options;
  if (files.length === 0) throw new RopewalkError('no data file is given; name at least one');
  checkMaxLength(options.maxLength);
  const template = chatTemplateOf(options);
  const before = await Promise.all(files.map(stamp));
  const identity = await identityOf(options, template);
  const path = join(folder, `${identity.slice(0, 32)}.tokens`);
  const existing = await openExisting(path, identity);
  if (existing) return datasetFrom(existing, path, true);
  const report = new ReportBuilder();
  const folders = await mkdir(folder, { recursive: true }).catch((error: unknown) => {
    throw fileError(error, 'write', folder);
  });
  await writeTokenFile(path, examplesOf({ ...options, template }, report), async () => {
    signal?.throwIfAborted();
    const after = await Promise.all(files.map(stamp));
    const changed = files.find((_, i) => before[i] !== after[i]);
    if (changed !== undefined)
      throw new RopewalkError(`${changed} changed while it was being read; start again`);
    const built = report.build(options.maxLength);
    if (built.examples === 0) throw new RopewalkError(emptiness(built));
    return { identity, report: built };
  }).catch(async (error: unknown) => {
    await removeEmpty(folder, folders);
    throw error;
  });
  const made = await TokenFile.open(path);
  return datasetFrom(made, path, false);
}

function emptiness({ rows, dropped, maxLength }: DataReport): string {
  const why = dropped.map(({ reason, rows: count, first }) => `${count} ${reason} (${first[0]})`).join(', ');
  return rows === 0
    ? 'the data files have no rows; give others'
    : `none of the ${rows} rows can be trained on: ${why}; check the columns, and raise maxLength (${maxLength}) if the answers begin beyond it`;
}

/** A hash of everything that determines the tokens. */
async function identityOf(options: PrepareOptions, template: ChatTemplate | undefined): Promise<string> {
  const { tokenizer, files, signal } = options;
  const hash = createHash('sha256');
  const tellsTime = [template, template?.toolUse].some((one) => one?.source.includes('strftime_now'));
  const described = {
    // 4: increased when rows are read, masked or rendered differently.
    format: 4,
    template: template?.source ?? null,
    toolUse: template?.toolUse?.source ?? null,
    columns: options.columns ?? null,
    trainOn: options.trainOn ?? 'assistant',
    maxLength: options.maxLength,
    tooLong: options.tooLong ?? 'continue',
    malformed: options.malformed ?? 'stop',
    specialTokensInText: options.specialTokensInText ?? true,
    // Templates that use the time insert the date.
    day: tellsTime ? (options.now ?? new Date()).toISOString().slice(0, 10) : null,
    tokenizer: tokenizer.toJSON(),
    bos: tokenizer.bosId ?? null,
    eos: tokenizer.eosId ?? null,
    endings: files.map((file) => dataFileEnding(file) ?? null),
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

/** Changes when the file changes. */
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

/** The token file of an earlier call; undefined if there is no intact one. */
async function openExisting(path: string, identity: string): Promise<TokenFile | undefined> {
  let file: TokenFile;
  try {
    file = await TokenFile.open(path);
  } catch (error) {
    if (error instanceof RopewalkError) return undefined;
    throw error;
  }
  if (file.identity === identity) return file;
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
