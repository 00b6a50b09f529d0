import type { CausalLM } from '../families/family.ts';
import { constant, reshape, rotary, slice } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { AttentionSettings, SequenceContext } from '../nn/attention.ts';
import type { RotaryEmbedding } from '../nn/positions.ts';
import type { DistanceScores } from '../report/results.ts';
import type { Engine } from '../runtime/engine.ts';
import { Executable } from '../runtime/executable.ts';
import type { Weights } from './probe.ts';

/** Rows of tokens at any positions; the first layer's queries and keys are kept, rotated where the family does so. */
class RowsAtPositions implements SequenceContext {
  readonly ids: Tensor;
  readonly positionIds: Tensor;
  first: { q: Tensor; k: Tensor; settings: AttentionSettings } | undefined;

  constructor(
    ids: Int32Array,
    private readonly positions: Int32Array,
  ) {
    this.ids = constant(ids, [ids.length], 'int32');
    this.positionIds = constant(positions, [ids.length], 'int32');
  }

  attend(
    q: Tensor,
    k: Tensor,
    _v: Tensor,
    settings: AttentionSettings,
    rope: RotaryEmbedding | null,
  ): Tensor {
    const before = q;
    if (rope) {
      const { cos, sin } = rope.table(this.positions);
      const shape = [this.positions.length, rope.headDim / 2];
      q = rotary(q, constant(cos, shape), constant(sin, shape), settings.heads);
      k = rotary(k, constant(cos, shape), constant(sin, shape), settings.kvHeads);
    }
    this.first ??= { q, k, settings };
    return before;
  }
}

/**
 * The first layer's attention score between one token (the query, at position p + d) and another (the key, at position
 * p), for several p and every d up to `distances`. Only rotary positions make the curves of all p one.
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
  const ids = new Int32Array(2 * count).fill(tokens.query, 0, count).fill(tokens.key, count);
  const positions = Int32Array.from({ length: 2 * count }, (_, row) => row % count);
  const context = new RowsAtPositions(ids, positions);
  model.hiddenStates(context);
  const { q, k, settings } = context.first!;
  const { heads, kvHeads, headDim, scale } = settings;
  const outputs = new Map([
    ['q', slice(reshape(q, [2 * count, heads * headDim]), 0, 0, count)],
    ['k', slice(reshape(k, [2 * count, kvHeads * headDim]), 0, count, null)],
  ]);
  const executable = await Executable.compile(engine, outputs, { weights });
  const results = await executable.run({});
  await executable.release();
  const [queries, keys] = [results.q!.data as Float32Array, results.k!.data as Float32Array];
  const score = (head: number, query: number, key: number) => {
    const kvHead = Math.floor(head / (heads / kvHeads));
    let sum = 0;
    for (let i = 0; i < headDim; i++) {
      sum += queries[(query * heads + head) * headDim + i]! * keys[(key * kvHeads + kvHead) * headDim + i]!;
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
