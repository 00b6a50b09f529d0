/** The interface between the explorer's page and any server of the site. */

/** A model that the page can open: its files are at `models/ID/NAME`. */
export interface SiteModel {
  /** Part of its address: letters, digits, `-`, `_` and `.`. */
  readonly id: string;
  /** Shown to the reader. */
  readonly name: string;
  /** Names of its files, including `config.json` and weights; or one `.gguf` file. */
  readonly files: readonly string[];
  /** The total of all files. */
  readonly bytes: number;
}

/** The result of `ropewalk ablate`, at `ablations/ID.json`. */
export interface SiteAblation {
  /** Like a model's. */
  readonly id: string;
  readonly name: string;
}

/** `models.json`: models and ablations in display order. */
export interface SiteIndex {
  readonly models: readonly SiteModel[];
  readonly ablations: readonly SiteAblation[];
}

/** Names within the site. Every site has the engine and the text; models may be missing. */
export const SITE_INDEX = 'models.json';
export const ENGINE_FOLDER = 'engine';
export const TEXT_FILE = 'text/moby-dick.txt';

/** The files of onnxruntime-web that the page loads: WebAssembly, and WebGPU if the browser has it. */
export const ENGINE_FILES: readonly string[] = [
  'ort.wasm.min.mjs',
  'ort-wasm-simd-threaded.mjs',
  'ort-wasm-simd-threaded.wasm',
  'ort.webgpu.min.mjs',
  'ort-wasm-simd-threaded.asyncify.mjs',
  'ort-wasm-simd-threaded.asyncify.wasm',
];
