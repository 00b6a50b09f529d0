/**
 * Whether a regular expression from a file may be run on texts. JavaScript's engine backtracks, and some patterns make
 * it try exponentially many ways to match: `(a+)+b` on thirty letters takes minutes, and nothing can interrupt it. The
 * check is one of form, and stricter than need be: patterns of published tokenizers are far from what it refuses.
 *
 * Refused are
 * - a repetition without end (or of more than 64) of something that itself repeats without end, may be empty, or offers
 *   alternatives that can begin alike;
 * - more than three repetitions without end in a row: n of them take a time of length^n;
 * - references back to groups, and repetitions without end in a lookbehind.
 */
export function regexProblem(source: string): string | undefined {
  try {
    const parser = new Parser(source);
    check(parser.parse());
    return undefined;
  } catch (error) {
    if (error instanceof Problem) return error.message;
    throw error;
  }
}

class Problem extends Error {}

/** Most repetitions that count as few. */
const FEW = 64;
/** Most repetitions without end, one after another. */
const IN_A_ROW = 3;
/** Groups inside groups. */
const MAX_DEPTH = 50;

type Piece =
  /** One character: a literal's text, or undefined for a class. */
  | { readonly kind: 'character'; readonly literal: string | undefined }
  | { readonly kind: 'assertion' }
  | {
      readonly kind: 'group';
      readonly alternatives: readonly Piece[][];
      readonly behind: boolean;
      readonly width: boolean;
    }
  | { readonly kind: 'repeat'; readonly body: Piece; readonly least: number; readonly most: number };

/** A parser of the form of patterns: what characters a class has is of no interest. */
class Parser {
  #at = 0;
  #depth = 0;

  readonly #source: string;

  constructor(source: string) {
    this.#source = source;
  }

  parse(): Piece[][] {
    const alternatives = this.#alternatives();
    if (this.#at < this.#source.length) throw new Problem('it has an unmatched ")"');
    return alternatives;
  }

  #alternatives(): Piece[][] {
    if (++this.#depth > MAX_DEPTH) throw new Problem(`its groups are nested more than ${MAX_DEPTH} deep`);
    const all: Piece[][] = [[]];
    while (this.#at < this.#source.length && this.#source[this.#at] !== ')') {
      if (this.#source[this.#at] === '|') {
        this.#at++;
        all.push([]);
      } else if (!this.#options()) all.at(-1)!.push(this.#repeated());
    }
    this.#depth--;
    return all;
  }

  /** `(?i)`, which changes what the rest of a group matches. */
  #options(): boolean {
    const match = /^\(\?[a-z]{0,8}(?:-[a-z]{1,8})?\)/.exec(this.#source.slice(this.#at, this.#at + 24));
    this.#at += match?.[0].length ?? 0;
    return match !== null;
  }

  #repeated(): Piece {
    let piece = this.#atom();
    for (;;) {
      const range = this.#quantifier();
      if (!range) return piece;
      piece = { kind: 'repeat', body: piece, ...range };
      // Lazy or possessive: the number of ways is the same or smaller.
      if (this.#source[this.#at] === '?' || this.#source[this.#at] === '+') this.#at++;
    }
  }

  #quantifier(): { least: number; most: number } | undefined {
    const simple = { '*': [0, Infinity], '+': [1, Infinity], '?': [0, 1] }[this.#source[this.#at] ?? ''];
    if (simple) {
      this.#at++;
      return { least: simple[0]!, most: simple[1]! };
    }
    const counted = /^\{(\d*)(,?)(\d*)\}/.exec(this.#source.slice(this.#at, this.#at + 24));
    if (!counted || (counted[1] === '' && counted[3] === '')) return undefined;
    this.#at += counted[0].length;
    const least = Number(counted[1]);
    const most =
      counted[2] === '' ? least : counted[3] === '' ? Number.POSITIVE_INFINITY : Number(counted[3]);
    return { least, most };
  }

  #atom(): Piece {
    const character = this.#source[this.#at++]!;
    if (character === '(') return this.#group();
    if (character === '[') return this.#characterClass();
    if (character === '^' || character === '$') return { kind: 'assertion' };
    if (character === '.') return { kind: 'character', literal: undefined };
    if (character === '\\') return this.#escape();
    return { kind: 'character', literal: character };
  }

  #group(): Piece {
    const rest = this.#source.slice(this.#at, this.#at + 80);
    const opening = /^\?(?:<?[=!]|:|>|<[^>=!]{1,60}>|P<[^>]{1,60}>|[a-z]{0,8}(?:-[a-z]{1,8})?:)/.exec(
      rest,
    )?.[0];
    if (rest.startsWith('?') && opening === undefined) throw new Problem('it has a group of an unknown kind');
    this.#at += opening?.length ?? 0;
    const alternatives = this.#alternatives();
    if (this.#source[this.#at++] !== ')') throw new Problem('it has an unmatched "("');
    const width = !/^\?<?[=!]/.test(opening ?? '');
    return { kind: 'group', alternatives, behind: /^\?<[=!]/.test(opening ?? ''), width };
  }

  #characterClass(): Piece {
    let open = 1;
    if (this.#source[this.#at] === '^') this.#at++;
    // Classes may stand in classes.
    while (open > 0) {
      const character = this.#source[this.#at++];
      if (character === undefined) throw new Problem('it has an unmatched "["');
      if (character === '\\') this.#at++;
      else if (character === '[') open++;
      else if (character === ']') open--;
    }
    return { kind: 'character', literal: undefined };
  }

  #escape(): Piece {
    const letter = this.#source[this.#at++];
    if (letter === undefined) throw new Problem('it ends in a "\\"');
    if (/[1-9]/.test(letter) || letter === 'k') throw new Problem('it has a backreference');
    if (/[bBAzZG]/.test(letter)) return { kind: 'assertion' };
    if (/[pP]/.test(letter)) {
      const property = /^\{[^}]{1,60}\}|^[A-Z]/.exec(this.#source.slice(this.#at, this.#at + 64));
      if (!property) throw new Problem('it has a property without a name');
      this.#at += property[0].length;
      return { kind: 'character', literal: undefined };
    }
    if (/[xu]/.test(letter)) {
      const code = /^\{[0-9a-fA-F]{1,6}\}|^[0-9a-fA-F]{2,4}/.exec(this.#source.slice(this.#at, this.#at + 8));
      this.#at += code?.[0].length ?? 0;
      return { kind: 'character', literal: undefined };
    }
    // A class such as \s, a control character, or a character that stands for itself.
    const isSet = /[a-zA-Z]/.test(letter) && !/[tnrfvae]/.test(letter);
    return {
      kind: 'character',
      literal: isSet ? undefined : /[a-zA-Z]/.test(letter) ? `\\${letter}` : letter,
    };
  }
}

/** Refuses alternatives that could take exponentially long; returns whether they can repeat without end. */
function check(alternatives: readonly Piece[][], behind = false): boolean {
  let endless = false;
  for (const sequence of alternatives) {
    let inARow = 0;
    for (const piece of sequence) {
      if (repeatsWithoutEnd(piece, behind)) {
        endless = true;
        if (++inARow > IN_A_ROW)
          throw new Problem(`it has more than ${IN_A_ROW} unbounded repetitions in a row`);
      }
    }
  }
  return endless;
}

function repeatsWithoutEnd(piece: Piece, behind: boolean): boolean {
  if (piece.kind === 'group') return check(piece.alternatives, behind || piece.behind);
  if (piece.kind !== 'repeat') return false;
  const { body, most } = piece;
  const inner = repeatsWithoutEnd(body, behind);
  if (most <= 1) return inner;
  if (inner) throw new Problem('it nests unbounded repetitions');
  if (most <= FEW) return false;
  if (behind) throw new Problem('it has an unbounded lookbehind');
  if (canBeEmpty(body)) throw new Problem('it repeats something that may be empty without a bound');
  if (body.kind === 'group') checkBeginnings(body.alternatives);
  return true;
}

/** Alternatives inside a repetition must begin with characters that are known to differ. */
function checkBeginnings(alternatives: readonly Piece[][]): void {
  for (const [only] of alternatives) if (only?.kind === 'group') checkBeginnings(only.alternatives);
  if (alternatives.length < 2) return;
  const first = alternatives.map(([piece]) =>
    piece?.kind === 'character' ? piece.literal?.toLowerCase() : undefined,
  );
  if (first.includes(undefined) || new Set(first).size < first.length) {
    throw new Problem('it repeats alternatives that can start with the same character');
  }
}

function canBeEmpty(piece: Piece): boolean {
  if (piece.kind === 'character') return false;
  if (piece.kind === 'assertion') return true;
  if (piece.kind === 'repeat') return piece.least === 0 || canBeEmpty(piece.body);
  return !piece.width || piece.alternatives.some((sequence) => sequence.every(canBeEmpty));
}
