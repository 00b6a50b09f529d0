import type { ProvidedWeight } from './emit.ts';
import type { StoredTensor } from './proto.ts';

/**
 * Keeps weights between starts in the layout in which the engine takes them, so that later starts neither unpack nor
 * quantize anything.
 */
export interface LayoutCache {
  /**
   * The file with exactly these weights; it is written first if there is none yet.
   *
   * @returns undefined if they are not kept; whatever prevents that (a full disk, a missing permission) is no error.
   * @throws what reading the weights throws.
   */
  obtain(weights: readonly ProvidedWeight[], engine: LayoutEngine): Promise<Layout | undefined>;

  /** Whether packed forms are to be kept too, where they are not yet. */
  readonly keepsPacked: boolean;

  /**
   * For each session, the file with its weights and with the forms into which the engine packs them.
   *
   * @returns undefined unless all of them are kept.
   */
  findPacked(
    sessions: readonly (readonly ProvidedWeight[])[],
    engine: LayoutEngine,
  ): Promise<PackedLayout[] | undefined>;

  /**
   * Keeps such a file for one session.
   *
   * @param layout with these weights, for those that the engine does not write.
   * @param write lets the engine write it. Returns where the tensors are in it.
   * @returns true if it is kept; whatever prevents that is no error.
   */
  keepPacked(
    weights: readonly ProvidedWeight[],
    engine: LayoutEngine,
    write: (paths: PackedPaths) => Promise<ReadonlyMap<string, StoredTensor>>,
  ): Promise<true | undefined>;
}

/** Where the engine writes a session: its graph, which is removed again, and its weights. In the same folder. */
export interface PackedPaths {
  readonly graph: string;
  readonly weights: string;
}

/** What a cache must know of the engine that it serves. */
export interface LayoutEngine {
  /** Name and version: another engine may have another layout. */
  readonly name: string;
  /** Memory that is returned to the system as soon as it is freed; it begins at a multiple of 64. */
  allocate(bytes: number): { readonly memory: Uint8Array; free(): void };
}

/** A file of the cache. */
export interface KeptFile {
  readonly path: string;
  /** The file's descriptor, open for reading. */
  readonly file: number;
  /** Bytes of the weights, from the start of the file. */
  readonly bytes: number;
  /** The parts of the file to be checked, in order; none if this process has just written it. */
  readonly pieces: readonly LayoutPiece[];
  /** Removes a damaged file from the cache. */
  discard(): Promise<void>;
  /** Closes the descriptor; a mapping of the file remains. */
  close(): Promise<void>;
}

/** Weights in a file. */
export interface Layout extends KeptFile {
  /** Where each tensor begins, in the order of the weights and of their tensors: multiples of 64. */
  readonly offsets: readonly number[];
}

/** Weights of a session and their packed forms in a file. */
export interface PackedLayout extends KeptFile {
  /** Where each tensor is, by its name. */
  readonly places: ReadonlyMap<string, StoredTensor>;
}

/** A part of a file. */
export interface LayoutPiece {
  readonly offset: number;
  readonly bytes: number;
  /** Whether data have this part's checksum. */
  matches(data: Uint8Array): boolean;
}

/** What the engine's kernels may assume about the address of a tensor. */
export const TENSOR_ALIGNMENT = 64;

/** Bytes of a tensor's values. */
export function tensorBytes({ type, shape }: ProvidedWeight['tensors'][number]): number {
  return shape.reduce((product, size) => product * size, type === 'uint8' ? 1 : 4);
}

/** The places of tensors in a file: each begins at the next multiple of the alignment. */
export function layOut(weights: readonly ProvidedWeight[]): { offsets: number[]; bytes: number } {
  const offsets: number[] = [];
  let end = 0;
  for (const { tensors } of weights) {
    for (const tensor of tensors) {
      offsets.push(end);
      end = Math.ceil((end + tensorBytes(tensor)) / TENSOR_ALIGNMENT) * TENSOR_ALIGNMENT;
    }
  }
  return { offsets, bytes: end };
}
