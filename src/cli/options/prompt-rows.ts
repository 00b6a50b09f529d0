import { createHash } from 'node:crypto';
import { readRows } from '../../data/reading/read-rows.node.ts';
import { RopewalkError } from '../../errors.ts';
import type { PromptRow } from '../../generation/open-rows.node.ts';

/**
 * The rows of the file of `--prompts`: their field "prompt" is a text, or "ids" are token ids; each line of a .txt is a
 * prompt.
 *
 * @throws RopewalkError naming the file and the row.
 */
export async function readPromptRows(path: string): Promise<PromptRow[]> {
  const rows: PromptRow[] = [];
  for await (const { where, values, problem } of readRows(path)) {
    if (!values) throw new RopewalkError(`${where}: ${problem}`);
    const { prompt = /\.txt(\.gz)?$/i.test(path) ? values.text : undefined, ids } = values;
    if ((prompt === undefined) === (ids === undefined))
      throw new RopewalkError(
        `${where}: a row needs one of the fields "prompt", a text, and "ids", a list of token ids.`,
      );
    if (prompt !== undefined && typeof prompt !== 'string')
      throw new RopewalkError(`${where}: "prompt" must be a text.`);
    if (prompt === undefined && !areIds(ids))
      throw new RopewalkError(`${where}: "ids" must be a list of at least one token id, such as [1, 2, 3].`);
    rows.push({ where, prompt: prompt ?? (ids as number[]) });
  }
  if (rows.length === 0) throw new RopewalkError(`${path}: it has no rows.`);
  return rows;
}

function areIds(ids: unknown): ids is number[] {
  return Array.isArray(ids) && ids.length > 0 && ids.every((id) => Number.isSafeInteger(id) && id >= 0);
}

/** An identifier of prompts. */
export function promptsHash(rows: readonly PromptRow[]): string {
  return createHash('sha256')
    .update(JSON.stringify(rows.map(({ prompt }) => prompt)))
    .digest('hex');
}
