/** Texts to token ids and back; tokenizers trained on texts. */
export { type AddedTokenFiles, type JoinedTokenizer, joinTokenizerFiles } from './added-token-files.ts';
export { type BpeTrainerOptions, bpeTokenizerConfig, trainBpe, trainBpeAsync } from './bpe-trainer.ts';
export { extendedJson } from './extend/extended-json.ts';
export { type LearnedToken, type LearnedTokens, type LearnOptions, learnTokens } from './extend/learn.ts';
export { StreamDecoder } from './stream.ts';
export { Tokenizer } from './tokenizer.ts';
export type { TokenizerJson } from './tokenizer-schema.ts';
export type { Script } from './unicode/scripts.ts';
