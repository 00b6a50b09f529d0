/** Texts to token ids and back; tokenizers trained on texts. */
export { type AddedTokenFiles, type JoinedTokenizer, joinTokenizerFiles } from './added-token-files.ts';
export {
  type BpeMerge,
  type BpeTrainerOptions,
  bpeTokenizerConfig,
  trainBpe,
  trainBpeAsync,
} from './bpe-trainer.ts';
export type { Decoding } from './decoders/decoder.ts';
export type { Strip } from './decoders/strip.ts';
export type { Detokenizer } from './detokenizer.ts';
export { extendedJson } from './extend/extended-json.ts';
export { type LearnedToken, type LearnedTokens, type LearnOptions, learnTokens } from './extend/learn.ts';
export { withoutNewTokens } from './extend/without-new-tokens.ts';
export type { TextSpan } from './plain-spans.ts';
export { StreamDecoder } from './stream.ts';
export { Tokenizer } from './tokenizer.ts';
export { tokenizerFiles } from './tokenizer-files.ts';
export type { AddedTokenJson, JsonObject, TokenizerJson } from './tokenizer-schema.ts';
export type { Script } from './unicode/scripts.ts';
