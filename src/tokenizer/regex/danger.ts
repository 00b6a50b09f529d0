import type { RegexNode } from './syntax.ts';

/** The largest bounded repetition that counts as small. */
const FEW = 64;
/** The most consecutive unbounded repetitions. */
const IN_A_ROW = 3;

class Danger extends Error {}

/**
 * Why a regular expression from a file must not be run on texts; undefined if it may. JavaScript's engine backtracks,
 * and some patterns make it try exponentially many ways to match: `(a+)+b` on thirty letters takes minutes and cannot
 * be interrupted. The check is syntactic and stricter than necessary; patterns of published tokenizers are far from
 * what it refuses:
 * - an unbounded repetition (or one of more than 64) of something that itself repeats without bound, may be empty, or
 *   has alternatives that can begin with the same character;
 * - more than three consecutive unbounded repetitions, including groups: n of them take time length^n;
 * - unbounded repetitions in a lookbehind.
 */
export function dangerOf(alternatives: readonly RegexNode[][]): string | undefined {
  try {
    checkAlternatives(alternatives, false);
    return undefined;
  } catch (error) {
    if (error instanceof Danger) return error.message;
    throw error;
  }
}

/**
 * Refuses alternatives that could take exponential time; returns the largest number of consecutive unbounded
 * repetitions.
 */
function checkAlternatives(alternatives: readonly RegexNode[][], behind: boolean): number {
  const rows = alternatives.map((sequence) => {
    const row = sequence.reduce((sum, node) => sum + endlessIn(node, behind), 0);
    if (row > IN_A_ROW) throw new Danger(`it has more than ${IN_A_ROW} unbounded repetitions in a row`);
    return row;
  });
  return Math.max(0, ...rows);
}

/** The number of consecutive unbounded repetitions that a node amounts to. */
function endlessIn(node: RegexNode, behind: boolean): number {
  if (node.kind === 'group') return checkAlternatives(node.alternatives, behind);
  if (node.kind === 'look') return endlessIn(node.body, behind || node.opening.startsWith('?<'));
  if (node.kind !== 'repeat') return 0;
  const { body, most } = node;
  const inner = endlessIn(body, behind);
  if (most <= 1) return inner;
  if (inner > 0) throw new Danger('it nests unbounded repetitions');
  if (most <= FEW) return 0;
  if (behind) throw new Danger('it has an unbounded lookbehind');
  if (canBeEmpty(body)) throw new Danger('it repeats something that may be empty without a bound');
  if (body.kind === 'group') checkBeginnings(body.alternatives);
  return 1;
}

/** Alternatives inside a repetition must begin with provably different characters. */
function checkBeginnings(alternatives: readonly RegexNode[][]): void {
  for (const [only] of alternatives) if (only?.kind === 'group') checkBeginnings(only.alternatives);
  if (alternatives.length < 2) return;
  const first = alternatives.map(([node]) =>
    node?.kind === 'set' ? node.literal?.toLowerCase() : undefined,
  );
  if (first.includes(undefined) || new Set(first).size < first.length) {
    throw new Danger('it repeats alternatives that can start with the same character');
  }
}

function canBeEmpty(node: RegexNode): boolean {
  switch (node.kind) {
    case 'set':
    case 'line break':
      return false;
    case 'assertion':
    case 'look':
      return true;
    case 'repeat':
      return node.least === 0 || canBeEmpty(node.body);
    case 'group':
      return node.alternatives.some((sequence) => sequence.every(canBeEmpty));
  }
}
