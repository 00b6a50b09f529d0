import type { Batch } from '../batches.ts';
import type { CommonConfig } from '../families/config.ts';
import type { Family } from '../families/family.ts';
import { initializeWeights } from '../families/initialize.ts';
import { differentiate } from '../graph/differentiate.ts';
import type { Tensor } from '../graph/tensor.ts';
import { sumOfSquares } from '../kernels/kernels.ts';
import { Random } from '../random.ts';
import type { Engine } from '../runtime/engine.ts';
import { Executable } from '../runtime/executable.ts';
import { lossGraph, type SequenceShape } from '../training/graph.ts';
import { recordStream, removeNorms } from './hooks.ts';
import type { Weights } from './probe.ts';

export interface GradientSettings {
  readonly family: Family;
  readonly config: CommonConfig;
  readonly weights: Weights;
  readonly batch: Batch;
  readonly shape: SequenceShape;
  /** Whether the norms inside the layers are left out. */
  readonly withoutNorms?: boolean;
}

/**
 * How strongly the mean loss reacts to the residual stream before each layer and after the last: the Euclidean norm of
 * ∂loss/∂x over all tokens. `[layers + 1]`; a number that float32 cannot hold is Infinity or NaN.
 */
export async function gradientByLayer(engine: Engine, settings: GradientSettings): Promise<number[]> {
  const { family, config, weights, batch, shape } = settings;
  const model = family.build(config);
  if (settings.withoutNorms) removeNorms(model);
  const stream = recordStream(model);
  const { loss } = lossGraph(model, shape);
  const gradients = differentiate(loss, stream);
  const outputs = new Map<string, Tensor>();
  gradients.forEach((gradient, i) => {
    if (gradient) outputs.set(`layer${i}`, gradient);
  });
  const executable = await Executable.compile(engine, outputs, { weights });
  try {
    const rows = shape.batch * shape.seq;
    const results = await executable.run({
      input_ids: { data: batch.inputs, shape: [rows] },
      targets: { data: batch.targets, shape: [rows] },
      weights: { data: new Float32Array(rows).fill(1 / rows), shape: [rows] },
    });
    return stream.map((_, i) =>
      Math.sqrt(sumOfSquares((results[`layer${i}`]?.data ?? new Float32Array(0)) as Float32Array)),
    );
  } finally {
    await executable.release();
  }
}

/** The weights that training starts from. */
export function startingWeights(family: Family, config: CommonConfig, seed: number): Weights {
  const parameters = family.build(config).parameters();
  const values = new Map([...parameters].map(([path, { size }]) => [path, new Float32Array(size)]));
  initializeWeights(parameters, values, new Random(seed));
  return new Map([...values].map(([path, data]) => [path, { data }]));
}
