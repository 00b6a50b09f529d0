import { ChatTemplate } from '../chat/template.ts';
import { RopewalkError } from '../errors.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { type EncodeExampleOptions, encodeExample, requireTemplate, type TrainOn } from './encode-example.ts';
import { readRows } from './reading/read-rows.node.ts';
import { ReportBuilder } from './report.ts';
import { type DataColumns, type RowReader, rowReader } from './row-form.ts';
import { namedTemplate, type TemplateName } from './templates.ts';
import type { Example } from './view.ts';

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

/** Data files, and how far reading them is. */
export interface DataSources {
  /** JSONL, JSON, CSV, TSV or Parquet, told by the endings of their names. */
  readonly files: readonly string[];
  readonly signal?: AbortSignal | undefined;
  /** Called for each row while it is tokenised. */
  readonly onProgress?: ((progress: { readonly rows: number; readonly tokens: number }) => void) | undefined;
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
  const { files, maxLength, tooLong = 'truncate', malformed = 'stop', signal, onProgress } = options;
  checkMaxLength(maxLength);
  const template = chatTemplateOf(options);
  const encoding: EncodeExampleOptions = { ...options, template, trainOn: options.trainOn ?? 'assistant' };
  let tokens = 0;
  for (const file of files) {
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
          reader = formOf(values, options, template, where);
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

function formOf(
  values: Readonly<Record<string, unknown>>,
  { columns }: ExampleOptions,
  template: ChatTemplate | undefined,
  where: string,
): RowReader {
  try {
    const reader = rowReader(values, columns);
    if (reader.columns.text === undefined) requireTemplate(template);
    return reader;
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

export function checkMaxLength(maxLength: number): void {
  if (Number.isInteger(maxLength) && maxLength >= 2) return;
  throw new RopewalkError(`maxLength must be a whole number of at least 2, but is ${maxLength}`);
}

/** The template that chats are written by; undefined where there is none. */
export function chatTemplateOf({ template, tokenizer }: ExampleOptions): ChatTemplate | undefined {
  if (typeof template === 'string') return namedTemplate(template, tokenizer);
  return template ?? ChatTemplate.fromConfig(tokenizer.config, 'the chat template of the model');
}
