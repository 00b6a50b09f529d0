import type { Failure } from './failure.ts';

/** Between the page and the thread that trains. Everything here can be cloned. */

/** Steps where the reader does not say otherwise: within them every family falls below a bigram of the built-in text. */
export const USUAL_STEPS = 1200;

export interface TrainSettings {
  /** Presets such as `llama/tiny` or `llama/tiny+norm=LayerNorm`: one, or two that learn side by side. */
  readonly models: readonly string[];
  /** Undefined for the built-in one. */
  readonly text?: string;
  readonly steps: number;
}

export type TrainRequest =
  | { readonly type: 'start'; readonly settings: TrainSettings }
  | { readonly type: 'pause' | 'go' }
  | { readonly type: 'save'; readonly model: number };

export type TrainPhase = 'tokenizer' | 'encoding' | 'compiling' | 'training' | 'paused' | 'done';

export interface SavedFile {
  readonly name: string;
  readonly data: Uint8Array<ArrayBuffer>;
}

export type TrainMessage =
  | { readonly type: 'phase'; readonly phase: TrainPhase }
  | { readonly type: 'corpus'; readonly tokens: number; readonly vocabSize: number; readonly bigram: number }
  | {
      readonly type: 'losses';
      readonly model: number;
      /** The step of the last of the losses. */
      readonly step: number;
      readonly losses: readonly number[];
      readonly tokensPerSecond: number;
    }
  | { readonly type: 'evaluation'; readonly model: number; readonly step: number; readonly loss: number }
  | { readonly type: 'sample'; readonly model: number; readonly step: number; readonly text: string }
  | { readonly type: 'saved'; readonly model: number; readonly files: readonly SavedFile[] }
  | ({ readonly type: 'failed' } & Failure);
