import { readFile, stat } from 'node:fs/promises';
import { ChatTemplate } from '../chat/template.ts';
import { fileError } from '../files/file-errors.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { templateByName } from './templates.ts';

/**
 * A chat template: of a file, or by the name of another one of the model's, or of one of ours (`TEMPLATE_NAMES`). A file of
 * that name wins.
 *
 * @throws RopewalkError when it is neither, or the tokenizer lacks tokens that it writes.
 */
export async function openTemplate(fileOrName: string, tokenizer: Tokenizer): Promise<ChatTemplate> {
  const isFile = await stat(fileOrName).then(
    (status) => status.isFile(),
    () => false,
  );
  if (!isFile) return templateByName(fileOrName, tokenizer);
  let source: string;
  try {
    source = await readFile(fileOrName, 'utf8');
  } catch (error) {
    throw fileError(error, 'read', fileOrName);
  }
  return new ChatTemplate(source, fileOrName);
}
