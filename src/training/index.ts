/** Training, step by step: losses, learners, optimizers, schedules, and the trainer that runs them. */
export {
  type Batch,
  BatchSampler,
  type BatchSamplerState,
  type BatchSource,
  type EvaluationBatch,
  evaluationBatches,
  type TrainingBatch,
  type TrainingRows,
} from '../batches.ts';
export { BlockLearner, type BlockLearnerOptions } from './blocks/block-learner.ts';
export { clipCoefficient, globalNorm } from './clip.ts';
export { createLearner, type LearnerOptions, type MemoryMode } from './create-learner.ts';
export { type RatePoint, type RateSearch, searchRate, suggestRate } from './find-rate.ts';
export {
  gradientName,
  lossGraph,
  type SequenceShape,
  type TrainingGraphOptions,
  trainingGraph,
} from './graph.ts';
export { type GuardSettings, type GuardState, LossGuard } from './guard.ts';
export type { Learner, StepResult, TrainedParameter, UpdateSettings } from './learner.ts';
export { createLearnerOptimizer } from './learner-optimizer.ts';
export { crossEntropy, headChunk, type Loss, type LossGraph, type LossInputs } from './loss.ts';
export type { MemoryEstimate } from './memory.ts';
export {
  type CreateOptimizerOptions,
  createOptimizer,
  OPTIMIZER_STATES,
  OPTIMIZERS,
  type OptimizerKind,
  type OptimizerRecord,
  type OptimizerStates,
  type SizedOptimizer,
} from './optimizers/create-optimizer.ts';
export {
  Adafactor,
  type AdafactorOptions,
  AdamW,
  type AdamWOptions,
  allocateTrainable,
  type OptimizedParameter,
  type Optimizer,
  type OptimizerState,
  type ParameterShape,
  Sgd,
  type StateTensor,
  type StepSettings,
  type Trainable,
} from './optimizers/optimizer.ts';
export type { Means } from './optimizers/record.ts';
export type { FinishedEvent, ResumedEvent, Sample, SamplesEvent } from './runs/events.ts';
export type { DataSize, Machine } from './runs/plan.ts';
export { createSchedule, SCHEDULES, type Schedule, type ScheduleSettings } from './schedule.ts';
export type { RunLength, TrainingInput, TrainingSettings } from './settings.ts';
export type {
  CheckpointEvent,
  EvaluationEvent,
  EvaluationRecord,
  StepEvent,
  StoppedEvent,
} from './train-event.ts';
export {
  type TrainEvent,
  Trainer,
  type TrainerParts,
  type TrainerSettings,
  type TrainerState,
} from './trainer.ts';
export { WholeGraphLearner, type WholeGraphLearnerOptions } from './whole-graph-learner.ts';
