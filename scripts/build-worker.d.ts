import type { Metafile } from 'esbuild';

export const SOURCES: string;
export function buildWorker(folder: string): Promise<void>;
export function buildWorkerFor(metafile: Metafile, folder: string): Promise<void>;
