import { RopewalkError } from '../../errors.ts';
import type { TokenModel } from '../models/model.ts';
import type { Normalizer } from '../normalizers/normalizer.ts';
import type { AddedTokenJson } from '../tokenizer-schema.ts';
import { WORD_CLASS } from '../unicode/classes.ts';
import { skipWhiteSpace, skipWhiteSpaceBack } from '../unicode/text.ts';
import { Matcher, type PatternMatch } from './matcher.ts';

/** An added token with its id and flags. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly singleWord: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
  readonly special: boolean;
}

/** Part of a text: an added token, or text for the model, which may be empty. */
export interface Section {
  readonly text: string;
  /** Its position in the text that was split. */
  readonly start: number;
  readonly token?: AddedToken;
}

/** Whether a token may match at a place of the text. */
export type AllowsMatch = (token: AddedToken, start: number, end: number) => boolean;

const WORD_AT_END = new RegExp(`${WORD_CLASS}$`, 'v');
const WORD_AT_START = new RegExp(`^${WORD_CLASS}`, 'v');

/**
 * The field `added_tokens`: tokens that are matched in a text before the model sees it. As in the Rust library, a
 * token in the model's vocabulary has the model's id, and others are numbered from the vocabulary's size on; a file's
 * field `id` only records the result.
 */
export class AddedTokens {
  readonly #idOf = new Map<string, number>();
  readonly #byId = new Map<number, AddedToken>();
  readonly #special = new Set<string>();
  /** Spellings of normalized tokens after the normalizer. */
  readonly #normalized = new Map<number, string>();
  /** The tokens that are matched in a text as written, and in normalized texts; made when they are first needed. */
  #asWritten: Matcher | undefined;
  #asNormalized: Matcher | undefined;
  readonly areAllWritten: boolean;

  /**
   * @param modelSize the number of tokens in the model's vocabulary
   * @throws RopewalkError for tokens that normalization makes empty or equal: the Rust library then picks one
   *   arbitrarily
   */
  constructor(
    json: readonly AddedTokenJson[],
    model: TokenModel,
    modelSize: () => number,
    normalizer: Normalizer | undefined,
    source: string,
  ) {
    let next: number | undefined;
    for (const item of json) {
      if (item.content === '') continue;
      let id = this.#idOf.get(item.content) ?? model.tokenToId(item.content);
      if (id === undefined) {
        next ??= modelSize();
        id = next++;
      }
      const token = complete(item, id);
      if (token.normalized && normalizer) {
        const spelling = normalizer.normalize(token.content);
        if (spelling !== token.content) this.#normalized.set(id, spelling);
      }
      this.#idOf.set(token.content, id);
      if (token.special) this.#special.add(token.content);
      this.#byId.set(id, token);
    }
    // As written, tokens differ; normalized, they may not.
    const patterns = new Set<string>();
    let areAllWritten = true;
    for (const token of this.#byId.values()) {
      if (!token.normalized) continue;
      areAllWritten = false;
      const pattern = this.#patternOf(token);
      if (pattern === '') {
        // The library matches an empty token between any two characters, and splits the text there.
        throw new RopewalkError(
          `${source}: the added token ${JSON.stringify(token.content)} becomes empty when it is normalized; set its "normalized" to false`,
        );
      }
      if (patterns.has(pattern)) {
        throw new RopewalkError(
          `${source}: the added token ${JSON.stringify(token.content)} becomes equal to another one when it is normalized, which is ambiguous; remove one, or set "normalized" to false`,
        );
      }
      patterns.add(pattern);
    }
    this.areAllWritten = areAllWritten;
  }

  #patternOf({ id, content, normalized }: AddedToken): string {
    return normalized ? (this.#normalized.get(id) ?? content) : content;
  }

  #matcher(normalized: boolean): Matcher {
    const tokens = [...this.#byId.values()].filter((token) => token.normalized === normalized);
    return new Matcher(tokens.map((token) => [this.#patternOf(token), token.id]));
  }

  tokenToId(content: string): number | undefined {
    return this.#idOf.get(content);
  }

  get(id: number): AddedToken | undefined {
    return this.#byId.get(id);
  }

  values(): Iterable<AddedToken> {
    return this.#byId.values();
  }

  /** The spelling of a token for the decoder: the normalized one. */
  decodedSpelling(id: number): string | undefined {
    return this.#normalized.get(id) ?? this.#byId.get(id)?.content;
  }

  /** Whether a token with this spelling is left out when special tokens are skipped. */
  isSpecialSpelling(spelling: string): boolean {
    return this.#special.has(spelling);
  }

  /** Splits a text at the tokens that match it as written. */
  splitWritten(text: string, allows?: AllowsMatch): Section[] {
    this.#asWritten ??= this.#matcher(false);
    return this.#split(text, this.#asWritten, allows);
  }

  /** Splits a normalized text at the tokens that match it. */
  splitNormalized(text: string, allows?: AllowsMatch): Section[] {
    this.#asNormalized ??= this.#matcher(true);
    return this.#split(text, this.#asNormalized, allows);
  }

  #split(text: string, matcher: Matcher, allows: AllowsMatch | undefined): Section[] {
    const sections: Section[] = [];
    if (text === '') return sections;
    if (matcher.isEmpty) return [{ text, start: 0 }];
    const filter = allows && (({ id, start, end }: PatternMatch) => allows(this.#byId.get(id)!, start, end));
    let covered = 0;
    for (let match = matcher.find(text, 0, filter); match; match = matcher.find(text, match.end, filter)) {
      const token = this.#byId.get(match.id)!;
      let { start, end } = match;
      if (token.singleWord && !standsAlone(text, start, end)) continue;
      if (token.lstrip) start = Math.max(skipWhiteSpaceBack(text, start), covered);
      if (token.rstrip) end = skipWhiteSpace(text, end);
      if (covered < start) sections.push({ text: text.slice(covered, start), start: covered });
      // White space that another token has consumed cannot be matched again.
      if (start < end) sections.push({ text: token.content, start, token });
      covered = end;
    }
    if (covered !== text.length) sections.push({ text: text.slice(covered), start: covered });
    return sections;
  }
}

function complete(
  { content, single_word, lstrip, rstrip, normalized, special }: AddedTokenJson,
  id: number,
): AddedToken {
  return {
    id,
    content,
    singleWord: single_word ?? false,
    lstrip: lstrip ?? false,
    rstrip: rstrip ?? false,
    normalized: normalized ?? !special,
    special: special ?? false,
  };
}

/** Whether a part of a text has no word characters next to it. */
function standsAlone(text: string, start: number, end: number): boolean {
  return (
    !WORD_AT_END.test(text.slice(Math.max(0, start - 2), start)) &&
    !WORD_AT_START.test(text.slice(end, end + 2))
  );
}
