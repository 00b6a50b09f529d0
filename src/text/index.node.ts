/** Text files, texts as one long row of tokens, and n-gram models of them to compare with. */
export { type ReadTextOptions, readTextFiles, type TextFile } from './files.node.ts';
export * from './index.ts';
