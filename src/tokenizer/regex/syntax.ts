/** Why a regular expression cannot be run; it becomes part of an error message. */
export class RegexProblem extends Error {}

/**
 * A regular expression as a tree. `set` matches one character, given as an operand of a class of JavaScript's flag `v`
 * (`[…]` or `\p{…}`).
 */
export type RegexNode =
  | {
      readonly kind: 'set';
      readonly source: string;
      /** What the set consists of, or, where `negated`, what it leaves out; undefined where that is not simply a list. */
      readonly items?: readonly string[];
      readonly negated?: boolean;
      /** The character, where it is written as one. */
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
