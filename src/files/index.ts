/** Bytes that models are read from and written to. */
export { type ByteSink, type ByteSource, memorySink, memorySource } from './source.ts';
