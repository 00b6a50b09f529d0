import type { ModelSummary } from '../inspect/summary.ts';

/* The data of the report. Plain JSON: the main job stores it part by part and can rebuild its report from it. */

/** What readers should know about the training. */
interface ReportSettings {
  readonly batch: number;
  readonly seq: number;
  readonly training: {
    readonly steps: number;
    readonly lr: number;
    readonly warmup: number;
    readonly weightDecay: number;
    readonly clip: number;
    readonly seed: number;
  };
  readonly sample: {
    readonly prompt: string;
    readonly tokens: number;
    readonly temperature: number;
    readonly topP: number;
    readonly seed: number;
  };
}

/** Counts of values in bins of equal width; values outside are counted separately. */
export interface Histogram {
  readonly from: number;
  readonly to: number;
  readonly counts: readonly number[];
  readonly below: number;
  readonly above: number;
  /** Total number of values. */
  readonly total: number;
  readonly min: number;
  readonly max: number;
}

/** The text, and the losses of simple baselines on it. */
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

/** The results of one trained family. */
export interface FamilyResult {
  readonly family: string;
  readonly title: string;
  readonly parameters: number;
  readonly validationLoss: number;
  /** Median over the steps. */
  readonly trainTokensPerSecond: number;
  /** One sequence, one token after another, through the cache. */
  readonly decodeTokensPerSecond: number;
  /** Actual bytes of keys and values per token in a cache after `cacheContext` tokens. */
  readonly cacheBytesPerToken: number;
  readonly cacheContext: number;
  readonly curve: readonly LossPoint[];
  readonly evaluations: readonly LossPoint[];
  readonly sample: string;
}

/** ‖∂loss/∂x‖ before each layer and after the last. */
interface GradientCurves {
  readonly trained: readonly number[];
  /** The same architecture, deep, with random weights of variance 1 / width. */
  readonly deep: readonly number[];
  /**
   * The same with the norms inside the layers removed, in as many layers as float32 allows: one more, and values
   * overflowed or vanished.
   */
  readonly withoutNorms: readonly number[];
}

export interface ActivationInputs {
  readonly activation: ModelSummary['activation'];
  /** The inputs of the activation functions, over all layers, tokens and hidden units. */
  readonly inputs: Histogram;
  /** Share of inputs below 0, where ReLU gives 0 and passes no gradient. */
  readonly negative: number;
  /** Share of inputs in [−3, 0], where GELU and SiLU are smooth instead of cutting off. */
  readonly bent: number;
}

export interface CapEffect {
  readonly cap: number;
  readonly before: Histogram;
  readonly after: Histogram;
  /** Largest |logit|, before and after. */
  readonly largestBefore: number;
  readonly largestAfter: number;
  /** Largest |before − after|. */
  readonly largestChange: number;
}

export interface CapEffects {
  /** Attention scores that a query may see, over all layers and heads; null if they are not capped. */
  readonly attention: CapEffect | null;
  /** Logits of the vocabulary; null if they are not capped. */
  readonly final: CapEffect | null;
}

export interface DistanceScores {
  /** The key position of each curve. */
  readonly keyPositions: readonly number[];
  /** Score of head 0 in the first layer for key position p and distance d: `[keyPositions][distances]`. */
  readonly scores: readonly (readonly number[])[];
  /** The largest spread between the curves at one distance, over all heads. */
  readonly largestSpread: number;
  /** The largest spread between distances along one curve, over all heads: how much position matters at all. */
  readonly range: number;
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
  /** The two tokens whose score is shown. */
  readonly positionTokens: { readonly query: string; readonly key: string };
  readonly families: readonly FamilyMeasurements[];
}

/** The costs of attention by context length, from a model's modules. */
export interface AttentionCosts {
  readonly title: string;
  readonly points: readonly {
    readonly context: number;
    /** Keys and values that the last token reads, in bytes. */
    readonly cacheBytes: number;
    /** Operations of attention itself for the last token. */
    readonly flops: number;
  }[];
}

export interface Costs {
  /** The trained models, in float32. */
  readonly trained: readonly AttentionCosts[];
  /** The family's best-known size, in bfloat16. */
  readonly published: readonly AttentionCosts[];
}

export interface Surroundings {
  readonly date: string;
  readonly machine: string;
  readonly threads: number;
  readonly versions: Readonly<Record<string, string>>;
}

export interface JobResults {
  readonly settings: ReportSettings;
  readonly surroundings: Surroundings;
  readonly corpus: CorpusResult;
  readonly families: readonly FamilyResult[];
  readonly measurements: Measurements;
  readonly costs: Costs;
}
