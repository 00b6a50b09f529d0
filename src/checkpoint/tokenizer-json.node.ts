import { isUtf8 } from 'node:buffer';
import { FileSource } from '../files/file.node.ts';
import { stampsOf } from '../files/source.ts';
import { scanTables, tokenizerOfTables } from '../tokenizer/tables/scan-tokenizer.ts';
import type { JsonObject } from '../tokenizer/tokenizer-schema.ts';
import { keptVocabulary, type VocabularyCache } from './layouts/vocabularies.node.ts';

/** Of a tokenizer.json with its merges, at least; published ones have 70. */
const BYTES_PER_TOKEN = 32;

/**
 * The object in a tokenizer.json. A large vocabulary is read without making an object of it, and kept for later starts.
 *
 * @param name the file's name in messages
 * @param parse reads any other file, and says what is wrong with it
 * @throws what `parse` throws, and RopewalkError for a file that cannot be read
 */
export async function readTokenizerJson<T extends JsonObject | undefined>(
  path: string,
  name: string,
  cache: VocabularyCache,
  parse: (bytes: Uint8Array) => T,
): Promise<JsonObject | T> {
  const source = await FileSource.open(path, name);
  const read = async () => {
    const bytes = await source.read(0, source.size);
    return { bytes, tabled: isUtf8(bytes) ? scanTables(bytes) : undefined };
  };
  try {
    let json: JsonObject | T | undefined;
    const vocabulary = {
      path: name,
      mostTokens: source.size / BYTES_PER_TOKEN,
      stamps: () => stampsOf([source]),
      facts: 'tokenizer.json',
    };
    const kept = await keptVocabulary(vocabulary, cache, async () => {
      const { bytes, tabled } = await read();
      const made = tabled && tokenizerOfTables(tabled);
      json = made ?? parse(bytes);
      return made && tabled;
    });
    return json ?? (kept && tokenizerOfTables(kept)) ?? parse((await read()).bytes);
  } finally {
    await source.close();
  }
}
