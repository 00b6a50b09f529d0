import type { Merges } from './merges.ts';
import { PairTable } from './pair-table.ts';
import type { Vocabulary } from './vocabulary.ts';

/** The id of a character's own token; negative if the vocabulary has none. */
export type CharacterId = (codePoint: number) => number;

/**
 * Finds where a long piece may be cut without changing its ids: between two characters that no merge joins, derived
 * from the merges. A SentencePiece-style model treats a whole text as one piece; its words can then be cached.
 */
export class PieceCutter {
  /** Pairs of characters: the last of a merge's left token and the first of its right one. */
  readonly #joined: PairTable;
  readonly #idOf: CharacterId;
  /** Whether characters without a token become bytes that never merge. */
  readonly #inertBytes: boolean;

  /**
   * @param vocabulary no two tokens may share an id, and tokens must spell their text
   * @param byteIds the ids of the tokens of the 256 bytes, if byte fallback is on and all of them exist
   */
  constructor(
    vocabulary: Vocabulary,
    merges: Merges,
    idOf: CharacterId,
    byteIds: readonly number[] | undefined,
  ) {
    const { pairs } = merges;
    const isByte = new Set(byteIds);
    this.#idOf = idOf;
    this.#joined = new PairTable(pairs.length >> 1);
    this.#inertBytes = byteIds !== undefined;
    for (let at = 0; at < pairs.length; at += 2) {
      if (isByte.size > 0 && (isByte.has(pairs[at]!) || isByte.has(pairs[at + 1]!))) this.#inertBytes = false;
      this.#joined.set(vocabulary.lastCharacter(pairs[at]!), vocabulary.firstCharacter(pairs[at + 1]!), 1);
    }
  }

  /** The end of the part that begins at a position: the next possible cut, or the end of the piece. */
  end(piece: string, start: number): number {
    let at = start;
    let before = -1;
    let beforeKnown = false;
    while (at < piece.length) {
      const codePoint = piece.codePointAt(at)!;
      const known = this.#idOf(codePoint) >= 0;
      if (before >= 0) {
        const bothKnown = known && beforeKnown;
        if (bothKnown ? this.#joined.get(before, codePoint) < 0 : this.#inertBytes) return at;
      }
      before = codePoint;
      beforeKnown = known;
      at += codePoint > 0xffff ? 2 : 1;
    }
    return at;
  }
}
