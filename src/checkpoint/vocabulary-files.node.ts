import { FileSource } from '../files/file.node.ts';
import { stampsOf } from '../files/source.ts';
import {
  type ByteLevelVocabulary,
  readVocabularyFiles,
  vocabularyOfTables,
} from '../tokenizer/older/byte-level.ts';
import { tablesOf } from '../tokenizer/tables/bpe-tables.ts';
import type { JsonObject } from '../tokenizer/tokenizer-schema.ts';
import { keptVocabulary, type VocabularyCache } from './layouts/vocabularies.node.ts';

/** Of a vocab.json, at least; published ones have 17. */
const BYTES_PER_TOKEN = 8;

/** A file of a model folder: where it is, and how its contents are read. */
interface VocabularyFile<T> {
  readonly path: string;
  /** The name in messages. */
  readonly name: string;
  parse(bytes: Uint8Array): T;
}

/**
 * What vocab.json and merges.txt contain; a large vocabulary is kept for later starts.
 *
 * @throws RopewalkError naming the file and what is wrong with it
 */
export async function readVocabularyPair(
  vocab: VocabularyFile<JsonObject>,
  merges: VocabularyFile<string>,
  folder: string,
  cache: VocabularyCache,
): Promise<ByteLevelVocabulary> {
  const sources: FileSource[] = [];
  try {
    for (const { path, name } of [vocab, merges]) sources.push(await FileSource.open(path, name));
    const [first, second] = sources as [FileSource, FileSource];
    const source = {
      path: vocab.name,
      mostTokens: first.size / BYTES_PER_TOKEN,
      stamps: () => stampsOf(sources),
      facts: 'vocab.json',
    };
    let made: ByteLevelVocabulary | undefined;
    const kept = await keptVocabulary(source, cache, async () => {
      const words = vocab.parse(await first.read(0, first.size));
      made = readVocabularyFiles(words, merges.parse(await second.read(0, second.size)), folder);
      const tables = tablesOf(made.model);
      return tables && { text: '', tables };
    });
    return made ?? vocabularyOfTables(kept!.tables);
  } finally {
    for (const source of sources) await source.close();
  }
}
