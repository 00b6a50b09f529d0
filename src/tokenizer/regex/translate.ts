import { type RegexNode, RegexProblem } from './syntax.ts';

/**
 * Translates a parsed regular expression of the Rust library (Oniguruma with Ruby's syntax) to one of JavaScript with
 * the flag `v` and the same matches.
 *
 * @throws RegexProblem naming what has no exact counterpart
 */
export function translateRegex(parsed: readonly RegexNode[][]): RegExp {
  const body = new Translator().alternatives(parsed, [], true);
  try {
    return new RegExp(body, 'gv');
  } catch (error) {
    throw new RegexProblem(error instanceof Error ? error.message : String(error));
  }
}

class Translator {
  #atomic = 0;

  /**
   * @param after what follows, if that is known to be everything that can still be matched
   * @param isTail whether the end of the sequence is the end of the whole expression
   */
  alternatives(
    all: readonly RegexNode[][],
    after: readonly RegexNode[],
    isTail: boolean,
    behind = false,
  ): string {
    return all
      .map((sequence) =>
        sequence
          .map((node, index) => this.#node(node, [...sequence.slice(index + 1), ...after], isTail, behind))
          .join(''),
      )
      .join('|');
  }

  #node(node: RegexNode, after: readonly RegexNode[], isTail: boolean, behind: boolean): string {
    switch (node.kind) {
      case 'set':
      case 'assertion':
      case 'line break':
        return node.source;
      case 'look': {
        const looksBehind = node.opening.startsWith('?<');
        return `(${node.opening}${this.#node(node.body, [], false, behind || looksBehind)})`;
      }
      case 'group': {
        if (node.atomic) return this.#once(this.alternatives(node.alternatives, [], false, behind), behind);
        return `(?:${this.alternatives(node.alternatives, after, isTail, behind)})`;
      }
      case 'repeat':
        return this.#repeat(node, after, isTail, behind);
    }
  }

  #repeat(
    node: RegexNode & { kind: 'repeat' },
    after: readonly RegexNode[],
    isTail: boolean,
    behind: boolean,
  ): string {
    const { body, least, most, mode } = node;
    const inner = this.#node(body, [], false, behind);
    const source = `${body.kind === 'set' || inner.startsWith('(?:') ? inner : `(?:${inner})`}${quantifier(least, most)}`;
    if (mode === 'lazy') return `${source}?`;
    if (mode === 'greedy' || givesNothingBack(body, after, isTail)) return source;
    return this.#once(source, behind);
  }

  /** A lookahead does not backtrack into its match; the match is then consumed by a backreference. */
  #once(source: string, behind: boolean): string {
    if (behind) throw new RegexProblem('it has an atomic group in a lookbehind');
    const name = `once${this.#atomic++}`;
    return `(?:(?=(?<${name}>${source}))\\k<${name}>)`;
  }
}

function quantifier(least: number, most: number): string {
  if (most === Infinity) return least === 0 ? '*' : least === 1 ? '+' : `{${least},}`;
  if (least === 0 && most === 1) return '?';
  return least === most ? `{${least}}` : `{${least},${most}}`;
}

/**
 * Whether a greedy repetition of a set would never have to give characters back, so that a possessive one is
 * equivalent: what follows always matches, or begins with a character outside the set.
 */
function givesNothingBack(body: RegexNode, after: readonly RegexNode[], isTail: boolean): boolean {
  if (body.kind !== 'set') return false;
  for (const node of after) {
    const canBeEmpty = node.kind === 'repeat' && node.least === 0 && node.body.kind === 'set';
    if (canBeEmpty) continue;
    // The first thing that must match, provided that nothing optional precedes it.
    if (node !== after[0]) return false;
    const first = node.kind === 'repeat' && node.least > 0 ? node.body : node;
    if (first.kind !== 'set' || !first.items || first.negated || !body.items || !body.negated) return false;
    return first.items.every((item) => body.items!.includes(item));
  }
  return isTail;
}
