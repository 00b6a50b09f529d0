import type { CompletionEnd, CompletionPiece } from '../generation/completion/completion.ts';

/** Events of a request's choices, in the order in which they occur. */
export type ChoiceEvent =
  | { readonly index: number; readonly piece: Exclude<CompletionPiece, { type: 'accepted' }> }
  | { readonly index: number; readonly end: CompletionEnd };

/**
 * Events that wait for a client to read them. The models never wait for a slow client: new texts are joined, so that
 * memory is limited by their contents. A client that leaves more than `most` bytes unread is dropped.
 */
export class ChoiceQueue {
  readonly #events: ChoiceEvent[] = [];
  #state: 'open' | 'ended' | { readonly error: unknown } = 'open';
  #wake = () => {};
  /** The approximate number of bytes on their way to the client. */
  #held = 0;

  readonly #most: number;
  readonly #onFull: () => void;

  /** @param most bytes; @param onFull called once, when the limit is exceeded. */
  constructor(most: number, onFull: () => void) {
    this.#most = most;
    this.#onFull = onFull;
  }

  push(event: ChoiceEvent): void {
    if (typeof this.#state === 'object') return;
    const before = this.#held;
    this.#held += sizeOf(event);
    this.#add(event);
    if (before <= this.#most && this.#held > this.#most) this.#onFull();
  }

  #add(event: ChoiceEvent): void {
    const last = this.#events.at(-1);
    if (last && 'piece' in last && 'piece' in event && last.index === event.index) {
      const [before, after] = [last.piece, event.piece];
      if (before.type === 'text' && after.type === 'text') {
        const scores = [...(before.scores ?? []), ...(after.scores ?? [])];
        const piece = { ...before, text: before.text + after.text, ...(scores.length > 0 && { scores }) };
        this.#events[this.#events.length - 1] = { index: event.index, piece };
        this.#wake();
        return;
      }
    }
    this.#events.push(event);
    this.#wake();
  }

  end(): void {
    this.#state = 'ended';
    this.#wake();
  }

  fail(error: unknown): void {
    this.#state = { error };
    this.#wake();
  }

  async *read(): AsyncGenerator<ChoiceEvent, void> {
    for (;;) {
      const event = this.#events.shift();
      if (event) {
        this.#held -= sizeOf(event);
        yield event;
      } else if (this.#state === 'ended') return;
      else if (this.#state !== 'open') throw this.#state.error;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

/** The approximate size of what was generated: texts, and a hundred bytes for each log-probability. */
function sizeOf(event: ChoiceEvent): number {
  if (!('piece' in event) || event.piece.type === 'prompt') return 0;
  const { piece } = event;
  if (piece.type === 'call') return piece.arguments.length;
  const scores = piece.scores?.reduce((sum, { top }) => sum + 1 + top.length, 0) ?? 0;
  return piece.text.length + 100 * scores;
}
