import type { TrainingInput } from './settings.ts';

/*
 * What runs are made of where nobody says otherwise. Verbs differ only where a reason stands beside it.
 */

const COMMON = {
  accumulate: 1,
  schedule: 'cosine',
  optimizer: 'adamw',
  clip: 1,
  memory: 'fast',
  freeze: [] as string[],
  validation: 0.05,
  evalEvery: 50,
  patience: 0,
  guard: 6,
  saveEvery: 100,
  keep: 2,
  result: 'best',
  dtype: 'float32',
  seed: 0,
} satisfies TrainingInput;

/**
 * Defaults of a verb. Those of its optimizer and schedule that are not here are in their records. The warm-up's follows from
 * the run's length.
 */
export type VerbDefaults = TrainingInput &
  Required<Pick<TrainingInput, keyof typeof COMMON | 'batch' | 'seq' | 'lr'>>;

/** Of `train`: a model from scratch. */
export const TRAIN_DEFAULTS = {
  ...COMMON,
  // A book is one long text: how long it takes is better said in steps than in passes.
  ...{ steps: 500, batch: 8, seq: 128 },
  // Random weights have far to go.
  lr: 3e-3,
  // As GPT-3 and Llama were trained (arXiv:2005.14165, 2302.13971): gradients of young weights change in size too fast for a
  // mean over a thousand steps (β2 = 0.999), which would be the whole run.
  ...{ beta2: 0.95, weightDecay: 0.1 },
} satisfies VerbDefaults;

/** Of `distill`: as `train`, at a lower rate, since students often begin from weights that are good already. */
export const DISTILL_DEFAULTS = { ...TRAIN_DEFAULTS, lr: 1e-3 } satisfies VerbDefaults;

/** Of `finetune`: weights that are good already. */
export const FINETUNE_DEFAULTS = {
  ...COMMON,
  // Examples are few and counted in passes; a chat is longer than a line of a book.
  ...{ epochs: 3, batch: 4, seq: 512 },
  // A higher rate would spoil what the weights have learned.
  lr: 2e-5,
  // PyTorch's own, and those of transformers' Trainer, so that a run can be set beside one there: gradients of few examples are
  // noisy, which a long mean steadies, and a strong decay would pull good weights away from where they are.
  ...{ beta2: 0.999, weightDecay: 0.01 },
} satisfies VerbDefaults;
