/** Training, step by step: losses, learners, optimizers, schedules, the trainer, and the folders of runs. */
export * from './index.ts';
export { type ModelIdentity, RunDirectory, type RunEvent, type RunRecord } from './runs/run.node.ts';
