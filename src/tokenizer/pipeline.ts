import type { TokenModel } from './models/model.ts';
import type { Normalizer } from './normalizers/normalizer.ts';
import type { Stage } from './pre-tokenizers/stage.ts';

/** Enough for the frequent words of any corpus; when full, the table is cleared. */
const MAX_PIECES = 200_000;
const MAX_PIECE_LENGTH = 64;

/**
 * Text without added tokens to ids: normalizer, pre-tokenizer, model. A piece has the same ids wherever it occurs,
 * and texts repeat their words, so the ids of pieces are cached, keyed by the text before the final map-only steps.
 */
export class Pipeline {
  readonly #normalizer: Normalizer | undefined;
  /** The steps up to the last one that splits, and those after it. */
  readonly #splits: readonly Stage[];
  readonly #maps: readonly (Stage & { kind: 'map' })[];
  readonly #model: TokenModel;
  readonly #pieces = new Map<string, readonly number[]>();
  /** A stack of emitters, so that splitting does not allocate closures for every text. */
  readonly #emitters: ((piece: string, head: number) => void)[];
  #ids: number[] = [];
  /** Takes pieces in place of the model, while a text is only split. */
  #taker: ((piece: string) => void) | undefined;

  constructor(normalizer: Normalizer | undefined, stages: readonly Stage[], model: TokenModel) {
    this.#normalizer = normalizer;
    const last = stages.findLastIndex(({ kind }) => kind === 'split');
    this.#splits = stages.slice(0, last + 1);
    this.#maps = stages.slice(last + 1).filter((stage) => stage.kind === 'map');
    this.#model = model;
    this.#emitters = [(piece) => this.#encodePiece(piece)];
    for (const stage of [...this.#splits].reverse()) {
      const emit = this.#emitters[0]!;
      this.#emitters.unshift(
        stage.kind === 'split'
          ? (text, head) => stage.split(text, head, emit)
          : (text, head) => emit(stage.map(text), head === 0 ? 0 : stage.head(text, head)),
      );
    }
  }

  get normalizer(): Normalizer | undefined {
    return this.#normalizer;
  }

  normalize(text: string): string {
    return this.#normalizer ? this.#normalizer.normalize(text) : text;
  }

  /** How much of a normalized section comes from the first character of the text; 0 in later sections. */
  head(section: string, isFirst: boolean): number {
    if (!isFirst || section === '') return 0;
    const head = section.codePointAt(0)! > 0xffff ? 2 : 1;
    return this.#normalizer ? this.#normalizer.head(section, head) : head;
  }

  /** Appends the ids of a normalized, non-empty text. */
  encode(normalized: string, head: number, ids: number[]): void {
    this.#ids = ids;
    this.#emitters[0]!(normalized, head);
  }

  /** Calls `found` with each piece of a normalized text, spelled as the model reads it. */
  split(normalized: string, head: number, found: (piece: string) => void): void {
    this.#taker = found;
    try {
      this.#emitters[0]!(normalized, head);
    } finally {
      this.#taker = undefined;
    }
  }

  /** The ids of a piece that is spelled as the model reads it. */
  pieceIds(piece: string): number[] {
    const ids: number[] = [];
    this.#model.encode(piece, ids);
    return ids;
  }

  #encodePiece(piece: string): void {
    if (this.#taker) {
      this.#taker(this.#spelled(piece));
      return;
    }
    const known = this.#pieces.get(piece);
    if (known !== undefined) {
      for (let i = 0; i < known.length; i++) this.#ids.push(known[i]!);
      return;
    }
    const start = this.#ids.length;
    this.#model.encode(this.#spelled(piece), this.#ids);
    if (piece.length > MAX_PIECE_LENGTH) return;
    if (this.#pieces.size >= MAX_PIECES) this.#pieces.clear();
    this.#pieces.set(piece, this.#ids.slice(start));
  }

  #spelled(piece: string): string {
    let spelled = piece;
    for (const { map } of this.#maps) spelled = map(spelled);
    return spelled;
  }
}
