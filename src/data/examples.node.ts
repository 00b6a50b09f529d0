import { stat } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { ChatTemplate } from '../chat/template.ts';
import { RopewalkError } from '../errors.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { type EncodeExampleOptions, encodeExample, requireTemplate, type TrainOn } from './encode-example.ts';
import { spelledSpecialToken } from './encode-text.ts';
import { readRows } from './reading/read-rows.node.ts';
import { ReportBuilder } from './report.ts';
import { type DataColumns, type RowReader, rowReader } from './row-form.ts';
import { namedTemplate, type TemplateName } from './templates.ts';
import type { Example } from './view.ts';

/** How often the event loop runs between rows, so that progress is drawn and Ctrl-C is noticed. */
const PAUSE_EVERY_MS = 50;

export const TOO_LONG = ['continue', 'truncate', 'drop'] as const;
export type TooLong = (typeof TOO_LONG)[number];

/** Options that determine the tokens of the examples. */
export interface ExampleOptions {
  readonly tokenizer: Tokenizer;
  /** A chat template, or a template name for a model that has none; default the tokenizer's. */
  readonly template?: ChatTemplate | TemplateName | undefined;
  /** Names of columns, if they are not the usual ones. */
  readonly columns?: DataColumns | undefined;
  /** Default `assistant`: only the assistant's text, and the ends of its turns. Plain texts are trained as a whole. */
  readonly trainOn?: TrainOn | undefined;
  /** The most tokens an example may have. Rows of `seq` inputs hold examples of `seq + 1` tokens. */
  readonly maxLength: number;
  /**
   * What happens to longer ones. `continue` (the default) splits texts into several examples and cuts chats.
   * `truncate` keeps the beginning of either, `drop` discards them.
   */
  readonly tooLong?: TooLong | undefined;
  /** What happens to unreadable rows: `stop` (the default) throws, `drop` counts them in the report. */
  readonly malformed?: 'stop' | 'drop' | undefined;
  /** Whether special tokens spelled out in plain texts become tokens. Default true. */
  readonly specialTokensInText?: boolean | undefined;
  /** The time for templates that use it; default now. A run that may be resumed keeps its own. */
  readonly now?: Date | undefined;
}

/** Data files, with a progress callback. */
export interface DataSources {
  /** JSONL, JSON, CSV, TSV, TXT or Parquet, recognized by file extension. */
  readonly files: readonly string[];
  readonly signal?: AbortSignal | undefined;
  /** Called for each row during tokenization. */
  readonly onProgress?: ((progress: DataProgress) => void) | undefined;
}

/** Progress of reading data files. */
export interface DataProgress {
  readonly rows: number;
  readonly tokens: number;
  /** The share of the files' bytes, from 0 to 1. */
  readonly share: number;
}

/** An example, and the location of its row. */
export interface DataExample extends Example {
  readonly where: string;
}

/**
 * The examples of data files, in order; nothing is written.
 *
 * @param report receives the row counts
 * @throws RopewalkError naming the file and the line of an unreadable row (unless `malformed` is `drop`)
 */
export async function* examplesOf(
  options: ExampleOptions & DataSources,
  report: ReportBuilder = new ReportBuilder(),
): AsyncGenerator<DataExample> {
  const { files, maxLength, tooLong = 'continue', malformed = 'stop', signal, onProgress } = options;
  checkMaxLength(maxLength);
  const template = chatTemplateOf(options);
  const encoding: EncodeExampleOptions = { ...options, template, trainOn: options.trainOn ?? 'assistant' };
  let tokens = 0;
  const sizes = await Promise.all(files.map(sizeOf));
  const all = sizes.reduce((sum, size) => sum + size, 0);
  let done = 0;
  let pause = performance.now();
  for (const [i, file] of files.entries()) {
    report.beginFile(file);
    let reader: RowReader | undefined;
    let read = 0;
    const onBytes = (bytes: number) => {
      read = bytes;
    };
    for await (const { where, values, problem } of readRows(file, onBytes)) {
      if (performance.now() - pause > PAUSE_EVERY_MS) {
        await setImmediate();
        pause = performance.now();
      }
      signal?.throwIfAborted();
      report.row();
      onProgress?.({ rows: report.rows, tokens, share: Math.min(1, (done + read) / Math.max(1, all)) });
      let example: Example;
      let isText = false;
      try {
        if (!values) throw new RopewalkError(problem ?? 'it cannot be read');
        if (!reader) {
          // A missing column is an error of the whole file: dropping its rows one by one would hide that.
          reader = formOf(values, options, template, where);
        }
        const text = reader.read(values);
        if ('text' in text) noteSpecialTokens(text.text, encoding, report);
        example = encodeExample(text, encoding);
        isText = 'text' in text;
      } catch (error) {
        if (!(error instanceof RopewalkError) || error instanceof WrongForm) throw error;
        const message = `${where}: ${error.message}`;
        if (malformed === 'stop') throw new RopewalkError(message, { cause: error });
        report.dropped('malformed', message);
        continue;
      }
      for (const fitted of partsOf(example, { maxLength, tooLong, isText, where, report })) {
        tokens += fitted.ids.length;
        yield { ...fitted, where };
      }
    }
    done += sizes[i]!;
    finishFile(reader, file, report);
  }
}

function finishFile(reader: RowReader | undefined, file: string, report: ReportBuilder): void {
  if (!reader) return;
  report.setColumns(Object.values(reader.columns));
  try {
    reader.finish();
  } catch (error) {
    throw error instanceof RopewalkError ? new RopewalkError(`${file}: ${error.message}`) : error;
  }
}

class WrongForm extends RopewalkError {}

function formOf(
  values: Readonly<Record<string, unknown>>,
  { columns }: ExampleOptions,
  template: ChatTemplate | undefined,
  where: string,
): RowReader {
  try {
    const reader = rowReader(values, columns);
    if (!reader.isText) requireTemplate(template);
    return reader;
  } catch (error) {
    if (error instanceof RopewalkError) throw new WrongForm(`${where}: ${error.message}`, { cause: error });
    throw error;
  }
}

/** A row that contains special tokens was rendered with a template, or is about them: the report counts such rows. */
function noteSpecialTokens(
  text: string,
  { tokenizer, specialTokensInText = true }: EncodeExampleOptions,
  report: ReportBuilder,
): void {
  const token = spelledSpecialToken(text, tokenizer);
  if (token !== undefined) report.spelled(token, specialTokensInText);
}

/** The examples of a row: one, cut to length; several for a text that continues; none if it is dropped. */
function partsOf(
  { ids, trained }: Example,
  {
    maxLength,
    tooLong,
    isText,
    where,
    report,
  }: { maxLength: number; tooLong: TooLong; isText: boolean; where: string; report: ReportBuilder },
): Example[] {
  const drop = (reason: Parameters<ReportBuilder['dropped']>[0]) => {
    report.dropped(reason, where);
    return [];
  };
  if (ids.length < 2) return drop('empty');
  report.length(ids.length);
  const excess = ids.length - maxLength;
  if (excess > 0 && tooLong === 'drop') return drop('too long');
  const goesOn = excess > 0 && isText && tooLong === 'continue';
  const parts: Example[] = [];
  // The last token of a part is the first of the next, where it is not trained again.
  for (let from = 0; from === 0 || (goesOn && from < ids.length - 1); from += maxLength - 1) {
    const part = { ids: ids.slice(from, from + maxLength), trained: trained.slice(from, from + maxLength) };
    part.trained[0] = 0;
    parts.push(part);
  }
  const counts = parts.map((part) => part.trained.reduce((sum, one) => sum + one, 0));
  if (counts.every((count) => count === 0)) return drop('nothing trained');
  if (goesOn) report.continued(parts.length);
  else if (excess > 0) report.truncated(excess);
  for (const [i, part] of parts.entries()) report.example(part.ids.length, counts[i]!);
  return parts;
}

async function sizeOf(path: string): Promise<number> {
  // A missing file is reported when it is read.
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

export function checkMaxLength(maxLength: number): void {
  if (Number.isInteger(maxLength) && maxLength >= 2) return;
  throw new RopewalkError(`maxLength must be a whole number of at least 2, but is ${maxLength}`);
}

/** The template for chats; undefined if there is none. */
export function chatTemplateOf({ template, tokenizer }: ExampleOptions): ChatTemplate | undefined {
  if (typeof template === 'string') return namedTemplate(template, tokenizer);
  return template ?? ChatTemplate.fromConfig(tokenizer.config, 'the chat template of the model');
}
