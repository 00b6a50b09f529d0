/** Bytes from which models are read and to which they are written. */
export { type ByteSink, type ByteSource, memorySink, memorySource } from './source.ts';
