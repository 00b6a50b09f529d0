import type { SamplingOptions } from './sampler.ts';

/** Tokens that may be drawn and their probabilities, which sum to 1. */
export interface Distribution {
  readonly ids: ArrayLike<number>;
  readonly probabilities: Float64Array;
}

interface Kept extends Distribution {
  readonly ids: Uint32Array;
}

/**
 * The tokens that may be drawn: temperature, top-k, top-p and min-p applied to logits, in this order. If any of them
 * cuts, the most likely tokens come first, ties by id; otherwise tokens are ordered by id. Only the kept tokens, or
 * slightly more, are sorted, never the whole vocabulary.
 *
 * @param logits `[vocab]`: finite or −Infinity, not all −Infinity.
 */
export function distribution(logits: Float32Array, options: SamplingOptions): Distribution {
  const { temperature = 1, topK = logits.length } = options;
  // These two values cut nothing.
  const topP = options.topP === 1 ? undefined : options.topP;
  const minP = options.minP === 0 ? undefined : options.minP;
  let ids: Uint32Array;
  let max: number;
  if (topK < logits.length) {
    ids = largestIds(logits, topK);
    max = logits[ids[0]!]!;
  } else {
    max = largest(logits);
    if (topP !== undefined) return cutByMinP(nucleus(logits, max, temperature, topP), minP);
    if (minP === undefined) ids = allIds(logits.length);
    // Slightly more than is kept, for what rounds up to the limit: the exact cut follows.
    else ids = sortedByLogit(idsFrom(logits, lower(max, -temperature * Math.log(minP))), logits);
  }
  const probabilities = powersOf(ids, logits, max, temperature);
  normalize(probabilities);
  const all = { ids, probabilities };
  return cutByMinP(topP === undefined ? all : cutByTopP(all, topP), minP);
}

/** `max` minus `depth` and a margin for rounding. */
function lower(max: number, depth: number): number {
  return max - depth - 1e-6 * (Math.abs(max) + depth);
}

/** The probability of a token. */
export function probabilityOf({ ids, probabilities }: Distribution, id: number): number {
  for (let i = 0; i < ids.length; i++) if (ids[i] === id) return probabilities[i]!;
  return 0;
}

/** The excess of p over q as a distribution: max(0, p − q), normalized. */
export function excess(p: Distribution, q: Distribution): Distribution {
  const others = new Map<number, number>();
  for (let i = 0; i < q.ids.length; i++) others.set(q.ids[i]!, q.probabilities[i]!);
  const probabilities = p.probabilities.map((value, i) => Math.max(0, value - (others.get(p.ids[i]!) ?? 0)));
  // Equal up to rounding: nothing remains, and nothing could have been rejected.
  if (sumOf(probabilities) === 0) return p;
  normalize(probabilities);
  return { ids: p.ids, probabilities };
}

function largest(logits: Float32Array): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) if (logits[i]! > max) max = logits[i]!;
  return max;
}

function allIds(count: number): Uint32Array {
  const ids = new Uint32Array(count);
  for (let id = 0; id < count; id++) ids[id] = id;
  return ids;
}

/** exp((logit − max) / temperature) for each id. */
function powersOf(ids: Uint32Array, logits: Float32Array, max: number, temperature: number): Float64Array {
  const values = new Float64Array(ids.length);
  for (let i = 0; i < ids.length; i++) values[i] = Math.exp((logits[ids[i]!]! - max) / temperature);
  return values;
}

function countFrom(logits: Float32Array, floor: number): number {
  let count = 0;
  for (let id = 0; id < logits.length; id++) if (logits[id]! >= floor) count++;
  return count;
}

/** Ids whose logits are at least `floor`, in order. */
function idsFrom(logits: Float32Array, floor: number): Uint32Array {
  const ids = new Uint32Array(countFrom(logits, floor));
  let count = 0;
  for (let id = 0; id < logits.length; id++) if (logits[id]! >= floor) ids[count++] = id;
  return ids;
}

/** Above this many, sorting native numbers pays for the copies it needs. */
const MANY = 256;

/** 2²¹: ids below it fit next to the 32 bits of a logit in the 53 bits of a number. */
const ID_RANGE = 2 ** 21;

/** The same ids, largest logit first, then smallest id. May sort in place. */
function sortedByLogit(ids: Uint32Array, logits: Float32Array): Uint32Array {
  if (ids.length < MANY || logits.length > ID_RANGE) {
    return ids.sort((a, b) => logits[b]! - logits[a]! || a - b);
  }
  // One number per id: the logit's bits, transformed to sort in descending order, then the id. Numbers sort natively.
  const bits = new Uint32Array(1);
  const float = new Float32Array(bits.buffer);
  const keys = Float64Array.from(ids, (id) => {
    float[0] = logits[id]! + 0; // turns −0 into 0
    const descending = bits[0]! >>> 31 ? bits[0]! : ~bits[0]! & 0x7fffffff;
    return descending * ID_RANGE + id;
  }).sort();
  return Uint32Array.from(keys, (key) => key % ID_RANGE);
}

/** The `count` ids with the largest logits, largest first; ties by smaller id. */
function largestIds(logits: Float32Array, count: number): Uint32Array {
  // A heap with the smallest of the largest on top; ids come in order, so that a later equal logit never replaces
  // one.
  const heap = new Uint32Array(count);
  const worse = (a: number, b: number) => logits[a]! < logits[b]! || (logits[a]! === logits[b]! && a > b);
  const sink = (id: number, from: number) => {
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= count) break;
      if (child + 1 < count && worse(heap[child + 1]!, heap[child]!)) child++;
      if (!worse(heap[child]!, id)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = id;
  };
  for (let id = 0; id < count; id++) heap[id] = id;
  for (let at = (count >> 1) - 1; at >= 0; at--) sink(heap[at]!, at);
  let floor = logits[heap[0]!]!;
  for (let id = count; id < logits.length; id++) {
    if (logits[id]! > floor) {
      sink(id, 0);
      floor = logits[heap[0]!]!;
    }
  }
  return sortedByLogit(heap, logits);
}

/**
 * Depth below the largest logit, in units of the temperature, beyond which tokens are ignored if they cannot matter.
 */
const SHALLOW = 16;

/** The most likely tokens that together reach `topP`, found without sorting the others. */
function nucleus(logits: Float32Array, max: number, temperature: number, topP: number): Kept {
  const shallow = lower(max, SHALLOW * temperature);
  if (countFrom(logits, shallow) < logits.length / 8) {
    const ids = sortedByLogit(idsFrom(logits, shallow), logits);
    const powers = powersOf(ids, logits, max, temperature);
    const known = sumOf(powers);
    // The others sum to between zero and this; mostly it makes no difference.
    const rest = (logits.length - ids.length) * Math.exp(-SHALLOW);
    const count = reaching(powers, topP * known);
    if (count === reaching(powers, topP * (known + rest))) return cutAt(ids, powers, count);
  }
  const masses = massesByDepth(logits, max, temperature);
  const total = sumOf(masses);
  for (let depth = reaching(masses, topP * total) + 1; ; depth++) {
    const floor = depth < DEPTH ? lower(max, depth * temperature) : Number.NEGATIVE_INFINITY;
    const ids = sortedByLogit(idsFrom(logits, floor), logits);
    const powers = powersOf(ids, logits, max, temperature);
    const count = reaching(powers, topP * total);
    // Rounding may require slightly more than expected.
    if (count < ids.length || depth >= DEPTH) return cutAt(ids, powers, count);
  }
}

/** How many leading values sum to `wanted`; all if they do not reach it. */
function reaching(values: Float64Array, wanted: number): number {
  let sum = 0;
  let count = 0;
  while (count < values.length && sum < wanted) sum += values[count++]!;
  return count;
}

function cutAt(ids: Uint32Array, weights: Float64Array, count: number): Kept {
  const probabilities = weights.subarray(0, count);
  normalize(probabilities);
  return { ids: ids.subarray(0, count), probabilities };
}

/** e⁻⁶⁴ and less adds nothing to 1, not even 2²¹ times. */
const DEPTH = 64;
const STEPS = 128;
let table: Float64Array | undefined;

/**
 * The sums of exp((logit − max) / temperature) by the integer part of the exponent, `[64]`. Each power is the nearest
 * table entry times a polynomial: relative error below 1e-14, in a third of Math.exp's time.
 */
function massesByDepth(logits: Float32Array, max: number, temperature: number): Float64Array {
  table ??= Float64Array.from({ length: DEPTH * STEPS + 1 }, (_, i) => Math.exp(-i / STEPS));
  const nearest = table;
  const masses = new Float64Array(DEPTH);
  const scale = STEPS / temperature;
  for (let id = 0; id < logits.length; id++) {
    const depth = (max - logits[id]!) * scale;
    if (depth < DEPTH * STEPS - 1) {
      const step = (depth + 0.5) | 0;
      const x = (step - depth) / STEPS;
      masses[step >> 7]! += nearest[step]! * (1 + x * (1 + x * (1 / 2 + x * (1 / 6 + x * (1 / 24)))));
    }
  }
  return masses;
}

function cutByTopP({ ids, probabilities }: Kept, topP: number): Kept {
  return cutAt(ids, probabilities, reaching(probabilities, topP));
}

/** @param kept most likely first if anything is cut. */
function cutByMinP(kept: Kept, minP: number | undefined): Kept {
  if (minP === undefined) return kept;
  const { ids, probabilities } = kept;
  const floor = minP * probabilities[0]!;
  let count = probabilities.length;
  while (count > 1 && probabilities[count - 1]! < floor) count--;
  return cutAt(ids, probabilities, count);
}

function normalize(values: Float64Array): void {
  const sum = sumOf(values);
  for (let i = 0; i < values.length; i++) values[i]! /= sum;
}

function sumOf(values: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum;
}
