import type { ModelSummary } from '../inspect/summary.ts';

/*
 * What the report is made of. Plain JSON: the main job stores it part by part and can make its report again from there.
 */

/** What a reader should know of how the models were trained. */
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

/** Counts of values in bins of equal width; what lies outside is counted apart. */
export interface Histogram {
  readonly from: number;
  readonly to: number;
  readonly counts: readonly number[];
  readonly below: number;
  readonly above: number;
  /** Values in all. */
  readonly total: number;
  readonly min: number;
  readonly max: number;
}

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
interface GradientCurves {
  readonly trained: readonly number[];
  /** The same architecture, deep, with random weights of variance 1 / width. */
  readonly deep: readonly number[];
  /**
   * The same once more with the norms inside the layers left out, in as many layers as float32 can hold: one step
   * deeper, numbers overflowed or vanished.
   */
  readonly withoutNorms: readonly number[];
}

export interface ActivationInputs {
  readonly activation: ModelSummary['activation'];
  /** What reaches the activation function, over all layers, tokens and hidden units. */
  readonly inputs: Histogram;
  /** Share of inputs below 0, where ReLU gives 0 and passes no gradient. */
  readonly negative: number;
  /** Share of inputs in [−3, 0], where GELU and SiLU bend instead of cutting. */
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
  /** Attention scores that a query may see, over all layers and heads; null where they are not capped. */
  readonly attention: CapEffect | null;
  /** Logits of the vocabulary; null where they are not capped. */
  readonly final: CapEffect | null;
}

export interface DistanceScores {
  /** First position of each curve: where the key stands. */
  readonly keyPositions: readonly number[];
  /** Score of head 0 in the first layer for key position p and distance d: `[keyPositions][distances]`. */
  readonly scores: readonly (readonly number[])[];
  /** The largest spread between the curves at one distance, over all heads. */
  readonly largestSpread: number;
  /** The largest spread between distances along one curve, over all heads: what position changes at all. */
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
  /** The two tokens whose score is followed. */
  readonly positionTokens: { readonly query: string; readonly key: string };
  readonly families: readonly FamilyMeasurements[];
}

/** What attention costs as the context grows, from a model's modules. */
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
