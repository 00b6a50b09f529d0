import { isUtf8 } from 'node:buffer';
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { RopewalkError } from '../errors.ts';
import { joinTokenizerFiles } from './added-token-files.ts';
import { OLDER_FILES, tokenizerFromOlderFiles } from './older/files.ts';
import type { ConvertedModel } from './older/sentencepiece.ts';
import { scanTokenizer } from './tables/scan-tokenizer.ts';
import { Tokenizer } from './tokenizer.ts';
import { isObject, type JsonObject } from './tokenizer-schema.ts';

/**
 * Loads a tokenizer from a Hugging Face model directory or from a tokenizer.json. tokenizer_config.json,
 * added_tokens.json and special_tokens_map.json next to it, if they exist, add tokens and define bos and eos. If a
 * directory has no tokenizer.json, or if one of these is named, it is loaded from tokenizer.model, or vocab.json and
 * merges.txt.
 *
 * @param read what the file at `path` contains, if it has already been read: a tokenizer.json, or a tokenizer.model
 * @throws RopewalkError naming the file, if it is missing, is not JSON or is not a supported tokenizer
 */
export function loadTokenizer(
  path: string,
  read: { readonly json?: JsonObject | undefined; readonly model?: ConvertedModel | undefined } = {},
): Tokenizer {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) {
    throw new RopewalkError(
      `${path}: no such file or directory; give a tokenizer.json or the folder that contains it`,
    );
  }
  const folder = stats.isDirectory() ? path : dirname(path);
  const isThere = (name: string) => statSync(join(folder, name), { throwIfNoEntry: false }) !== undefined;
  const file = !stats.isDirectory()
    ? path
    : join(folder, ['tokenizer.json', ...OLDER_FILES].find(isThere) ?? 'tokenizer.json');
  const beside = (name: string): JsonObject | undefined => {
    if (!isThere(name)) return undefined;
    const json = readJson(join(folder, name));
    if (!isObject(json)) throw new RopewalkError(`${join(folder, name)}: it does not contain a JSON object`);
    return json;
  };
  const isModel = file.endsWith('.model');
  const isVocabulary = ['vocab.json', 'merges.txt'].includes(basename(file));
  const made =
    isModel || isVocabulary
      ? tokenizerFromOlderFiles(
          {
            model: isModel ? (read.model ?? readBytes(file)) : undefined,
            vocab: isVocabulary ? beside('vocab.json') : undefined,
            merges: isVocabulary && isThere('merges.txt') ? readText(join(folder, 'merges.txt')) : undefined,
            config: beside('tokenizer_config.json'),
            modelConfig: beside('config.json'),
          },
          folder,
        )
      : undefined;
  const own = made?.tokenizer ?? read.json ?? readTokenizerJson(file);
  if (!isObject(own)) return Tokenizer.fromJSON(own, undefined, file);
  const { tokenizer, config } = joinTokenizerFiles(
    {
      tokenizer: own,
      config: made?.config ?? beside('tokenizer_config.json'),
      addedTokens: beside('added_tokens.json'),
      specialTokensMap: beside('special_tokens_map.json'),
    },
    folder,
  );
  return Tokenizer.fromJSON(tokenizer, config, file);
}

/** A large vocabulary is read without making an object of it. */
function readTokenizerJson(file: string): unknown {
  const bytes = readBytes(file);
  return (isUtf8(bytes) ? scanTokenizer(bytes) : undefined) ?? readJson(file);
}

function readJson(file: string): unknown {
  const text = readText(file);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RopewalkError(`${file}: not valid JSON (${error instanceof Error ? error.message : error})`, {
      cause: error,
    });
  }
}

function readText(file: string): string {
  return readBytes(file).toString('utf8');
}

function readBytes(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    const why = missing ? 'no such file; a model directory needs it to tokenize text' : String(error);
    throw new RopewalkError(`${file}: ${why}`, { cause: error });
  }
}
