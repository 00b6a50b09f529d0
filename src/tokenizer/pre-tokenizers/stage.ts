/**
 * Takes a part of a text on: `head` tells how many of its UTF-16 units stem from the first character of the whole text.
 * Stages hand on no empty parts.
 */
type EmitPiece = (piece: string, head: number) => void;

/** A step of the pre-tokenizer, applied to every part that the step before it leaves. */
export type Stage =
  /** Splits a part, and may change it. */
  | { readonly kind: 'split'; split(text: string, head: number, emit: EmitPiece): void }
  /** Changes a part that is not empty, in the same way wherever it stands. */
  | { readonly kind: 'map'; map(text: string): string; head(text: string, head: number): number };

/** What is left of the head in the part of a text that begins at `start`. */
export function headFrom(head: number, start: number): number {
  return head > start ? head - start : 0;
}
