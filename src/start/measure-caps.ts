import { TapRunner, type TapValue } from '../generation/taps/taps.ts';
import { partsOf } from '../inspect/model-parts.ts';
import type { CapEffect, CapEffects } from '../report/results.ts';
import type { Engine } from '../runtime/engine.ts';
import { HistogramBuilder } from './histogram.ts';
import type { Subject } from './subject.ts';

/** The effect of a model's soft-caps on the logits of real text. */
export async function capEffects(engine: Engine, subject: Subject): Promise<CapEffects> {
  const { model, weights, ids, batch } = subject;
  const { attentions } = partsOf(model);
  const cap = attentions[0]?.softcap ?? null;
  const finalCap = model.head.softcap;
  if (cap === null && finalCap === null) return { attention: null, final: null };
  const names = attentions.map(
    (_, layer) => [`layers.${layer}.attention.scores`, `layers.${layer}.attention.capped_scores`] as const,
  );
  const runner = new TapRunner(engine, model, weights);
  const taps = [...(cap === null ? [] : names.flat()), 'logits_before_cap', 'logits'];
  const { values } = await runner.run(ids, { taps, batch });
  await runner.release();
  const layers = names.map(([before, after], layer) => ({
    before: values[before],
    after: values[after],
    window: attentions[layer]!.window,
  }));
  return {
    attention: cap === null ? null : effect(cap, layers, seen),
    final:
      finalCap === null
        ? null
        : effect(
            finalCap,
            [{ before: values.logits_before_cap, after: values.logits, window: null }],
            () => true,
          ),
  };
}

interface Capped {
  readonly before: TapValue | undefined;
  readonly after: TapValue | undefined;
  readonly window: number | null;
}

/** Whether a query sees a key, by the index of their score in `[batch, heads, time, time]`. */
function seen(at: number, { before, window }: Capped): boolean {
  const time = before!.shape[3]!;
  const key = at % time;
  const query = Math.floor(at / time) % time;
  return key <= query && (window === null || key > query - window);
}

function effect(
  cap: number,
  sources: readonly Capped[],
  counts: (at: number, source: Capped) => boolean,
): CapEffect {
  const range = 1.2 * cap;
  const before = new HistogramBuilder(-range, range, 120);
  const after = new HistogramBuilder(-range, range, 120);
  let largestBefore = 0;
  let largestAfter = 0;
  let largestChange = 0;
  for (const source of sources) {
    const raw = source.before!.data;
    const capped = source.after!.data;
    for (let at = 0; at < raw.length; at++) {
      if (!counts(at, source)) continue;
      const [x, y] = [raw[at]!, capped[at]!];
      before.add(x);
      after.add(y);
      largestBefore = Math.max(largestBefore, Math.abs(x));
      largestAfter = Math.max(largestAfter, Math.abs(y));
      largestChange = Math.max(largestChange, Math.abs(x - y));
    }
  }
  return { cap, before: before.result(), after: after.result(), largestBefore, largestAfter, largestChange };
}
