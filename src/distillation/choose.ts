import type { Random } from '../random.ts';

/** Some entries of a distribution: ids, and probabilities that sum to 1. Unused places have probability 0. */
export interface ChosenEntries {
  readonly ids: Uint32Array;
  readonly probabilities: Float64Array;
  /** The total probability of the chosen entries in the whole distribution. */
  readonly covered: number;
}

/** The k largest entries, largest first, renormalized. Ties go to the smaller id. */
export function largest(distribution: Float32Array, k: number): ChosenEntries {
  const places = Math.min(k, distribution.length);
  // A heap with its smallest entry on top; of equal ones, the largest id counts as smallest.
  const heap = new Uint32Array(places);
  const below = (a: number, b: number) =>
    distribution[a]! < distribution[b]! || (distribution[a] === distribution[b] && a > b);
  const sink = (from: number, size: number) => {
    for (let at = from; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < size && below(heap[child]!, heap[least]!)) least = child;
      }
      if (least === at) return;
      [heap[at], heap[least]] = [heap[least]!, heap[at]!];
      at = least;
    }
  };
  for (let id = 0; id < places; id++) heap[id] = id;
  for (let at = (places >> 1) - 1; at >= 0; at--) sink(at, places);
  let least = distribution[heap[0]!]!;
  for (let id = places; id < distribution.length; id++) {
    if (distribution[id]! <= least) continue;
    heap[0] = id;
    sink(0, places);
    least = distribution[heap[0]!]!;
  }
  const order = heap.sort((a, b) => (below(a, b) ? 1 : -1));
  return renormalized(order, (id) => distribution[id]!, distribution, k);
}

/**
 * k draws from the distribution, each counting 1 / k. The expectation is the whole distribution, including the tail
 * that the k largest entries miss (Anshumann et al. 2025, arXiv:2503.16870). Entries drawn several times are merged.
 */
export function sampled(distribution: Float32Array, k: number, random: Random): ChosenEntries {
  let sum = 0;
  for (const p of distribution) sum += p;
  const draws = Float64Array.from({ length: k }, () => random.next() * sum).sort();
  const counts = new Map<number, number>();
  let upTo = 0;
  let next = 0;
  for (let id = 0; id < distribution.length && next < k; id++) {
    upTo += distribution[id]!;
    let count = 0;
    while (next < k && draws[next]! < upTo) {
      count++;
      next++;
    }
    if (count > 0) counts.set(id, count);
  }
  const order = Uint32Array.from([...counts.keys()].sort((a, b) => counts.get(b)! - counts.get(a)! || a - b));
  return renormalized(order, (id) => counts.get(id)!, distribution, k);
}

function renormalized(
  order: Uint32Array,
  share: (id: number) => number,
  distribution: Float32Array,
  k: number,
): ChosenEntries {
  const ids = new Uint32Array(k);
  const probabilities = new Float64Array(k);
  let covered = 0;
  let sum = 0;
  for (const id of order) {
    covered += distribution[id]!;
    sum += share(id);
  }
  order.forEach((id, place) => {
    ids[place] = id;
    probabilities[place] = share(id) / sum;
  });
  return { ids, probabilities, covered };
}
