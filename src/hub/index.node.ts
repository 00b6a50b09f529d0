/** Models and data sets of the Hugging Face hub, in the cache that Python shares. */
export { type GgufFile, SeveralFilesError } from './choose.ts';
export { type PullDatasetOptions, pullDataset } from './pull-dataset.node.ts';
export { resolveModel } from './resolve.node.ts';
export { idOfFile } from './settings.node.ts';
