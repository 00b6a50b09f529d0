/** What the explorer's page finds beside itself, whoever serves it. */

/** A model that the page can open: its files lie at `models/ID/NAME`. */
export interface SiteModel {
  /** Part of its address: letters, digits, `-`, `_` and `.`. */
  readonly id: string;
  /** What the reader sees. */
  readonly name: string;
  /** Names of its files, `config.json` and weights among them; or one `.gguf` file. */
  readonly files: readonly string[];
  /** Of all files. */
  readonly bytes: number;
}

/** The result of `ropewalk ablate`, which lies at `ablations/ID.json`. */
export interface SiteAblation {
  /** As a model's. */
  readonly id: string;
  readonly name: string;
}

/** `models.json`: models and ablations in the order in which the page shows them. */
export interface SiteIndex {
  readonly models: readonly SiteModel[];
  readonly ablations: readonly SiteAblation[];
}

/** Names within the site. The engine's and the text's are there in every site; models may be none. */
export const SITE_INDEX = 'models.json';
export const ENGINE_FOLDER = 'engine';
export const TEXT_FILE = 'text/moby-dick.txt';

/** Of onnxruntime-web, what the page loads: WebAssembly, and WebGPU where the browser has it. */
export const ENGINE_FILES: readonly string[] = [
  'ort.wasm.min.mjs',
  'ort-wasm-simd-threaded.mjs',
  'ort-wasm-simd-threaded.wasm',
  'ort.webgpu.min.mjs',
  'ort-wasm-simd-threaded.asyncify.mjs',
  'ort-wasm-simd-threaded.asyncify.wasm',
];
