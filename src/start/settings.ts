import type { TrainingInput } from '../training/settings.ts';

/** The options of a run that are set here, and those that the report states. */
type Training = TrainingInput &
  Required<Pick<TrainingInput, 'steps' | 'lr' | 'warmup' | 'weightDecay' | 'clip' | 'seed' | 'validation'>>;

/** Everything that the main job's numbers depend on. Plain JSON: a resumed job must have the same. */
export interface JobSettings {
  /** Families in the order of the tables; each trains its `tiny` preset. */
  readonly families: readonly string[];
  readonly vocabSize: number;
  readonly batch: number;
  readonly seq: number;
  readonly training: Training;
  readonly sample: {
    readonly prompt: string;
    readonly tokens: number;
    readonly temperature: number;
    readonly topP: number;
    readonly seed: number;
  };
}

/**
 * Tuned on the novel for two cores: a small vocabulary and short windows allow many steps in the available time. All
 * families get the same settings, so that their losses are comparable.
 */
export function jobSettings(
  steps = 2200,
  families: readonly string[] = ['gpt', 'gemma', 'gemma2', 'llama'],
): JobSettings {
  return {
    families,
    vocabSize: 512,
    batch: 4,
    seq: 64,
    training: {
      steps,
      // Share of the tokens, at the end of the text, that no model is trained on.
      validation: 0.06,
      lr: 2.5e-3,
      warmup: Math.min(40, Math.floor(steps / 4)),
      minLrRatio: 0.05,
      weightDecay: 0.02,
      clip: 1,
      // Every family makes the same number of steps, and the last weights are compared.
      guard: 0,
      result: 'last',
      evalEvery: Math.max(1, Math.ceil(steps / 4)),
      saveEvery: 200,
      keep: 1,
      seed: 0,
    },
    sample: { prompt: 'The whale', tokens: 110, temperature: 0.7, topP: 0.95, seed: 7 },
  };
}
