import type { TrainingInput } from './settings.ts';

/* Default settings of runs. Commands differ only where a comment gives the reason. */

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
  samplePrompt: [] as string[],
  sampleTokens: 48,
  guard: 6,
  saveEvery: 100,
  keep: 2,
  result: 'best',
  dtype: 'float32',
  shard: 'none',
  wire: 'float32',
  seed: 0,
} satisfies TrainingInput;

/**
 * A command's defaults. Those of its optimizer and schedule that are not here are in their records. The warm-up's
 * follows from the length of the run.
 */
export type VerbDefaults = TrainingInput &
  Required<Pick<TrainingInput, keyof typeof COMMON | 'batch' | 'seq' | 'lr'>>;

/** For `train`: a model from scratch. */
export const TRAIN_DEFAULTS = {
  ...COMMON,
  // A book is one long text, whose length is easier to state in steps than in epochs.
  ...{ steps: 500, batch: 8, seq: 128 },
  // Random weights have far to go.
  lr: 3e-3,
  // As GPT-3 and Llama were trained (arXiv:2005.14165, 2302.13971): early in training, gradients change in size too
  // fast for an average over a thousand steps (β2 = 0.999), which would be the whole run.
  ...{ beta2: 0.95, weightDecay: 0.1 },
} satisfies VerbDefaults;

/** For `distill`: like `train`, at a lower rate, since students often start from pretrained weights. */
export const DISTILL_DEFAULTS = { ...TRAIN_DEFAULTS, lr: 1e-3 } satisfies VerbDefaults;

/** For `finetune`: pretrained weights. */
export const FINETUNE_DEFAULTS = {
  ...COMMON,
  // Examples are few and counted in epochs; a chat is longer than a line of a book.
  ...{ epochs: 3, batch: 4, seq: 512 },
  // A higher rate would destroy what the weights have learned.
  lr: 2e-5,
  // The defaults of PyTorch and of transformers' Trainer, so that runs can be compared: gradients of few examples are
  // noisy, which a long average steadies, and strong decay would pull pretrained weights away from where they are.
  ...{ beta2: 0.999, weightDecay: 0.01 },
} satisfies VerbDefaults;
