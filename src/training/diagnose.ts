import type { TrainingRows } from '../batches.ts';
import type { Engine } from '../runtime/engine.ts';
import { Executable, type HostTensor } from '../runtime/executable.ts';
import { forwardGraph, modelPieces } from './blocks/block-graph.ts';
import { contextFeeds } from './feeds.ts';
import type { Learner } from './learner.ts';

/**
 * Finds the first tensor of a forward pass that is not finite: a weight, or the output of a stage of the model. Every
 * stage is compiled and run, so this costs more than a step; use it only when training has to stop anyway.
 *
 * @returns a sentence naming it; undefined if the forward pass is finite, so the problem is in the backward pass.
 */
export async function firstNotFinite(
  engine: Engine,
  training: Learner,
  batches: readonly TrainingRows[],
): Promise<string | undefined> {
  const { model, shape } = training;
  const values = await training.values();
  const pieces = modelPieces(model, shape);
  for (const batch of batches) {
    const context = contextFeeds(batch, shape);
    let x: HostTensor | undefined;
    for (const [i, piece] of pieces.entries()) {
      const bad = piece.parameters.find(({ path }) => !allFinite(values.get(path)!));
      if (bad) return `the first tensor that is not finite is the weight ${bad.path}`;
      const weights = piece.parameters.map(({ name, path, shape: sizes }) => {
        return [name, { data: values.get(path)!, shape: sizes }] as const;
      });
      const executable = await Executable.compile(engine, forwardGraph(piece));
      const feeds = { ...context, ...Object.fromEntries(weights), ...(x && { x }) };
      const { y } = await executable.run(feeds);
      await executable.release();
      if (!allFinite(y!.data as Float32Array)) {
        return `the first tensor that is not finite is the output of ${stageName(i, pieces.length)}`;
      }
      x = y;
    }
  }
  return undefined;
}

/** Stages are the embedding, the layers, and the final norm. */
function stageName(index: number, count: number): string {
  if (index === 0) return 'the embedding';
  return index === count - 1 ? 'the final norm' : `layer ${index - 1}`;
}

function allFinite(values: Float32Array): boolean {
  // A sum is not finite if any element is not; a finite sum that overflows is checked element by element.
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return Number.isFinite(sum);
}
