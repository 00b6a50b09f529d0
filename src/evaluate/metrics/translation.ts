import { stripEnd, words } from '../python/text.ts';

/*
 * BLEU and chrF of a corpus with one reference per text, as sacrebleu 2.6 computes them by default. Each item has
 * counts, which are added up, so a bootstrap counts no text twice.
 */

const ORDER = 4;
const CHARACTERS = 6;

/** The tokens of the WMT scripts (mteval-v13a). */
function tokens(text: string): string[] {
  let line = stripEnd(text).replaceAll('<skipped>', '').replaceAll('-\n', '').replaceAll('\n', ' ');
  const entities = { '&quot;': '"', '&amp;': '&', '&lt;': '<', '&gt;': '>' };
  for (const [entity, sign] of Object.entries(entities)) line = line.replaceAll(entity, sign);
  line = ` ${line} `
    .replace(/[{-~[-` -&(-+:-@/]/gu, ' $& ')
    .replace(/([^0-9])([.,])/gu, '$1 $2 ')
    .replace(/([.,])([^0-9])/gu, ' $1 $2')
    .replace(/([0-9])(-)/gu, '$1 $2 ');
  return words(line);
}

function ngrams(items: readonly string[], order: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i + order <= items.length; i++) {
    const key = items.slice(i, i + order).join('\u0000');
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** How many elements of the first are in the second, each counted at most as often as there. */
function shared(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const [key, count] of a) sum += Math.min(count, b.get(key) ?? 0);
  return sum;
}

/** `[length, reference length, shared n-grams × 4, n-grams × 4]`. */
export function bleuCounts(text: string, reference: string): number[] {
  const [own, right] = [tokens(text), tokens(reference)];
  const orders = Array.from({ length: ORDER }, (_, i) => i + 1);
  const matches = orders.map((order) => shared(ngrams(own, order), ngrams(right, order)));
  const totals = orders.map((order) => Math.max(0, own.length - order + 1));
  return [own.length, right.length, ...matches, ...totals];
}

/** BLEU from summed counts, 0 to 100, with exponential smoothing (Papineni et al. 2002; Chen & Cherry 2014). */
export function bleu(counts: readonly number[]): number {
  const [length, reference] = counts as [number, number];
  const matches = counts.slice(2, 2 + ORDER);
  if (matches.every((count) => count === 0)) return 0;
  let sum = 0;
  let smoothing = 1;
  for (let i = 0; i < ORDER; i++) {
    const total = counts[2 + ORDER + i]!;
    if (total === 0) return 0;
    if (matches[i] === 0) smoothing *= 2;
    sum += Math.log(matches[i] === 0 ? 100 / (smoothing * total) : (100 * matches[i]!) / total);
  }
  const penalty = length < reference ? Math.exp(1 - reference / length) : 1;
  return penalty * Math.exp(sum / ORDER);
}

/** For each order `[n-grams, those of the reference, shared]`: of characters up to 6, of words up to `wordOrder`. */
export function chrfCounts(text: string, reference: string, wordOrder: number): number[] {
  const characters = (one: string) => [...words(one).join('')];
  const counts: number[] = [];
  const add = (own: readonly string[], right: readonly string[], order: number) => {
    const [a, b] = [ngrams(own, order), ngrams(right, order)];
    const total = (items: readonly string[]) => Math.max(0, items.length - order + 1);
    counts.push(b.size === 0 ? 0 : total(own), total(right), shared(a, b));
  };
  for (let order = 1; order <= CHARACTERS; order++) add(characters(text), characters(reference), order);
  for (let order = 1; order <= wordOrder; order++) add(chrfWords(text), chrfWords(reference), order);
  return counts;
}

const PUNCTUATION = new Set('!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~');

/** Words, with a punctuation mark at the end, or otherwise at the beginning, split off. */
function chrfWords(text: string): string[] {
  return words(text).flatMap((word) => {
    const signs = [...word];
    if (signs.length === 1) return [word];
    if (PUNCTUATION.has(signs.at(-1)!)) return [signs.slice(0, -1).join(''), signs.at(-1)!];
    return PUNCTUATION.has(signs[0]!) ? [signs[0]!, signs.slice(1).join('')] : [word];
  });
}

/** chrF2 or chrF2++ from summed counts, 0 to 100 (Popović 2015, 2017). */
export function chrf(counts: readonly number[]): number {
  const factor = 4;
  let [precision, recall, orders] = [0, 0, 0];
  for (let i = 0; i < counts.length; i += 3) {
    const [own, right, both] = counts.slice(i, i + 3) as [number, number, number];
    if (own === 0 || right === 0) continue;
    precision += both / own;
    recall += both / right;
    orders++;
  }
  if (orders === 0 || precision + recall === 0) return 0;
  precision /= orders;
  recall /= orders;
  return (100 * (1 + factor) * precision * recall) / (factor * precision + recall);
}
