import type { ActivationKind } from './mlp.ts';

/**
 * A module's description of itself. Comparisons, summaries and diagrams are made only from these, so they cannot
 * drift from the models that run.
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
      /** The factor of each branch before the residual addition. */
      readonly branchScale: number;
    }
  | {
      readonly part: 'model';
      /** The factor of the logits, before the cap. */
      readonly logitScale: number;
    };

export interface PositionPart {
  readonly part: 'position';
  readonly kind: 'sinusoidal' | 'learned' | 'rotary';
  /** Base of the angles' geometric series: 10000 in the sinusoidal and most rotary encodings. */
  readonly theta?: number;
  /** Only for local layers, if global layers have other positions. */
  readonly layers?: 'local';
  /** Named scaling of the rotary frequencies, such as llama3, for contexts longer than the original. */
  readonly scaling?: {
    readonly type: string;
    readonly factor: number;
    readonly lowFrequencyFactor?: number;
    readonly highFrequencyFactor?: number;
    readonly originalPositions?: number;
    /** The factor of cos and sin. */
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
  /** The number of keys that a query sees, including its own; null means all previous keys. */
  readonly window: number | null;
  readonly softcap: number | null;
  /** Of the query, key and value projections. */
  readonly bias: boolean;
  /** Of the output projection. */
  readonly outputBias: boolean;
  /** Whether queries and keys are normalized per head. */
  readonly headNorm: boolean;
  /** Whether queries and keys use RoPE. */
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
