/** Training examples: files of rows, tokenized with loss masks and packed into rows of equal length. */
export { type Dataset, type PrepareOptions, prepareDataset } from './dataset.node.ts';
export { type DataExample, examplesOf } from './examples.node.ts';
export * from './index.ts';
export { type NumberedExample, previewData } from './preview.node.ts';
export { resolveData } from './reading/resolve-data.node.ts';
