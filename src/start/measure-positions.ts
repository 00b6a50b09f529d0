import type { CausalLM } from '../families/family.ts';
import { TapRunner } from '../generation/taps/taps.ts';
import { partsOf } from '../inspect/model-parts.ts';
import type { DistanceScores } from '../report/results.ts';
import type { Engine } from '../runtime/engine.ts';
import type { Weights } from './subject.ts';

/**
 * The first layer's attention score between one token (the query, at position p + d) and another (the key, at position
 * p), for several p and every d up to `distances`. Only with rotary positions do the curves of all p coincide.
 */
export async function distanceScores(
  engine: Engine,
  model: CausalLM,
  weights: Weights,
  tokens: { readonly query: number; readonly key: number },
  keyPositions: readonly number[],
  distances: number,
): Promise<DistanceScores> {
  const count = Math.max(...keyPositions) + distances;
  const runner = new TapRunner(engine, model, weights);
  // [1, heads, count, head_dim] of the same token at every position.
  const rowsOf = async (name: string, token: number) => {
    const tap = `layers.0.attention.${name}`;
    const { values } = await runner.run(new Int32Array(count).fill(token), { taps: [tap] });
    return values[tap]!.data;
  };
  const queries = await rowsOf('queries', tokens.query);
  const keys = await rowsOf('keys', tokens.key);
  await runner.release();
  const { heads, kvHeads, headDim, scale } = partsOf(model).attentions[0]!;
  const score = (head: number, query: number, key: number) => {
    const kvHead = Math.floor(head / (heads / kvHeads));
    let sum = 0;
    for (let i = 0; i < headDim; i++) {
      sum += queries[(head * count + query) * headDim + i]! * keys[(kvHead * count + key) * headDim + i]!;
    }
    return scale * sum;
  };
  let largestSpread = 0;
  let range = 0;
  let scores: number[][] = [];
  for (let head = heads - 1; head >= 0; head--) {
    scores = keyPositions.map((p) => Array.from({ length: distances }, (_, d) => score(head, p + d, p)));
    for (let d = 0; d < distances; d++) {
      const column = scores.map((curve) => curve[d]!);
      largestSpread = Math.max(largestSpread, Math.max(...column) - Math.min(...column));
    }
    for (const curve of scores) range = Math.max(range, Math.max(...curve) - Math.min(...curve));
  }
  return { keyPositions, scores, largestSpread, range };
}
