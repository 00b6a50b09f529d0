import type { CompletionEnd, CompletionPiece } from './completion.ts';

/**
 * Pieces that wait for their reader. The model does not wait for a slow one: new text is joined into one piece, so
 * that memory is limited by the length of the text.
 */
export class Inbox {
  readonly #pieces: CompletionPiece[] = [];
  #end: CompletionEnd | undefined;
  #failure: { readonly error: unknown } | undefined;
  #wake = () => {};

  push(piece: CompletionPiece): void {
    const last = this.#pieces.at(-1);
    if (piece.type === 'text' && last?.type === 'text') {
      const scores = [...(last.scores ?? []), ...(piece.scores ?? [])];
      const text = last.text + piece.text;
      this.#pieces[this.#pieces.length - 1] = { type: 'text', text, ...(scores.length > 0 && { scores }) };
    } else this.#pieces.push(piece);
    this.#wake();
  }

  end(end: CompletionEnd): void {
    this.#end = end;
    this.#wake();
  }

  fail(error: unknown): void {
    this.#failure = { error };
    this.#wake();
  }

  async *read(): AsyncGenerator<CompletionPiece, CompletionEnd> {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece) yield piece;
      else if (this.#failure) throw this.#failure.error;
      else if (this.#end) return this.#end;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
