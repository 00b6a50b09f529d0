import { RopewalkError } from '../../errors.ts';
import type { JsonObject } from '../tokenizer-schema.ts';
import { type ByteLevelVocabulary, readVocabularyFiles, tokenizerFromVocabulary } from './byte-level.ts';
import { type ConvertedModel, tokenizerFromSentencePiece, withConfig } from './sentencepiece.ts';

/** Files from which a tokenizer.json can be made; merges.txt goes with vocab.json. */
export const OLDER_FILES = ['tokenizer.model', 'vocab.json', 'merges.txt'];

/** A model folder's older files; undefined for missing ones. */
export interface OlderFiles {
  /** `tokenizer.model`: its bytes, or already converted */
  readonly model: Uint8Array | ConvertedModel | undefined;
  /** `vocab.json` and `merges.txt` if they were read together; these are then undefined. */
  readonly vocabulary?: ByteLevelVocabulary | undefined;
  /** `vocab.json` */
  readonly vocab: JsonObject | undefined;
  /** `merges.txt` */
  readonly merges: string | undefined;
  /** `tokenizer_config.json` */
  readonly config: JsonObject | undefined;
  /** `config.json`, whose `model_type` determines a tokenizer's class if tokenizer_config.json does not. */
  readonly modelConfig: JsonObject | undefined;
}

/**
 * The tokenizer of a folder without a tokenizer.json, from `tokenizer.model` (SentencePiece) or `vocab.json` and
 * `merges.txt` (byte-level BPE), as if it had one; `joinTokenizerFiles` adds what other files contain.
 *
 * @param folder for messages
 * @returns undefined if the folder has none of them
 * @throws RopewalkError naming a file that is damaged, missing its counterpart, or of an unsupported kind
 */
export function tokenizerFromOlderFiles(
  { model, vocabulary, vocab, merges, config = {}, modelConfig }: OlderFiles,
  folder: string,
): { tokenizer: JsonObject; config: JsonObject } | undefined {
  if (model instanceof Uint8Array)
    return tokenizerFromSentencePiece(model, config, `${folder}/tokenizer.model`);
  if (model) return withConfig(model, config);
  const context = { config, modelType: modelConfig?.model_type, folder };
  if (vocabulary) return tokenizerFromVocabulary(vocabulary, context);
  if (vocab && merges !== undefined)
    return tokenizerFromVocabulary(readVocabularyFiles(vocab, merges, folder), context);
  if (!vocab && merges === undefined) return undefined;
  const [there, missing] = vocab ? ['vocab.json', 'merges.txt'] : ['merges.txt', 'vocab.json'];
  throw new RopewalkError(
    `${folder}: it has a ${there} without a ${missing}, and no tokenizer.json; add the model's other files`,
  );
}
