import type { AblationResult } from '../../src/ablate/result.ts';
import type { Estimate, EstimateOptions } from '../../src/estimate/estimate.ts';
import type { SiteIndex } from '../../src/explore/site.ts';
import type { Failure } from './failure.ts';

/** What the page asks of the thread that runs the models. Everything here can be cloned. */
export interface ModelsApi {
  /** What the site offers. */
  listSite(): SiteIndex;
  /** An ablation of the site, by its id. */
  ablation(id: string): AblationResult;
  /** An ablation of a file that the reader gave. */
  openAblation(file: GivenFile): AblationResult;
  /** Opens a model, or finds it open. */
  open(id: string): ModelInfo;
  /** Opens a model of files that the reader gave, under an id of the page's choice. */
  openFiles(request: GivenModel): ModelInfo;
  /** Takes note of a model that was opened before the thread began anew. */
  remember(request: GivenModel): void;
  run(request: RunRequest): RunResult;
  tap(request: TapRequest): TapsFound;
  /** What tokens are called. */
  tokenTexts(request: { readonly model: string; readonly ids: readonly number[] }): readonly string[];
  estimate(request: EstimateRequest): Estimate;
}

export interface GivenFile {
  readonly name: string;
  readonly data: Blob;
}

export interface GivenModel {
  readonly id: string;
  readonly files: readonly GivenFile[];
}

/** What runs a model, and why that. */
export interface EngineChoice {
  readonly kind: 'webgpu' | 'wasm';
  readonly threads: number;
  /** `agrees`, `differs`: how WebGPU's logits compare; `none`: the browser has no WebGPU; `failed`: it does not run. */
  readonly why: 'agrees' | 'differs' | 'none' | 'failed';
  /** Of the logits, as a share of the largest. */
  readonly difference?: number;
  readonly problem?: string;
}

export interface ModelInfo {
  readonly id: string;
  readonly name: string;
  /** In the words of config.json: the page builds the same model, without weights, to describe it. */
  readonly config: Record<string, unknown>;
  readonly hasTokenizer: boolean;
  readonly warnings: readonly string[];
  readonly engine: EngineChoice;
}

export interface RunRequest {
  readonly model: string;
  readonly text: string;
  /** Which token the reader looks at; the last where it is undefined or not there. */
  readonly position?: number;
  readonly layer: number;
  readonly temperature: number;
}

export interface ShownToken {
  readonly id: number;
  readonly text: string;
}

export interface Candidate extends ShownToken {
  /** Before and after the final soft-cap; the same where the model has none. */
  readonly raw: number;
  readonly logit: number;
  /** At temperature 1 without the cap, with it, and at the reader's temperature with it. */
  readonly uncapped: number;
  readonly probability: number;
  readonly tempered: number;
}

export interface LensEntry extends ShownToken {
  readonly probability: number;
}

export interface RunResult {
  readonly tokens: readonly ShownToken[];
  /** Tokens of the text that are left out, and whether more of the text was not even read. */
  readonly omitted: number;
  readonly cut: boolean;
  readonly position: number;
  readonly candidates: readonly Candidate[];
  readonly attention: {
    readonly layer: number;
    readonly layers: number;
    readonly heads: number;
    readonly kvHeads: number;
    readonly window: number | null;
    /** For each layer how many keys a query sees; null all. */
    readonly windows: readonly (number | null)[];
    /** `[heads, tokens, tokens]` */
    readonly probabilities: Float32Array;
  };
  /** Length of the residual stream at the position: what the first layer gets, and what each layer gives. */
  readonly norms: readonly number[];
  /** For each layer and token the likeliest next token; `[layers][tokens]`. */
  readonly lens: readonly (readonly LensEntry[])[];
  readonly milliseconds: number;
}

export interface TapRequest {
  readonly model: string;
  readonly text: string;
  readonly taps: readonly string[];
}

export interface TapsFound {
  readonly tokens: readonly ShownToken[];
  readonly values: Readonly<
    Record<string, { readonly data: Float32Array; readonly shape: readonly number[] }>
  >;
}

export interface Request {
  readonly call: number;
  readonly method: keyof ModelsApi;
  readonly argument: unknown;
}

export type Reply =
  | { readonly call: number; readonly result: unknown }
  | { readonly call: number; readonly error: Failure };

/** A preset by its name, or a model by its configuration. A context and rows that are too long are cut. */
export type EstimateRequest = EstimateOptions & {
  readonly preset?: string;
  readonly config?: Record<string, unknown>;
};
