import type { AttentionAttributes } from '../graph/operators/attention.ts';
import { linear, matmul, softcap } from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { CapEffect, CapEffects } from '../report/results.ts';
import type { Engine } from '../runtime/engine.ts';
import { nodesOf } from './graph-walk.ts';
import { HistogramBuilder } from './histogram.ts';
import { hiddenOf, look, type Subject } from './probe.ts';

/** What a model's soft-caps do to the logits that occur on real text. */
export async function capEffects(engine: Engine, subject: Subject): Promise<CapEffects> {
  const hidden = hiddenOf(subject);
  const { head } = subject.model;
  const raw = linear(hidden, head.weight.tensor, head.bias?.tensor);
  const final =
    head.softcap === null
      ? null
      : await effect(engine, subject, head.softcap, [{ raw, visible: () => true }]);
  const layers = nodesOf(hidden, 'attention').map((node) => {
    const [q, k, , mask] = node.inputs as [Tensor, Tensor, Tensor, Tensor];
    const { scale, softcap: cap } = node.attributes as AttentionAttributes;
    const keys = mask.shape[1] as number;
    const rows = mask.shape[0] as number;
    const allowed = (node.inputs[3]!.node.attributes as { data: Float32Array }).data;
    // Scores are [batch, kv, rows, keys]; the mask repeats over the first two.
    const visible = (at: number) => allowed[at % (rows * keys)] === 0;
    return { cap, raw: matmul(q, k, { transB: true, alpha: scale }), visible };
  });
  const cap = layers[0]?.cap ?? null;
  return { attention: cap === null ? null : await effect(engine, subject, cap, layers), final };
}

async function effect(
  engine: Engine,
  subject: Subject,
  cap: number,
  sources: readonly { readonly raw: Tensor; readonly visible: (at: number) => boolean }[],
): Promise<CapEffect> {
  const tensors = sources.flatMap(({ raw }) => [raw, softcap(raw, cap)]);
  const values = await look(engine, subject, tensors);
  const range = 1.2 * cap;
  const before = new HistogramBuilder(-range, range, 120);
  const after = new HistogramBuilder(-range, range, 120);
  let largestBefore = 0;
  let largestAfter = 0;
  let largestChange = 0;
  sources.forEach(({ visible }, i) => {
    const [raw, capped] = [values[2 * i]!, values[2 * i + 1]!];
    for (let at = 0; at < raw.length; at++) {
      if (!visible(at)) continue;
      const [x, y] = [raw[at]!, capped[at]!];
      before.add(x);
      after.add(y);
      largestBefore = Math.max(largestBefore, Math.abs(x));
      largestAfter = Math.max(largestAfter, Math.abs(y));
      largestChange = Math.max(largestChange, Math.abs(x - y));
    }
  });
  return { cap, before: before.result(), after: after.result(), largestBefore, largestAfter, largestChange };
}
