/** Training examples: files of rows, tokenized with loss masks and packed into rows of equal length. */
export { type Dataset, type PrepareOptions, prepareDataset } from './dataset.node.ts';
export {
  type DataExample,
  type DataProgress,
  type DataSources,
  type ExampleOptions,
  examplesOf,
} from './examples.node.ts';
export * from './index.ts';
export { openTemplate } from './open-template.node.ts';
export { type NumberedExample, previewData } from './preview.node.ts';
export { type ResolveDataOptions, resolveData } from './reading/resolve-data.node.ts';
