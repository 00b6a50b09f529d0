/** Models and datasets from the Hugging Face hub, in the cache shared with Python. */
export {
  type CacheProblem,
  type Removal,
  removeFrom,
  superfluous,
  type Verified,
  verifyCache,
  wholly,
} from './cache-care.node.ts';
export {
  type CachedBlob,
  type CachedRepository,
  type CachedRevision,
  listCache,
} from './cache-contents.node.ts';
export { type GgufFile, SeveralFilesError } from './choose.ts';
export { type PullDatasetOptions, pullDataset } from './pull-dataset.node.ts';
export { resolveModel } from './resolve.node.ts';
export { idOfFile } from './settings.node.ts';
