import { RopewalkError } from '../errors.ts';
import { readJsonObject } from './directory.node.ts';
import { NEW_TOKENS_FILE } from './model-files.ts';

/** The tokens that the last extension of a model added to its vocabulary. */
export interface NewTokens {
  /** Their ids are `first` … `first + count − 1`. */
  readonly first: number;
  readonly count: number;
  /** The number of merges added with them, at the end of the list. */
  readonly merges: number;
}

const FIELD = 'new_tokens';

/** The content of the file that records new tokens. */
export function newTokensFile(tokens: NewTokens): { name: string; data: string } {
  return { name: NEW_TOKENS_FILE, data: `${JSON.stringify({ [FIELD]: tokens }, null, 2)}\n` };
}

/**
 * Which tokens of a model directory are new; undefined if its vocabulary was never extended.
 *
 * @param vocabSize rows of the model's embedding
 * @throws RopewalkError naming the file and the wrong field
 */
export async function readNewTokens(directory: string, vocabSize: number): Promise<NewTokens | undefined> {
  const field = (await readJsonObject(directory, NEW_TOKENS_FILE))?.[FIELD];
  if (field === undefined) return undefined;
  const refuse = (name: string, problem: string) =>
    new RopewalkError(`${directory}/${NEW_TOKENS_FILE}: the field "${FIELD}${name}" ${problem}`);
  if (typeof field !== 'object' || field === null) throw refuse('', 'is not an object');
  const numbers = ['first', 'count', 'merges'].map((name) => {
    const value = (field as Record<string, unknown>)[name];
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    throw refuse(`.${name}`, 'is not a whole number from 0');
  });
  const [first, count, merges] = numbers as [number, number, number];
  if (first + count > vocabSize) {
    throw refuse('', `ends at the id ${first + count - 1}, but the model has ${vocabSize} tokens`);
  }
  return { first, count, merges };
}
