import { RopewalkError } from '../../errors.ts';
import type { JsonObject } from '../tokenizer-schema.ts';
import { tokenizerFromVocabulary } from './byte-level.ts';
import { tokenizerFromSentencePiece } from './sentencepiece.ts';

/** Files from which a tokenizer.json can be made; merges.txt belongs to vocab.json. */
export const OLDER_FILES = ['tokenizer.model', 'vocab.json', 'merges.txt'];

/** What a model's folder has of older files; undefined for one that is not there. */
export interface OlderFiles {
  /** `tokenizer.model` */
  readonly model: Uint8Array | undefined;
  /** `vocab.json` */
  readonly vocab: JsonObject | undefined;
  /** `merges.txt` */
  readonly merges: string | undefined;
  /** `tokenizer_config.json` */
  readonly config: JsonObject | undefined;
  /** `config.json`, whose `model_type` tells a tokenizer's class where tokenizer_config.json does not. */
  readonly modelConfig: JsonObject | undefined;
}

/**
 * The tokenizer of a folder without a tokenizer.json, from `tokenizer.model` (SentencePiece) or `vocab.json` and
 * `merges.txt` (byte-level BPE), as if it had one; what other files add to it is left to `joinTokenizerFiles`.
 *
 * @param folder what messages call the folder
 * @returns undefined where the folder has none of them
 * @throws RopewalkError naming the file that is damaged, missing beside the other, or of a kind that is not supported
 */
export function tokenizerFromOlderFiles(
  { model, vocab, merges, config = {}, modelConfig }: OlderFiles,
  folder: string,
): { tokenizer: JsonObject; config: JsonObject } | undefined {
  if (model) return tokenizerFromSentencePiece(model, config, `${folder}/tokenizer.model`);
  if (vocab && merges !== undefined) {
    return tokenizerFromVocabulary(vocab, merges, { config, modelType: modelConfig?.model_type, folder });
  }
  if (!vocab && merges === undefined) return undefined;
  const [there, missing] = vocab ? ['vocab.json', 'merges.txt'] : ['merges.txt', 'vocab.json'];
  throw new RopewalkError(
    `${folder}: it has a ${there} without a ${missing}, and no tokenizer.json; add the model's other files`,
  );
}
