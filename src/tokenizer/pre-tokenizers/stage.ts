/**
 * Passes on a part of a text: `head` is the number of its UTF-16 units that come from the first character of the
 * whole text. Stages pass on no empty parts.
 */
type EmitPiece = (piece: string, head: number) => void;

/** A step of the pre-tokenizer, applied to every part from the step before. */
export type Stage =
  /** Splits a part, and may change it. */
  | { readonly kind: 'split'; split(text: string, head: number, emit: EmitPiece): void }
  /** Changes a non-empty part, in the same way wherever it occurs. */
  | { readonly kind: 'map'; map(text: string): string; head(text: string, head: number): number };

/** What remains of the head in the part that begins at `start`. */
export function headFrom(head: number, start: number): number {
  return head > start ? head - start : 0;
}
