import type { CausalLM } from '../../families/family.ts';
import { sizeOf } from '../../graph/dims.ts';
import type { Piece } from '../blocks/block-graph.ts';
import { vocabularyChunk } from '../blocks/block-head-chunks.ts';
import type { StageWeight } from './gathered-weights.ts';

/** Bytes of the weights of a chunk of the head: two of them, and of their gradients, are in memory. */
const CHUNK_BYTES = 16 * 2 ** 20;

/** The weights that are sharded by rows: the table of tokens, and the head. */
export function tablesOf({ head }: CausalLM, table: string): Set<string> {
  return new Set([table, head.weight.path, ...(head.bias ? [head.bias.path] : [])]);
}

/** The weights of the embedding without its table, of each layer, and of the final norm. */
export function stageWeights(pieces: readonly Piece[], table: string): StageWeight[][] {
  return pieces.map(({ parameters }) =>
    parameters.filter(({ path }) => path !== table).map(({ path, shape }) => ({ path, size: sizeOf(shape) })),
  );
}

/** Entries of a chunk of a sharded head. @param rows of this rank's step. */
export function shardedChunk(rows: number, width: number, vocabSize: number): number {
  return Math.min(vocabularyChunk(rows, vocabSize), Math.max(64, Math.floor(CHUNK_BYTES / (4 * width))));
}
