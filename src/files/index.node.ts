/** Bytes and files that models are read from and written to. */

export type { AtomicOptions } from './atomic.node.ts';
export { FileSource } from './file.node.ts';
export * from './index.ts';
export { writeNpyFile } from './npy.node.ts';
