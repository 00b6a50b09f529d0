import type { ActivationInputs } from './measure-activations.ts';
import type { CapEffects } from './measure-caps.ts';
import type { DistanceScores } from './measure-positions.ts';
import type { JobSettings } from './settings.ts';

/** The text and what simple statistics of it reach. */
export interface CorpusResult {
  readonly title: string;
  readonly characters: number;
  readonly vocabSize: number;
  /** SHA-256 of the token ids. */
  readonly identity: string;
  readonly tokens: number;
  readonly trainingTokens: number;
  readonly validationTokens: number;
  /** Mean negative log-likelihood on the held-out tokens, in nats. */
  readonly unigramLoss: number;
  readonly bigramLoss: number;
}

export interface LossPoint {
  readonly step: number;
  readonly loss: number;
}

/** What one trained family reached. */
export interface FamilyResult {
  readonly family: string;
  readonly title: string;
  readonly parameters: number;
  readonly validationLoss: number;
  /** Median over the steps. */
  readonly trainTokensPerSecond: number;
  /** One sequence, one token after another, through the cache. */
  readonly decodeTokensPerSecond: number;
  /** Bytes of keys and values that a cache really holds after `cacheContext` tokens, for each of them. */
  readonly cacheBytesPerToken: number;
  readonly cacheContext: number;
  readonly curve: readonly LossPoint[];
  readonly evaluations: readonly LossPoint[];
  readonly sample: string;
}

/** ‖∂loss/∂x‖ before each layer and after the last. */
export interface GradientCurves {
  readonly trained: readonly number[];
  /** The same architecture, deep, as training would start it: with its norms, and with them left out. */
  readonly deep: readonly number[];
  readonly deepWithoutNorms: readonly number[];
}

export interface FamilyMeasurements {
  readonly family: string;
  readonly gradients: GradientCurves;
  readonly activation: ActivationInputs;
  readonly caps: CapEffects;
  readonly positions: DistanceScores;
}

export interface Measurements {
  readonly deepLayers: number;
  /** The two tokens whose score is followed. */
  readonly positionTokens: { readonly query: string; readonly key: string };
  readonly families: readonly FamilyMeasurements[];
}

export interface Surroundings {
  readonly date: string;
  readonly machine: string;
  readonly threads: number;
  readonly versions: Readonly<Record<string, string>>;
}

export interface JobResults {
  readonly settings: JobSettings;
  readonly surroundings: Surroundings;
  readonly corpus: CorpusResult;
  readonly families: readonly FamilyResult[];
  readonly measurements: Measurements;
}
