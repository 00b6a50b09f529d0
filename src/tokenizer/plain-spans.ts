import { RopewalkError } from '../errors.ts';
import type { AddedTokenJson } from './tokenizer-schema.ts';
import { escapePattern } from './word-encoder.ts';

/** A range of UTF-16 positions `[start, end)` of a text. */
export type TextSpan = readonly [start: number, end: number];

/** A part of a text: an added token where it has an id, else text for the model. */
export interface Section {
  readonly text: string;
  readonly id?: number;
}

/**
 * Splits texts at their added tokens as the library does (the longest of those that begin at one place, the white
 * space around them eaten where they ask for it), but for special tokens that reach into given spans: these are text.
 */
export class SpecialTokenGuard {
  readonly #tokens: readonly AddedTokenJson[];
  readonly #pattern: RegExp | undefined;
  readonly #special: ReadonlySet<number>;

  /** @param unknownId of the token that stands for what a tokenizer does not know: it is often special, and no mark. */
  constructor(added: readonly AddedTokenJson[], unknownId: number | undefined) {
    this.#tokens = added
      .filter(({ content }) => content !== '')
      .sort((a, b) => b.content.length - a.content.length);
    const contents = this.#tokens.map(({ content }) => escapePattern(content));
    if (contents.length > 0) this.#pattern = new RegExp(contents.join('|'), 'gu');
    this.#special = new Set(
      added.filter(({ special, id }) => special && id !== unknownId).map(({ id }) => id),
    );
  }

  /**
   * The ids of a text in which special tokens within the spans are text.
   *
   * @param spans in order and apart from each other.
   * @param whole encodes a text whose special tokens are all to be recognised.
   * @param part encodes a section without added tokens; `index` counts sections.
   */
  encode(
    text: string,
    spans: readonly TextSpan[],
    whole: (text: string) => number[],
    part: (text: string, index: number) => number[],
  ): number[] {
    const { sections, guarded } = this.#split(text, spans);
    if (!guarded) {
      const ids = whole(text);
      const count = (all: Iterable<{ id?: number }>) => {
        let special = 0;
        for (const { id } of all) if (id !== undefined && this.#special.has(id)) special++;
        return special;
      };
      // More of them: the model itself has made one from plain text.
      if (count(ids.map((id) => ({ id }))) <= count(sections)) return ids;
    }
    return sections.flatMap(({ text, id }, index) =>
      id === undefined ? this.#plain(text, index, part) : id,
    );
  }

  /** Text as tokens of which none is special: cut in halves where the vocabulary would make one. */
  #plain(text: string, index: number, part: (text: string, index: number) => number[]): number[] {
    const ids = text === '' ? [] : part(text, index);
    if (!ids.some((id) => this.#special.has(id))) return ids;
    const characters = Array.from(text);
    if (characters.length < 2) {
      throw new RopewalkError(
        `the tokenizer has no way to write ${JSON.stringify(text)} but by a special token; leave it out.`,
      );
    }
    const middle = characters.length >> 1;
    return [characters.slice(0, middle), characters.slice(middle)].flatMap((half, i) =>
      this.#plain(half.join(''), index + i, part),
    );
  }

  #split(text: string, spans: readonly TextSpan[]): { sections: Section[]; guarded: boolean } {
    const sections: Section[] = [];
    let guarded = false;
    let at = 0;
    const pattern = this.#pattern;
    if (pattern) {
      pattern.lastIndex = 0;
      for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
        const start = match.index;
        const token = this.#tokens.find(
          ({ content, special }) =>
            text.startsWith(content, start) && !(special && overlaps(spans, start, start + content.length)),
        );
        guarded ||= token?.content !== match[0];
        if (!token) {
          // A whole character on: from within a pair of surrogates the search would step back.
          pattern.lastIndex = start + (text.codePointAt(start)! > 0xffff ? 2 : 1);
          continue;
        }
        const before = text.slice(at, start);
        sections.push(
          { text: token.lstrip ? before.trimEnd() : before },
          { text: token.content, id: token.id },
        );
        at = start + token.content.length;
        if (token.rstrip) at += text.slice(at).length - text.slice(at).trimStart().length;
        pattern.lastIndex = at;
      }
    }
    sections.push({ text: text.slice(at) });
    return { sections, guarded };
  }
}

/** Whether `[start, end)` has a character in one of the spans. */
function overlaps(spans: readonly TextSpan[], start: number, end: number): boolean {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle]![1] <= start) low = middle + 1;
    else high = middle;
  }
  return low < spans.length && spans[low]![0] < end;
}
