import type { Command } from 'commander';
import { z } from 'zod';
import type { TrainOn } from '../../data/encode-example.ts';
import { type ExampleOptions, TOO_LONG, type TooLong } from '../../data/examples.node.ts';
import { openTemplate } from '../../data/open-template.node.ts';
import type { DataColumns } from '../../data/row-form.ts';
import { RopewalkError } from '../../errors.ts';
import { FINETUNE } from '../../finetune/settings.ts';
import { oneOf, option, text, textOrTexts } from '../../options.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { addFlagsWithDefaults } from './flags.ts';

const COLUMNS = [
  'messages',
  'prompt',
  'completion',
  'instruction',
  'input',
  'output',
  'system',
  'history',
  'tools',
  'documents',
  'text',
];

/** What special tokens spelled out in plain texts become. */
export const specialTokens = option(
  oneOf(['special', 'text']),
  'how to read the text of a special token in plain texts: as that token, or as plain text',
  { value: 'as' },
);

/** How rows become examples, for all commands that read them. */
export const exampleShape = {
  template: option(text, 'a chat template for a model that has none', { value: 'name|file' }),
  trainOn: FINETUNE.own.trainOn,
  tooLong: option(
    oneOf(TOO_LONG),
    'examples longer than a row: continue texts in further rows and cut chats; or cut both; or drop both',
    { value: 'what' },
  ),
  malformed: option(oneOf(['stop', 'drop']), 'unreadable rows', { value: 'what' }),
  specialTokens,
  column: option(
    z.record(z.string(), z.string(), 'give names of columns by what they hold'),
    `a column with another name, such as prompt=Q (${COLUMNS.join(', ')})`,
    { value: 'what=name', parse: (given, before) => column(given, before as DataColumns) },
  ),
  promptColumn: option(text, 'the same as --column prompt=NAME', { value: 'name' }),
  completionColumn: option(text, 'the same as --column completion=NAME', { value: 'name' }),
};

export const EXAMPLE_DEFAULTS = {
  trainOn: 'assistant',
  tooLong: 'continue',
  malformed: 'stop',
  specialTokens: 'special',
} as const;

/** Their values, with defaults. */
export type ExampleFlags = Partial<z.output<z.ZodObject<typeof exampleShape>>> & {
  trainOn: TrainOn;
  tooLong: TooLong;
  malformed: 'stop' | 'drop';
  specialTokens: 'special' | 'text';
};

export function addExampleOptions(command: Command): Command {
  return addFlagsWithDefaults(command, exampleShape, EXAMPLE_DEFAULTS);
}

export const DATA_HELP =
  'chats, instructions or texts in JSONL, JSON, CSV, TSV, TXT (also .gz) or Parquet; a pattern or a folder of them, or a dataset on the hub';

/** Files of examples. */
export const data = option(textOrTexts, DATA_HELP, { value: 'file' });

/** `messages=chat` → a column's name by role, added to the previous ones. */
function column(given: string, previous: DataColumns = {}): DataColumns {
  const at = given.indexOf('=');
  const what = given.slice(0, at);
  if (at < 1 || !COLUMNS.includes(what) || at === given.length - 1) {
    throw new RopewalkError(
      `--column ${given}: give what the column holds and its name, such as prompt=Q: ${COLUMNS.join(', ')}.`,
    );
  }
  return { ...previous, [what]: given.slice(at + 1) };
}

/** @throws RopewalkError for an invalid template. */
export async function exampleOptions(
  { template, trainOn, tooLong, malformed, specialTokens: special, ...columns }: ExampleFlags,
  tokenizer: Tokenizer,
): Promise<Omit<ExampleOptions, 'tokenizer' | 'maxLength'>> {
  return {
    ...(template !== undefined && { template: await openTemplate(template, tokenizer) }),
    ...{ trainOn, tooLong, malformed, columns: columnsOf(columns) },
    specialTokensInText: special === 'special',
  };
}

/** The named columns, however they were given. */
export function columnsOf({
  column: named,
  promptColumn,
  completionColumn,
}: Pick<ExampleFlags, 'column' | 'promptColumn' | 'completionColumn'>): DataColumns {
  return {
    ...named,
    ...(promptColumn !== undefined && { prompt: promptColumn }),
    ...(completionColumn !== undefined && { completion: completionColumn }),
  };
}
