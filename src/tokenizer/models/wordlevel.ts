import { RopewalkError } from '../../errors.ts';
import type { JsonObject } from '../tokenizer-schema.ts';
import { ModelFields, quoted } from './fields.ts';
import type { TokenModel } from './model.ts';
import { readVocabulary, type Vocabulary } from './vocabulary.ts';

/** One token per whole word. */
export class WordLevel implements TokenModel {
  readonly #vocabulary: Vocabulary;
  readonly #unkToken: string;
  readonly #source: string;

  private constructor(vocabulary: Vocabulary, unkToken: string, source: string) {
    this.#vocabulary = vocabulary;
    this.#unkToken = unkToken;
    this.#source = source;
  }

  /** @throws RopewalkError naming the field that makes this an invalid WordLevel model */
  static read(json: JsonObject, source: string): WordLevel {
    const fields = new ModelFields(json, source);
    return new WordLevel(readVocabulary(fields), fields.text('unk_token'), source);
  }

  encode(piece: string, ids: number[]): void {
    const id = this.#vocabulary.id(piece) ?? this.#vocabulary.id(this.#unkToken);
    if (id === undefined) {
      throw new RopewalkError(
        `${this.#source}: the text has a word without a token, and "model.unk_token" (${quoted(this.#unkToken)}) is not in the vocabulary`,
      );
    }
    ids.push(id);
  }

  tokenToId(token: string): number | undefined {
    return this.#vocabulary.id(token);
  }

  idToToken(id: number): string | undefined {
    return this.#vocabulary.token(id);
  }

  get highestId(): number {
    return this.#vocabulary.highestId;
  }
}
