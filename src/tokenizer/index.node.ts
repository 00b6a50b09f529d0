/** Texts to token ids and back; tokenizers trained on texts. */
export * from './index.ts';
export { loadTokenizer } from './tokenizer.node.ts';
