/*
 * WebAssembly's objects as the package's declarations name them. Whoever uses these declarations may compile without the
 * types of a browser, where TypeScript has WebAssembly's.
 */

/** A WebAssembly.Module. */
export type WasmModule = object;

/** A WebAssembly.Memory. */
export interface WasmMemory {
  readonly buffer: ArrayBufferLike;
}
