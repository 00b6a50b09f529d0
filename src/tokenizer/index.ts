/** Texts as token ids and back; tokenizers trained on texts. */
export { type AddedTokenFiles, type JoinedTokenizer, joinTokenizerFiles } from './added-token-files.ts';
export { type BpeTrainerOptions, bpeTokenizerConfig, trainBpe, trainBpeAsync } from './bpe-trainer.ts';
export { StreamDecoder } from './stream.ts';
export { Tokenizer } from './tokenizer.ts';
export { tokenizerFiles } from './tokenizer-files.ts';
export type { TokenizerJson } from './tokenizer-schema.ts';
