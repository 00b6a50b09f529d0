import { readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { RopewalkError } from '../errors.ts';
import { Tokenizer } from './tokenizer.ts';

/**
 * Loads a tokenizer from a Hugging Face model directory or from a tokenizer.json; tokenizer_config.json
 * beside it, when there is one, tells bos and eos.
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
  const configFile = join(dirname(file), 'tokenizer_config.json');
  const hasConfig = statSync(configFile, { throwIfNoEntry: false }) !== undefined;
  return Tokenizer.fromJSON(readJson(file), hasConfig ? readJson(configFile) : undefined, file);
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
