import type { PretrainSettings } from '../training/runs/pretrain.node.ts';

/** Everything that the main job's numbers depend on. Plain JSON: a resumed job must have the same. */
export interface JobSettings {
  /** Families in the order of the tables; each trains its `tiny` preset. */
  readonly families: readonly string[];
  readonly vocabSize: number;
  /** Share of the tokens, at the end of the text, that no model is trained on. */
  readonly validationShare: number;
  readonly batch: number;
  readonly seq: number;
  readonly training: PretrainSettings;
  readonly sample: {
    readonly prompt: string;
    readonly tokens: number;
    readonly temperature: number;
    readonly topP: number;
    readonly seed: number;
  };
}

/**
 * Tuned on the novel for two cores: a small vocabulary and short windows give many steps in the time there is. All
 * families get the same, so that their losses can be set side by side.
 */
export function jobSettings(
  steps = 2200,
  families: readonly string[] = ['gpt', 'gemma', 'gemma2', 'llama'],
): JobSettings {
  return {
    families,
    vocabSize: 512,
    validationShare: 0.06,
    batch: 4,
    seq: 64,
    training: {
      steps,
      accumulate: 1,
      learningRate: 2.5e-3,
      schedule: 'cosine',
      warmupSteps: Math.min(40, Math.floor(steps / 4)),
      minimumRatio: 0.05,
      weightDecay: 0.02,
      betas: [0.9, 0.95],
      eps: 1e-8,
      clipNorm: 1,
      evaluateEvery: Math.max(1, Math.ceil(steps / 4)),
      checkpointEvery: 200,
      seed: 0,
    },
    sample: { prompt: 'The whale', tokens: 110, temperature: 0.7, topP: 0.95, seed: 7 },
  };
}
