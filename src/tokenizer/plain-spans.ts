import { RopewalkError } from '../errors.ts';
import type { AddedToken, AddedTokens, Section } from './added-tokens/added-tokens.ts';
import type { Pipeline } from './pipeline.ts';

/** A range of UTF-16 positions `[start, end)` of a text. */
export type TextSpan = readonly [start: number, end: number];

/** A section of a text after added tokens are found: a token, or text with its encoder. */
interface Part {
  readonly token?: AddedToken;
  readonly text: string;
  readonly isNormalized: boolean;
  /** Whether it begins at the start of the whole text. */
  readonly isFirst: boolean;
}

/**
 * Encodes texts in which special tokens that overlap given spans are treated as text: there, the longest added token
 * that does not, if any, is used.
 */
export class SpecialTokenGuard {
  readonly #added: AddedTokens;
  readonly #pipeline: Pipeline;
  readonly #special: ReadonlySet<number>;

  /** @param unknownId id of the unknown token: it is often special, but not a marker. */
  constructor(added: AddedTokens, pipeline: Pipeline, unknownId: number | undefined) {
    this.#added = added;
    this.#pipeline = pipeline;
    this.#special = new Set(
      [...added.values()].filter(({ special, id }) => special && id !== unknownId).map(({ id }) => id),
    );
  }

  /**
   * The ids of a text in which special tokens within the spans are text.
   *
   * @param spans in order and disjoint.
   * @param whole encodes a text in which all special tokens are recognized.
   */
  encode(text: string, spans: readonly TextSpan[], whole: (text: string) => number[]): number[] {
    const { parts, guarded } = this.#split(text, spans);
    if (!guarded) {
      const ids = whole(text);
      const isMark = (id: number | undefined) => id !== undefined && this.#special.has(id);
      // If there are more, the model itself has produced one from plain text.
      const made = ids.filter(isMark).length - parts.filter(({ token }) => isMark(token?.id)).length;
      if (made <= 0) return ids;
    }
    return parts.flatMap((part) => (part.token ? part.token.id : this.#plain(part)));
  }

  /** Encodes text without special tokens: split in halves where the vocabulary would produce one. */
  #plain(part: Part): number[] {
    const ids = this.#encodePart(part);
    if (!ids.some((id) => this.#special.has(id))) return ids;
    const characters = Array.from(part.text);
    if (characters.length < 2) {
      throw new RopewalkError(
        `the tokenizer can write ${JSON.stringify(part.text)} only as a special token; remove it from the text.`,
      );
    }
    const middle = characters.length >> 1;
    return [characters.slice(0, middle), characters.slice(middle)].flatMap((half, i) =>
      this.#plain({ ...part, text: half.join(''), isFirst: part.isFirst && i === 0 }),
    );
  }

  #encodePart({ text, isNormalized, isFirst }: Part): number[] {
    const ids: number[] = [];
    const normalized = isNormalized ? text : this.#pipeline.normalize(text);
    if (normalized === '') return ids;
    const head = isNormalized ? (isFirst ? 1 : 0) : this.#pipeline.head(text, isFirst);
    this.#pipeline.encode(normalized, head, ids);
    return ids;
  }

  #split(text: string, spans: readonly TextSpan[]): { parts: Part[]; guarded: boolean } {
    let guarded = false;
    const parts: Part[] = [];
    const guard =
      (origin: (position: number) => number) => (token: AddedToken, start: number, end: number) => {
        if (!token.special || !overlaps(spans, origin(start), origin(end))) return true;
        guarded = true;
        return false;
      };
    const tokenPart = ({ token, text, start }: Section): Part => ({
      token: token!,
      text,
      isNormalized: true,
      isFirst: start === 0,
    });
    for (const section of this.#added.splitWritten(
      text,
      guard((position) => position),
    )) {
      if (section.token) {
        parts.push(tokenPart(section));
        continue;
      }
      const normalized = this.#pipeline.normalize(section.text);
      const origin = (position: number) => section.start + this.#origin(section.text, position);
      const inner = this.#added.splitNormalized(normalized, guard(origin));
      if (!inner.some(({ token }) => token)) {
        parts.push({ text: section.text, isNormalized: false, isFirst: section.start === 0 });
        continue;
      }
      for (const part of inner) {
        const isFirst = section.start === 0 && part.start === 0;
        parts.push(part.token ? tokenPart(part) : { text: part.text, isNormalized: true, isFirst });
      }
    }
    return { parts, guarded };
  }

  /** The position in a section whose normalized prefix has the length `position`. */
  #origin(section: string, position: number): number {
    if (!this.#pipeline.normalizer) return position;
    let [low, high] = [0, section.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#pipeline.normalize(section.slice(0, middle)).length < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Whether `[start, end)` overlaps one of the spans. */
function overlaps(spans: readonly TextSpan[], start: number, end: number): boolean {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle]![1] <= start) low = middle + 1;
    else high = middle;
  }
  return low < spans.length && spans[low]![0] < end;
}
