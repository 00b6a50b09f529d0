import { TapRunner } from '../generation/taps/taps.ts';
import { partsOf } from '../inspect/model-parts.ts';
import type { ActivationInputs } from '../report/results.ts';
import type { Engine } from '../runtime/engine.ts';
import { HistogramBuilder } from './histogram.ts';
import type { Subject } from './subject.ts';

/** The observed inputs of a model's activation functions on real text. */
export async function activationInputs(engine: Engine, subject: Subject): Promise<ActivationInputs> {
  const { activation } = partsOf(subject.model).mlps[0]!;
  const runner = new TapRunner(engine, subject.model, subject.weights);
  const { values } = await runner.run(subject.ids, { taps: ['layers.*.mlp.hidden'], batch: subject.batch });
  await runner.release();
  const histogram = new HistogramBuilder(-6, 6, 96);
  let negative = 0;
  let bent = 0;
  for (const { data } of Object.values(values)) {
    for (const value of data) {
      histogram.add(value);
      if (value < 0) negative++;
      if (value < 0 && value >= -3) bent++;
    }
  }
  const result = histogram.result();
  return { activation, inputs: result, negative: negative / result.total, bent: bent / result.total };
}
