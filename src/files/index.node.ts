/** Bytes and files from which models are read and to which they are written. */
export type { AtomicOptions } from './atomic.node.ts';
export { FileSource } from './file.node.ts';
export * from './index.ts';
export { writeNpyFile } from './npy.node.ts';
