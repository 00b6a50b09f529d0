/** Training examples: rows tokenized with loss masks and packed into rows of equal length. */
export { type EncodeDocumentsOptions, encodeDocuments } from './encode-documents.ts';
export { type EncodeExampleOptions, encodeExample, type TrainOn } from './encode-example.ts';
export {
  evaluationRows,
  type PackedRows,
  PackedSource,
  type PackedState,
  type PackingOptions,
} from './packed-source.ts';
export { type PreviewRun, previewRuns } from './preview.ts';
export type { DataReport, DroppedRows, LengthSummary, spelledNote } from './report.ts';
export type { DataColumns, TrainingChat, TrainingText } from './row-form.ts';
export { namedTemplate, TEMPLATE_NAMES, type TemplateName } from './templates.ts';
export { type DatasetView, datasetOf, type Example, splitDataset } from './view.ts';
