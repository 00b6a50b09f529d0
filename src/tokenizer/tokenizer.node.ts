import { readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { RopewalkError } from '../errors.ts';
import { joinTokenizerFiles } from './added-token-files.ts';
import { Tokenizer } from './tokenizer.ts';
import { isObject, type JsonObject } from './tokenizer-schema.ts';

/**
 * Loads a tokenizer from a Hugging Face model directory or from a tokenizer.json; tokenizer_config.json,
 * added_tokens.json and special_tokens_map.json beside it, where there are such, add tokens and tell bos and eos.
 *
 * @throws RopewalkError naming the file, when it is missing, is not JSON or is not a tokenizer that runs
 */
export function loadTokenizer(path: string): Tokenizer {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) {
    throw new RopewalkError(
      `${path}: no such file or directory; give a tokenizer.json or the folder that has it`,
    );
  }
  const file = stats.isDirectory() ? join(path, 'tokenizer.json') : path;
  const folder = dirname(file);
  const beside = (name: string): JsonObject | undefined => {
    const path = join(folder, name);
    if (statSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
    const json = readJson(path);
    if (!isObject(json)) throw new RopewalkError(`${path}: it does not hold a JSON object`);
    return json;
  };
  const own = readJson(file);
  if (!isObject(own)) return Tokenizer.fromJSON(own, undefined, file);
  const { tokenizer, config } = joinTokenizerFiles(
    {
      tokenizer: own,
      config: beside('tokenizer_config.json'),
      addedTokens: beside('added_tokens.json'),
      specialTokensMap: beside('special_tokens_map.json'),
    },
    folder,
  );
  return Tokenizer.fromJSON(tokenizer, config, file);
}

function readJson(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    const why = missing ? 'no such file; a model directory needs it to turn text into tokens' : String(error);
    throw new RopewalkError(`${file}: ${why}`, { cause: error });
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RopewalkError(`${file}: not valid JSON (${error instanceof Error ? error.message : error})`, {
      cause: error,
    });
  }
}
