/** Text files, texts as one long sequence of tokens, and n-gram baselines. */
export { type ReadTextOptions, readTextFiles, type TextFile } from './files.node.ts';
export * from './index.ts';
