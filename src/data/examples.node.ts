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

/** Between rows the event loop gets its turn this often, so that progress is drawn and Ctrl-C is heard. */
const PAUSE_EVERY_MS = 50;

export const TOO_LONG = ['continue', 'truncate', 'drop'] as const;
export type TooLong = (typeof TOO_LONG)[number];

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
  /**
   * What happens to longer ones. `continue` (the default): texts continue in further examples, chats are cut. `truncate` keeps
   * the beginning of either, `drop` leaves them out.
   */
  readonly tooLong?: TooLong | undefined;
  /** What is done with rows that cannot be read: `stop` (the default) throws, `drop` counts them in the report. */
  readonly malformed?: 'stop' | 'drop' | undefined;
  /** Whether special tokens that plain texts spell are special. Default true. */
  readonly specialTokensInText?: boolean | undefined;
  /** The time that templates tell which ask for it; default now. A run that is to be resumed later keeps its own. */
  readonly now?: Date | undefined;
}

/** Data files, and how far reading them is. */
export interface DataSources {
  /** JSONL, JSON, CSV, TSV, TXT or Parquet, told by the endings of their names. */
  readonly files: readonly string[];
  readonly signal?: AbortSignal | undefined;
  /** Called for each row while it is tokenized. */
  readonly onProgress?: ((progress: DataProgress) => void) | undefined;
}

/** How far reading data files is. */
export interface DataProgress {
  readonly rows: number;
  readonly tokens: number;
  /** Of the files' bytes, from 0 to 1. */
  readonly share: number;
}

/** An example, and the place of its row. */
export interface DataExample extends Example {
  readonly where: string;
}

/**
 * The examples of data files, one after the other; nothing is written.
 *
 * @param report where rows are counted
 * @throws RopewalkError naming the file and the line of a row that cannot be read (unless `malformed` is `drop`)
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
          // A file without the columns is wrong as a whole: dropping its rows one by one would hide that.
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

/** A row that spells special tokens was rendered with a template, or holds text about them: the report tells how many do. */
function noteSpecialTokens(
  text: string,
  { tokenizer, specialTokensInText = true }: EncodeExampleOptions,
  report: ReportBuilder,
): void {
  const token = spelledSpecialToken(text, tokenizer);
  if (token !== undefined) report.spelled(token, specialTokensInText);
}

/** The examples that a row gives: one, cut to length; several where a text continues; none where it is dropped. */
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
  // The last token of a part is the first of the next, where it is not trained a second time.
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
  // A file that is not there is refused when it is read.
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

export function checkMaxLength(maxLength: number): void {
  if (Number.isInteger(maxLength) && maxLength >= 2) return;
  throw new RopewalkError(`maxLength must be a whole number of at least 2, but is ${maxLength}`);
}

/** The template that chats are written by; undefined where there is none. */
export function chatTemplateOf({ template, tokenizer }: ExampleOptions): ChatTemplate | undefined {
  if (typeof template === 'string') return namedTemplate(template, tokenizer);
  return template ?? ChatTemplate.fromConfig(tokenizer.config, 'the chat template of the model');
}
