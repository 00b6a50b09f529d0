import { words } from '../python/text.ts';

/*
 * TER: insertions, deletions, substitutions and shifts of phrases that turn a text into its reference, for each word of
 * the reference (Snover et al. 2006). The search for shifts is a heuristic, so its limits and the order in which it
 * prefers shifts are part of the number: they are those of sacrebleu 2.6, which follows Tercom.
 */

const MAX_PHRASE = 10;
const MAX_DISTANCE = 50;
const MAX_SHIFTS_TRIED = 1000;
/** How far from the diagonal edits are considered, in words. */
const BEAM = 25;

/** `[edits, words of the reference]`, words in lower case. */
export function editCounts(text: string, reference: string): number[] {
  const [own, right] = [words(text.toLowerCase()), words(reference.toLowerCase())];
  return [right.length === 0 ? own.length : edits(own, right), right.length];
}

/** TER from summed counts, in percent; above 100 where there are more edits than words. */
export function editRate([edited, length]: readonly number[]): number {
  if (length! > 0) return (100 * edited!) / length!;
  return edited! > 0 ? 100 : 0;
}

/** Shifts as long as the best one saves edits, and the edits that remain. */
function edits(own: readonly string[], right: readonly string[]): number {
  let text = own;
  let shifts = 0;
  let tried = 0;
  for (;;) {
    const table = new EditTable(text, right);
    const best = bestShift(table, tried);
    tried = best.tried;
    if (tried >= MAX_SHIFTS_TRIED || best.saved <= 0) return shifts + table.distance;
    text = best.text;
    shifts++;
  }
}

interface Shift {
  /** Edits that it saves. */
  readonly saved: number;
  readonly text: readonly string[];
  /** How many shifts have been tried for this text. */
  readonly tried: number;
}

/** The shift that saves the most edits; of equal ones that of the longest phrase, then the first, then the nearest. */
function bestShift(table: EditTable, triedBefore: number): Shift {
  const { text, reference } = table;
  const { places, textErrors, referenceErrors } = table.alignment();
  const anyError = (errors: readonly boolean[], start: number, length: number) =>
    errors.slice(start, start + length).some(Boolean);
  let tried = triedBefore;
  let best: { rank: readonly number[]; text: readonly string[] } | undefined;
  for (const { from, to, length } of commonPhrases(text, reference)) {
    // Both the words that would move and those that they would meet must be wrong where they are now.
    if (!anyError(textErrors, from, length) || !anyError(referenceErrors, to, length)) continue;
    if (places[to]! >= from && places[to]! < from + length) continue;
    let previous = -1;
    for (let offset = -1; offset < length; offset++) {
      const before = to + offset;
      if (before >= reference.length) break;
      const target = before < 0 ? 0 : places[before]! + 1;
      if (target === previous) continue;
      previous = target;
      const shifted = shift(text, from, length, target);
      const saved = table.distance - new EditTable(shifted, reference, table).distance;
      const rank = [saved, length, -from, -target];
      tried++;
      if (!best || isAbove(rank, best.rank)) best = { rank, text: shifted };
    }
    if (tried >= MAX_SHIFTS_TRIED) break;
  }
  return { saved: best?.rank[0] ?? 0, text: best?.text ?? text, tried };
}

function isAbove(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((value, i) => value !== b[i]);
  return at >= 0 && a[at]! > b[at]!;
}

/** Phrases of the text that are also in the reference. */
function* commonPhrases(text: readonly string[], reference: readonly string[]) {
  for (let from = 0; from < text.length; from++) {
    const first = Math.max(0, from - MAX_DISTANCE);
    for (let to = first; to < reference.length && to <= from + MAX_DISTANCE; to++) {
      for (let length = 1; length <= MAX_PHRASE; length++) {
        const [i, j] = [from + length - 1, to + length - 1];
        if (i >= text.length || j >= reference.length || text[i] !== reference[j]) break;
        yield { from, to, length };
      }
    }
  }
}

/** Moves `length` words from `start` to before the word at `target`; inside the phrase, further by as many words. */
function shift(text: readonly string[], start: number, length: number, target: number): readonly string[] {
  const phrase = text.slice(start, start + length);
  if (target < start)
    return [...text.slice(0, target), ...phrase, ...text.slice(target, start), ...text.slice(start + length)];
  const end = target > start + length ? target : target + length;
  return [...text.slice(0, start), ...text.slice(start + length, end), ...phrase, ...text.slice(end)];
}

const KEEP = 0;
const SUBSTITUTE = 1;
const DELETE = 2;
const INSERT = 3;
const UNREACHED = 0x7fffffff;

/** Edit distances of all beginnings of a text and of a reference, within a beam around the diagonal. */
class EditTable {
  readonly #costs: Int32Array;
  readonly #operations: Uint8Array;
  readonly #width: number;

  /** @param like the table of a text of the same length: rows of a common beginning are taken from it. */
  constructor(
    readonly text: readonly string[],
    readonly reference: readonly string[],
    like?: EditTable,
  ) {
    const width = reference.length + 1;
    this.#width = width;
    this.#costs = new Int32Array((text.length + 1) * width).fill(UNREACHED);
    this.#operations = new Uint8Array((text.length + 1) * width);
    let row = 0;
    if (like) {
      while (row < text.length && text[row] === like.text[row]) row++;
      this.#costs.set(like.#costs.subarray(0, (row + 1) * width));
      this.#operations.set(like.#operations.subarray(0, (row + 1) * width));
    } else {
      for (let j = 0; j < width; j++) this.#costs[j] = j;
      this.#operations.fill(INSERT, 0, width);
    }
    const ratio = text.length > 0 ? reference.length / text.length : 1;
    const beam = BEAM < ratio / 2 ? Math.ceil(ratio / 2 + BEAM) : BEAM;
    for (row++; row <= text.length; row++) {
      const diagonal = Math.floor(row * ratio);
      const end = row === text.length ? width : Math.min(width, diagonal + beam);
      this.#fill(row, Math.max(0, diagonal - beam), end);
    }
  }

  get distance(): number {
    return this.#costs.at(-1)!;
  }

  #fill(row: number, start: number, end: number): void {
    const [costs, width] = [this.#costs, this.#width];
    for (let j = start; j < end; j++) {
      const at = row * width + j;
      let [cost, operation] = [UNREACHED, KEEP];
      // Of equal costs, the first of these operations counts.
      const consider = (other: number, extra: number, by: number) => {
        if (other !== UNREACHED && other + extra < cost) [cost, operation] = [other + extra, by];
      };
      if (j > 0) {
        const isSame = this.text[row - 1] === this.reference[j - 1];
        consider(costs[at - width - 1]!, isSame ? 0 : 1, isSame ? KEEP : SUBSTITUTE);
      }
      consider(costs[at - width]!, 1, DELETE);
      if (j > 0) consider(costs[at - 1]!, 1, INSERT);
      costs[at] = cost;
      this.#operations[at] = operation;
    }
  }

  /** Which word of the text each word of the reference stands at, or after, and which words of both are wrong. */
  alignment() {
    const operations: number[] = [];
    let [i, j] = [this.text.length, this.reference.length];
    while (i > 0 || j > 0) {
      const operation = this.#operations[i * this.#width + j]!;
      operations.push(operation);
      if (operation !== INSERT) i--;
      if (operation !== DELETE) j--;
    }
    const places: number[] = [];
    const textErrors: boolean[] = [];
    const referenceErrors: boolean[] = [];
    for (const operation of operations.reverse()) {
      if (operation !== INSERT) textErrors.push(operation !== KEEP);
      if (operation === DELETE) continue;
      places.push(textErrors.length - 1);
      referenceErrors.push(operation !== KEEP);
    }
    return { places, textErrors, referenceErrors };
  }
}
