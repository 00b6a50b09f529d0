import type { ToyConfig } from './toy-family.ts';

/** The toy family's logits `[ids, vocabulary]`, computed by hand in float64. */
export function toyLogits(
  { width, depth, heads, epsilon, vocab_size, tie_word_embeddings }: ToyConfig,
  weights: ReadonlyMap<string, Float32Array>,
  ids: readonly number[],
): Float64Array {
  const weight = (name: string) => weights.get([...weights.keys()].find((key) => key.endsWith(name))!)!;
  const size = width / heads;
  /** `x` times the transpose of a matrix `[rows, x.length]`. */
  const product = (matrix: Float32Array, x: readonly number[]) =>
    Array.from({ length: matrix.length / x.length }, (_, row) =>
      x.reduce((sum, value, i) => sum + value * matrix[row * x.length + i]!, 0),
    );
  const norm = (name: string, x: readonly number[]) => {
    const mean = x.reduce((a, b) => a + b, 0) / width;
    const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
    const [scale, shift] = [weight(`${name}.weight`), weight(`${name}.bias`)];
    return x.map((value, i) => ((value - mean) / Math.sqrt(variance + epsilon)) * scale[i]! + shift[i]!);
  };
  const turned = (head: readonly number[], position: number) =>
    head.map((value, i) => {
      const angle = position * 10000 ** (-(2 * (i % (size / 2))) / size);
      const other = i < size / 2 ? -head[i + size / 2]! : head[i - size / 2]!;
      return value * Math.cos(angle) + other * Math.sin(angle);
    });
  const words = weight('words.weight');
  let rows = ids.map((id) => Array.from(words.subarray(id * width, (id + 1) * width)));
  for (let n = 0; n < depth; n++) {
    const at = (name: string) => `blocks.${n}.${name}`;
    const inputs = rows.map((x) => norm(at('before_look'), x));
    const keys = inputs.map((x, position) => turned(product(weight(at('look.k.weight')), x), position));
    const values = inputs.map((x) => product(weight(at('look.v.weight')), x));
    rows = rows.map((x, position) => {
      const queries = product(weight(at('look.q.weight')), inputs[position]!);
      const mixed = Array.from({ length: heads }, (_, head) => {
        const query = turned(queries.slice(head * size, (head + 1) * size), position);
        const scores = keys
          .slice(0, position + 1)
          .map((key) =>
            Math.exp(key.reduce((sum, value, i) => sum + value * query[i]!, 0) / Math.sqrt(size)),
          );
        const total = scores.reduce((a, b) => a + b, 0);
        return query.map((_, i) => scores.reduce((sum, s, j) => sum + (s / total) * values[j]![i]!, 0));
      }).flat();
      const looked = norm(at('after_look'), product(weight(at('look.o.weight')), mixed));
      const middle = x.map((value, i) => value + looked[i]!);
      const wide = product(weight(at('think.wide.weight')), norm(at('before_think'), middle));
      const active = wide.map((value) => value / (1 + Math.exp(-value)));
      const thought = norm(at('after_think'), product(weight(at('think.narrow.weight')), active));
      return middle.map((value, i) => value + thought[i]!);
    });
  }
  const head = tie_word_embeddings ? words : weight('out.weight');
  const logits = rows.flatMap((x) => product(head, norm('last', x)));
  if (logits.length !== ids.length * vocab_size) throw new Error('not as many logits as there should be');
  return Float64Array.from(logits);
}
