/*
 * A custom loss: cross-entropy with label smoothing (Szegedy et al. 2016, arXiv:1512.00567).
 *
 *     node examples/label-smoothing.ts path/to/model chats.jsonl runs/smooth      (Node 22.18 or newer)
 *
 * A loss is a program over symbolic tensors. It is recorded once, its gradient is derived, and the engine runs both.
 */
import { fileURLToPath } from 'node:url';
import { finetune, graph, training } from 'ropewalk';

/**
 * A share `epsilon` of each target's probability is spread over the whole vocabulary: (1 − ε) · (lse − z_target) + ε ·
 * (lse − mean z), which is cross-entropy plus ε · (z_target − mean z). The library computes the first part, which
 * handles large logits; the second is computed here.
 */
export function labelSmoothing(epsilon: number): training.Loss {
  return (inputs) => {
    const { hidden, head, targets, weights, rows } = inputs;
    const { add, linear, mul, reduceMean, reduceSum, reshape, scalar, softcap, sub, takeAlong } = graph.ops;
    const { loss, perToken } = training.crossEntropy(inputs);
    const plain = linear(hidden, head.weight, head.bias); // [rows, vocab]
    const logits = head.softcap === null ? plain : softcap(plain, head.softcap);
    const excess = sub(takeAlong(logits, reshape(targets, [rows, 1])), reduceMean(logits, [1])); // [rows, 1]
    const extra = mul(excess, scalar(epsilon));
    const weighted = reduceSum(mul(reshape(extra, [rows]), weights), [0]);
    return { loss: add(loss, reshape(weighted, [])), perToken: add(perToken, extra) };
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [model, data, out] = process.argv.slice(2);
  if (!model || !data || !out) throw new Error('usage: label-smoothing.ts <model> <data> <out>');
  for await (const event of finetune(model, data, { out, loss: labelSmoothing(0.1), epochs: 1 })) {
    if (event.type === 'step') console.log(`step ${event.step}: ${event.loss.toFixed(4)}`);
  }
}
