/** Training, step by step: losses, learners, optimizers, schedules, the trainer, and the folders of runs. */
export { writeGradients } from './gradients.node.ts';
export * from './index.ts';
export { configForTokenizer } from './runs/config-for-tokenizer.ts';
export type { StartedJob, TrainingJob } from './runs/job.node.ts';
export { openPretraining } from './runs/pretrain.node.ts';
export {
  type LoggedEvent,
  type ModelIdentity,
  RunDirectory,
  type RunRecord,
} from './runs/run-directory.node.ts';
export { runJob } from './runs/run-job.node.ts';
export { findRate, measureStep } from './runs/trials.node.ts';
