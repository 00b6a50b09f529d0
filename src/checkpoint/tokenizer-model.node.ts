import { RopewalkError } from '../errors.ts';
import { FileSource } from '../files/file.node.ts';
import { HEAD_BYTES, inPlaceOf } from '../files/not-weights.ts';
import { stampsOf } from '../files/source.ts';
import { type ConvertedModel, convertModel } from '../tokenizer/older/sentencepiece.ts';
import { convertedModel, tabledModel } from '../tokenizer/older/tabled-model.ts';
import { keptVocabulary, type VocabularyCache } from './layouts/vocabularies.node.ts';

/** Of a tokenizer.model, at least; published ones have 16 to 20. */
const BYTES_PER_TOKEN = 8;

/**
 * A SentencePiece `tokenizer.model`, converted; a large vocabulary is kept for later starts.
 *
 * @param name the file's name in messages
 * @throws RopewalkError for a file that cannot be read or converted
 */
export async function readTokenizerModel(
  path: string,
  name: string,
  cache: VocabularyCache,
): Promise<ConvertedModel> {
  const source = await FileSource.open(path, name);
  const vocabulary = {
    path: name,
    mostTokens: source.size / BYTES_PER_TOKEN,
    stamps: () => stampsOf([source]),
    facts: 'tokenizer.model',
  };
  try {
    let converted: ConvertedModel | undefined;
    const kept = await keptVocabulary(vocabulary, cache, async () => {
      const bytes = await source.read(0, source.size);
      const other = inPlaceOf(bytes.subarray(0, HEAD_BYTES));
      if (other) throw new RopewalkError(`${name}: ${other}.`);
      converted = convertModel(bytes, name);
      return tabledModel(converted);
    });
    return converted ?? convertedModel(kept!);
  } finally {
    await source.close();
  }
}
