/** Text files, texts as one long sequence of tokens, and n-gram baselines. */
export { readTextFiles, type TextFile } from './files.node.ts';
export * from './index.ts';
