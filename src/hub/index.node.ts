/** Models and datasets from the Hugging Face hub, in the cache shared with Python. */
export { type GgufFile, SeveralFilesError } from './choose.ts';
export { type PullDatasetOptions, pullDataset } from './pull-dataset.node.ts';
export { resolveModel } from './resolve.node.ts';
export { idOfFile } from './settings.node.ts';
