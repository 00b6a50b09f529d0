import type { ActivationInputs } from '../report/results.ts';
import type { Engine } from '../runtime/engine.ts';
import { nodesOf } from './graph-walk.ts';
import { HistogramBuilder } from './histogram.ts';
import { hiddenOf, look, type Subject } from './probe.ts';

const OPERATORS = ['relu', 'gelu', 'silu'] as const;

/** The inputs that occur in a model's activation functions on real text. */
export async function activationInputs(engine: Engine, subject: Subject): Promise<ActivationInputs> {
  const hidden = hiddenOf(subject);
  const activation = OPERATORS.find((name) => nodesOf(hidden, name).length > 0)!;
  const inputs = nodesOf(hidden, activation).map((node) => node.inputs[0]!);
  const histogram = new HistogramBuilder(-6, 6, 96);
  let negative = 0;
  let bent = 0;
  for (const values of await look(engine, subject, inputs)) {
    for (const value of values) {
      histogram.add(value);
      if (value < 0) negative++;
      if (value < 0 && value >= -3) bent++;
    }
  }
  const result = histogram.result();
  return { activation, inputs: result, negative: negative / result.total, bent: bent / result.total };
}
