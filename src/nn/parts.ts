import type { ActivationKind } from './mlp.ts';

/**
 * What a module says of itself. Comparisons, summaries and diagrams are made of these and of nothing else, so they
 * cannot drift from the models that run.
 */
export type Part =
  | {
      readonly part: 'token embedding';
      readonly vocabSize: number;
      readonly width: number;
      readonly scale: number;
    }
  | PositionPart
  | NormPart
  | AttentionPart
  | MlpPart
  | {
      readonly part: 'layer';
      /** What each branch is multiplied by before it is added. */
      readonly branchScale: number;
    }
  | {
      readonly part: 'model';
      /** What logits are multiplied by, before the cap. */
      readonly logitScale: number;
    };

export interface PositionPart {
  readonly part: 'position';
  readonly kind: 'sinusoidal' | 'learned' | 'rotary';
  /** Base of the angles' geometric series: 10000 in the sinusoidal and most rotary encodings. */
  readonly theta?: number;
  /** Of local layers alone, where global layers have positions of their own. */
  readonly layers?: 'local';
  /** Named rescaling of the rotary frequencies, such as llama3, for longer contexts than the original ones. */
  readonly scaling?: {
    readonly type: string;
    readonly factor: number;
    readonly lowFrequencyFactor?: number;
    readonly highFrequencyFactor?: number;
    readonly originalPositions?: number;
    /** What cos and sin are multiplied by. */
    readonly magnitude?: number;
  };
}

export interface NormPart {
  readonly part: 'norm';
  readonly kind: 'LayerNorm' | 'RMSNorm';
  readonly width: number;
  readonly epsilon: number;
  /** The output is scaled by weight + offset: 1 in Gemma, whose weights start at 0. */
  readonly weightOffset: number;
}

export interface AttentionPart {
  readonly part: 'attention';
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly scale: number;
  /** A query sees this many keys, itself included; null sees every key before it. */
  readonly window: number | null;
  readonly softcap: number | null;
  /** Of the products that give queries, keys and values. */
  readonly bias: boolean;
  /** Of the product behind the attention. */
  readonly outputBias: boolean;
  /** Whether each head of queries and keys is normalized. */
  readonly headNorm: boolean;
  /** Whether queries and keys are rotated by their positions. */
  readonly rotary: boolean;
}

export interface MlpPart {
  readonly part: 'mlp';
  readonly activation: ActivationKind;
  readonly gated: boolean;
  readonly width: number;
  readonly hidden: number;
  readonly bias: boolean;
}
