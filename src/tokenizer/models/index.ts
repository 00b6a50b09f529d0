import { RopewalkError } from '../../errors.ts';
import type { JsonObject } from '../tokenizer-schema.ts';
import { Bpe } from './bpe.ts';
import { quoted } from './fields.ts';
import type { TokenModel } from './model.ts';
import { Unigram } from './unigram.ts';
import { WordLevel } from './wordlevel.ts';
import { WordPiece } from './wordpiece.ts';

const READERS = {
  BPE: Bpe.read,
  WordPiece: WordPiece.read,
  WordLevel: WordLevel.read,
  Unigram: Unigram.read,
};

/**
 * @param json the field `model` of tokenizer.json
 * @param source the file's name in error messages
 * @throws RopewalkError naming the unsupported field
 */
export function createModel(json: JsonObject, source: string): TokenModel {
  const type = json.type === undefined ? typeByFields(json) : json.type;
  if (typeof type !== 'string' || !Object.hasOwn(READERS, type)) {
    const names = Object.keys(READERS).join(', ');
    const name = type === undefined ? 'no type' : `the type ${quoted(type)}`;
    throw new RopewalkError(`${source}: the field "model" has ${name}; Ropewalk runs ${names}`);
  }
  return READERS[type as keyof typeof READERS](json, source);
}

/** Files from before 2020 omit the type. */
function typeByFields(json: JsonObject): keyof typeof READERS | undefined {
  if ('merges' in json) return 'BPE';
  if (Array.isArray(json.vocab)) return 'Unigram';
  if ('max_input_chars_per_word' in json) return 'WordPiece';
  return 'unk_token' in json ? 'WordLevel' : undefined;
}
