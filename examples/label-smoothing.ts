/*
 * A loss of one's own: cross-entropy with label smoothing (Szegedy et al. 2016, arXiv:1512.00567).
 *
 *     node examples/label-smoothing.ts path/to/model chats.jsonl runs/smooth      (Node 22.18 or newer)
 *
 * A loss is a program over symbolic tensors. It is recorded once, its gradient follows, and the engine runs both.
 */
import { fileURLToPath } from 'node:url';
import { finetune, type Loss, ops } from 'ropewalk';

/** A share `epsilon` of each target's probability is spread over the whole vocabulary. */
export function labelSmoothing(epsilon: number): Loss {
  return ({ hidden, head, targets, weights, rows }) => {
    const { add, exp, linear, log, mul, reduceMax, reduceMean, reduceSum, reshape, scalar, sub, takeAlong } =
      ops;
    const plain = linear(hidden, head.weight, head.bias); // [rows, vocab]
    const logits = head.softcap === null ? plain : ops.softcap(plain, head.softcap);
    const highest = reduceMax(logits, [1]); // [rows, 1]
    const logSumExp = add(highest, log(reduceSum(exp(sub(logits, highest)), [1])));
    const chosen = takeAlong(logits, reshape(targets, [rows, 1]));
    const wanted = add(mul(chosen, scalar(1 - epsilon)), mul(reduceMean(logits, [1]), scalar(epsilon)));
    const perToken = sub(logSumExp, wanted); // [rows, 1]
    return { loss: reduceSum(mul(reshape(perToken, [rows]), weights), [0]), perToken };
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [model, data, out] = process.argv.slice(2);
  if (!model || !data || !out) throw new Error('usage: label-smoothing.ts <model> <data> <out>');
  for await (const event of finetune(model, data, { out, loss: labelSmoothing(0.1), epochs: 1 })) {
    if (event.type === 'step') console.log(`step ${event.step}: ${event.loss.toFixed(4)}`);
  }
}
