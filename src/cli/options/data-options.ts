import { readFile, stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { ChatTemplate } from '../../chat/template.ts';
import type { DataColumns } from '../../data/row-form.ts';
import { isTemplateName, namedTemplate, TEMPLATE_NAMES } from '../../data/templates.ts';
import { RopewalkError } from '../../errors.ts';
import { fileError } from '../../files/file-errors.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';

export interface ColumnFlags {
  column?: DataColumns;
  promptColumn?: string;
  completionColumn?: string;
}

const COLUMNS = ['messages', 'prompt', 'completion', 'instruction', 'input', 'output', 'system', 'text'];

/** Options that say which columns hold what, where they are not called as usual. */
export function addColumnOptions(command: Command): Command {
  return command
    .option(
      '--column <what=name>',
      `a column that is not called as usual, such as prompt=Q; may be given several times (${COLUMNS.join(', ')})`,
      column,
    )
    .option('--prompt-column <name>', 'the same as --column prompt=NAME')
    .option('--completion-column <name>', 'the same as --column completion=NAME');
}

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

export function columnsOf({ column, promptColumn, completionColumn }: ColumnFlags): DataColumns {
  return {
    ...column,
    ...(promptColumn !== undefined && { prompt: promptColumn }),
    ...(completionColumn !== undefined && { completion: completionColumn }),
  };
}

/**
 * What `--template` names: a template of ours, or a file.
 *
 * @throws RopewalkError when it is neither, or the tokenizer lacks tokens that it writes.
 */
export async function templateOf(name: string, tokenizer: Tokenizer): Promise<ChatTemplate> {
  const isFile = await stat(name).then(
    (status) => status.isFile(),
    () => false,
  );
  if (!isFile && isTemplateName(name)) return namedTemplate(name, tokenizer);
  if (!isFile) {
    throw new RopewalkError(
      `--template ${name}: there is no such file, nor a template of this name; the names are ${TEMPLATE_NAMES.join(', ')}.`,
    );
  }
  try {
    return new ChatTemplate(await readFile(name, 'utf8'), name);
  } catch (error) {
    throw fileError(error, 'read', name);
  }
}
