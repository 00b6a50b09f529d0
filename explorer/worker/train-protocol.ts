import type { Failure } from './failure.ts';

/** Between the page and the thread that trains. Everything here can be cloned. */

/** Steps where the reader does not say otherwise: within them every family falls below a bigram of the built-in text. */
export const USUAL_STEPS = 1200;

/** Where the reader wants to train; `auto`: on a graphics card through WebGPU, where that works. */
export const TRAIN_DEVICES = ['auto', 'webgpu', 'wasm'] as const;
export type WantedDevice = (typeof TRAIN_DEVICES)[number];

/** What a run trains on. */
export interface TrainDevice {
  readonly kind: 'webgpu' | 'wasm';
  readonly threads: number;
  /**
   * `agrees`, `differs`: how WebGPU's loss and gradients compare; `chosen`: by the reader; `none`: the browser has no adapter;
   * `software`: it has one that is none of a graphics card; `kernel`, `memory`, `lost`, `failed`: what WebGPU ended with.
   */
  readonly why:
    | 'agrees'
    | 'differs'
    | 'chosen'
    | 'none'
    | 'software'
    | 'kernel'
    | 'memory'
    | 'lost'
    | 'failed';
  /** Of the loss and of the gradient norm, the larger one, as a share of them. */
  readonly difference?: number;
  readonly problem?: string;
  /** The step that it goes on from, where WebGPU ended during the run. */
  readonly since?: number;
}

export interface TrainSettings {
  /** Presets such as `llama/tiny` or `llama/tiny+norm=LayerNorm`: one, or two that learn side by side. */
  readonly models: readonly string[];
  /** Undefined for the built-in one. */
  readonly text?: string;
  readonly steps: number;
  readonly device: WantedDevice;
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
  | { readonly type: 'device'; readonly device: TrainDevice }
  /** The model goes on from this step: what came after it is lost. */
  | { readonly type: 'rewind'; readonly model: number; readonly step: number }
  | { readonly type: 'evaluation'; readonly model: number; readonly step: number; readonly loss: number }
  | { readonly type: 'sample'; readonly model: number; readonly step: number; readonly text: string }
  | { readonly type: 'saved'; readonly model: number; readonly files: readonly SavedFile[] }
  | ({ readonly type: 'failed' } & Failure);
