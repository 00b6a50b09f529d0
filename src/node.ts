/** All of Ropewalk: what runs anywhere, and what needs Node: files, folders and the native engine. */
export { type ModelDirectory, openModelDirectory } from './checkpoint/directory.node.ts';
export { type OpenedModel, openModel, readWeights, tokenizerOf } from './checkpoint/load.node.ts';
export { type ModelToSave, saveModelDirectory } from './checkpoint/save.node.ts';
export { openTokenizer } from './checkpoint/tokenizer.node.ts';
export * from './core.ts';
export { type Dataset, type PrepareOptions, prepareDataset } from './data/dataset.node.ts';
export { type DataExample, examplesOf } from './data/examples.node.ts';
export { resolveData } from './data/reading/resolve-data.node.ts';
export {
  type DistillEvent,
  type DistillOptions,
  type DistillSettings,
  distill,
  type TeachingSource,
} from './distillation/distill.node.ts';
export { type OpenedTeacher, openTeacher, startTeacher } from './distillation/open-teacher.node.ts';
export { openStudent, type Student, type StudentOrigin } from './distillation/student.node.ts';
export { OfflineSource, TaughtFile } from './distillation/taught-file.node.ts';
export { type TeachEvent, type TeachingData, type TeachOptions, teach } from './distillation/teach.node.ts';
export { exportGguf, type GgufExportOptions, type GgufType } from './export/gguf.node.ts';
export { exportHuggingFace, type HuggingFaceExportOptions } from './export/hf.node.ts';
export { exportOnnx, type OnnxExportOptions } from './export/onnx.node.ts';
export type { ExportProgress, ExportResult, ExportSource } from './export/source.node.ts';
export { FileSource } from './files/file.node.ts';
export { writeNpyFile } from './files/npy.node.ts';
export { type DataFiles, dataFiles } from './finetune/data-files.node.ts';
export type { FinetuneEvent } from './finetune/events.ts';
export { type FinetuneOptions, finetune } from './finetune/finetune.node.ts';
export type { FinetuneData } from './finetune/job.node.ts';
export type { FinetunePlan } from './finetune/plan.ts';
export type { FinetuneSettings } from './finetune/settings.ts';
export { load } from './generation/load.node.ts';
export { type LoadOptions, loadHere } from './generation/load-here.node.ts';
export { type PullOptions, type PullProgress, pullModel } from './hub/pull.node.ts';
export { type PullDatasetOptions, pullDataset } from './hub/pull-dataset.node.ts';
export { resolveModel } from './hub/resolve.node.ts';
export { namedModel } from './inspect/named-model.node.ts';
export { nodeEngine } from './runtime/engine.node.ts';
export type { Device } from './runtime/webgpu.node.ts';
export { type Listening, type ListenOptions, listen } from './serve/listen.node.ts';
export type { LogEntry } from './serve/log.ts';
export type { ServedModel } from './serve/model-pool.ts';
export type { ServeOptions } from './serve/options.ts';
export { type ModelService, serve } from './serve/serve.ts';
export { readTextFiles, type TextFile } from './text/files.node.ts';
export { loadTokenizer } from './tokenizer/tokenizer.node.ts';
export {
  type PretrainEvent,
  type PretrainOptions,
  type PretrainSettings,
  pretrain,
} from './training/runs/pretrain.node.ts';
export { type ModelIdentity, RunDirectory, type RunEvent, type RunRecord } from './training/runs/run.node.ts';
