import { readFile, stat } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { ChatTemplate } from '../../chat/template.ts';
import type { TrainOn } from '../../data/encode-example.ts';
import { type ExampleOptions, TOO_LONG, type TooLong } from '../../data/examples.node.ts';
import type { DataColumns } from '../../data/row-form.ts';
import { templateByName } from '../../data/templates.ts';
import { RopewalkError } from '../../errors.ts';
import { fileError } from '../../files/file-errors.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';

/** What the options of {@link addExampleOptions} give. */
export interface ExampleFlags {
  template?: string;
  trainOn: TrainOn;
  tooLong: TooLong;
  malformed: 'stop' | 'drop';
  specialTokens: 'special' | 'text';
  column?: DataColumns;
  promptColumn?: string;
  completionColumn?: string;
}

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

/** The options that say how rows become examples, for every command that reads them. */
export function addExampleOptions(command: Command): Command {
  const choice = (flags: string, text: string, values: readonly string[]) =>
    new Option(flags, text).choices([...values]).default(values[0]);
  return command
    .option('--template <name|file>', 'a chat template for a model that has none')
    .addOption(choice('--train-on <which>', 'tokens of --data that count', ['assistant', 'all']))
    .addOption(choice('--too-long <what>', TOO_LONG_HELP, TOO_LONG))
    .addOption(choice('--malformed <what>', 'for rows that cannot be read', ['stop', 'drop']))
    .addOption(specialTokensOption().default('special'))
    .option(
      '--column <what=name>',
      `a column that is not called as usual, such as prompt=Q; may be given several times (${COLUMNS.join(', ')})`,
      column,
    )
    .option('--prompt-column <name>', 'the same as --column prompt=NAME')
    .option('--completion-column <name>', 'the same as --column completion=NAME');
}

export const TOO_LONG_HELP =
  'for examples longer than a row: texts continue in further rows and chats are cut; or cut, or leave out, both';

/** What special tokens that plain texts spell become. */
export function specialTokensOption(shownDefault?: string): Option {
  const shown = shownDefault === undefined ? '' : ` (default: ${shownDefault})`;
  return new Option(
    '--special-tokens <as>',
    `what special tokens that plain texts spell become: these tokens, or letters${shown}`,
  ).choices(['special', 'text']);
}

export const DATA_HELP =
  'chats, instructions or texts in JSONL, JSON, CSV, TSV, TXT (also .gz) or Parquet; a pattern or a folder of them, or a data set on the hub; may be given several times';

/** `messages=chat` → a column's name by what it holds, with those before. */
export function column(text: string, previous: DataColumns = {}): DataColumns {
  const at = text.indexOf('=');
  const what = text.slice(0, at);
  if (at < 1 || !COLUMNS.includes(what) || at === text.length - 1) {
    throw new RopewalkError(
      `--column ${text}: give what the column holds and its name, such as prompt=Q: ${COLUMNS.join(', ')}.`,
    );
  }
  return { ...previous, [what]: text.slice(at + 1) };
}

/** @throws RopewalkError for a template that is none. */
export async function exampleOptions(
  { template, trainOn, tooLong, malformed, specialTokens, ...columns }: ExampleFlags,
  tokenizer: Tokenizer,
): Promise<Omit<ExampleOptions, 'tokenizer' | 'maxLength'>> {
  return {
    ...(template !== undefined && { template: await templateOf(template, tokenizer) }),
    ...{ trainOn, tooLong, malformed, columns: columnsOf(columns) },
    specialTokensInText: specialTokens === 'special',
  };
}

function columnsOf({
  column,
  promptColumn,
  completionColumn,
}: Pick<ExampleFlags, 'column' | 'promptColumn' | 'completionColumn'>): DataColumns {
  return {
    ...column,
    ...(promptColumn !== undefined && { prompt: promptColumn }),
    ...(completionColumn !== undefined && { completion: completionColumn }),
  };
}

/**
 * What `--template` names: a template of the model's, one of ours, or a file.
 *
 * @throws RopewalkError when it is neither, or the tokenizer lacks tokens that it writes.
 */
export async function templateOf(name: string, tokenizer: Tokenizer): Promise<ChatTemplate> {
  const isFile = await stat(name).then(
    (status) => status.isFile(),
    () => false,
  );
  if (!isFile) return templateByName(name, tokenizer);
  try {
    return new ChatTemplate(await readFile(name, 'utf8'), name);
  } catch (error) {
    throw fileError(error, 'read', name);
  }
}
