/** Why a regular expression cannot be run; used in an error message. */
export class RegexProblem extends Error {}

/**
 * A regular expression as a tree. `set` matches one character, given as an operand of a class of JavaScript's flag `v`
 * (`[…]` or `\p{…}`).
 */
export type RegexNode =
  | {
      readonly kind: 'set';
      readonly source: string;
      /** The members of the set or, if `negated`, of its complement; undefined if that is not a simple list. */
      readonly items?: readonly string[];
      readonly negated?: boolean;
      /** The character, if written as a single one. */
      readonly literal?: string;
    }
  | { readonly kind: 'assertion' | 'line break'; readonly source: string }
  | { readonly kind: 'look'; readonly opening: '?=' | '?!' | '?<=' | '?<!'; readonly body: RegexNode }
  | { readonly kind: 'group'; readonly atomic: boolean; readonly alternatives: readonly RegexNode[][] }
  | {
      readonly kind: 'repeat';
      readonly body: RegexNode;
      readonly least: number;
      readonly most: number;
      readonly mode: 'greedy' | 'lazy' | 'possessive';
    };

/** A code point inside a class or a pattern. */
export function codeSource(code: number): string {
  return `\\u{${code.toString(16)}}`;
}
