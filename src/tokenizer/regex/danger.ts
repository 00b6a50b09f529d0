import type { RegexNode } from './syntax.ts';

/** Most repetitions that count as few. */
const FEW = 64;
/** Most repetitions without end, one after another. */
const IN_A_ROW = 3;

class Danger extends Error {}

/**
 * Why a regular expression from a file must not be run on texts; undefined where it may. JavaScript's engine backtracks,
 * and some patterns make it try exponentially many ways to match: `(a+)+b` on thirty letters takes minutes, and nothing
 * can interrupt it. The check is one of form, and stricter than need be: patterns of published tokenizers are far from
 * what it refuses:
 * - a repetition without end (or of more than 64) of something that itself repeats without end, may be empty, or offers
 *   alternatives that can begin alike;
 * - more than three repetitions without end in a row, of groups too: n of them take a time of length^n;
 * - repetitions without end in a lookbehind.
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

/** Refuses alternatives that could take exponentially long; returns the most unbounded repetitions in a row. */
function checkAlternatives(alternatives: readonly RegexNode[][], behind: boolean): number {
  const rows = alternatives.map((sequence) => {
    const row = sequence.reduce((sum, node) => sum + endlessIn(node, behind), 0);
    if (row > IN_A_ROW) throw new Danger(`it has more than ${IN_A_ROW} unbounded repetitions in a row`);
    return row;
  });
  return Math.max(0, ...rows);
}

/** How many unbounded repetitions in a row a node amounts to. */
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

/** Alternatives inside a repetition must begin with characters that are known to differ. */
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
