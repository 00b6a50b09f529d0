/**
 * All of Ropewalk: what runs anywhere (`./core.ts`), and what needs Node: files, folders and the native engine.
 * Namespaces of rooms that have more in Node replace those of the core.
 */
export * as checkpoint from './checkpoint/index.node.ts';
export { type OpenedModel, openModel } from './checkpoint/load.node.ts';
export { openTokenizer } from './checkpoint/tokenizer.node.ts';
export * from './core.ts';
export * as data from './data/index.node.ts';
export { type DistillationOptions, distill, type TeachingSource } from './distillation/distill.node.ts';
export * as distillation from './distillation/index.node.ts';
export { type TeachEvent, type TeachingData, type TeachOptions, teach } from './distillation/teach.node.ts';
export * as evaluation from './evaluate/index.node.ts';
export { exportGguf, type GgufExportOptions, type GgufType } from './export/gguf.node.ts';
export { exportHuggingFace, type HuggingFaceExportOptions } from './export/hf.node.ts';
export { exportOnnx, type OnnxExportOptions } from './export/onnx.node.ts';
export { exportQuantized, type QuantizedExportOptions } from './export/quantized.node.ts';
export type { ExportProgress, ExportResult, ExportSource } from './export/source.node.ts';
export * as files from './files/index.node.ts';
export { type DataFiles, dataFiles } from './finetune/data-files.node.ts';
export { type FinetuneOptions, finetune } from './finetune/finetune.node.ts';
export type { ClosableView, FinetuneData } from './finetune/job.node.ts';
export type { BaseModel } from './finetune/model.node.ts';
export type { FinetuneSettings } from './finetune/settings.ts';
export * as generation from './generation/index.node.ts';
export { load } from './generation/load.node.ts';
export { type LoadOptions, loadHere } from './generation/load-here.node.ts';
export * as hub from './hub/index.node.ts';
export { type PullOptions, type PullProgress, pullModel } from './hub/pull.node.ts';
export * as inspect from './inspect/index.node.ts';
export * as ranks from './ranks/index.node.ts';
export type { Device, Precision } from './runtime/devices.ts';
export * as runtime from './runtime/index.node.ts';
export { type Listening, type ListenOptions, listen } from './serve/listen.node.ts';
export type { LogEntry } from './serve/log.ts';
export type { ServedModel } from './serve/model-pool.ts';
export type { ServeOptions } from './serve/options.ts';
export { playgroundPage } from './serve/page.node.ts';
export type { PageFile, PageFiles } from './serve/page.ts';
export { serve } from './serve/serve.ts';
export type { ModelService } from './serve/service.ts';
export * as text from './text/index.node.ts';
export * as tokenizer from './tokenizer/index.node.ts';
export * as training from './training/index.node.ts';
export type { RunEvent } from './training/runs/events.ts';
export type { RunPlan } from './training/runs/plan.ts';
export { type PretrainingOptions, train } from './training/runs/pretrain.node.ts';
export type { RunOptions } from './training/runs/run-job.node.ts';
export * as vocabulary from './vocabulary/index.node.ts';
