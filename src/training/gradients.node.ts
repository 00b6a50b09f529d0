import { type OpenedModel, readWeights } from '../checkpoint/load.node.ts';
import { writeSafetensors } from '../checkpoint/safetensors/writer.ts';
import { writeFileAtomic } from '../files/atomic.node.ts';
import type { Engine } from '../runtime/engine.ts';
import { WholeGraphLearner } from './whole-graph-learner.ts';

/**
 * Writes the gradients of the mean loss over tokens 1 … n − 1 as safetensors, float32, under the checkpoint's names.
 *
 * @param ids at most one more than the model has positions.
 */
export async function writeGradients(
  engine: Engine,
  opened: OpenedModel,
  ids: Int32Array,
  path: string,
): Promise<void> {
  const seq = ids.length - 1;
  const learner = await WholeGraphLearner.create(engine, opened.model, { batch: 1, seq });
  await learner.fill((values) => readWeights(opened, values));
  await learner.computeGradients([{ inputs: ids.slice(0, seq), targets: ids.slice(1) }]);
  await learner.release();
  const entries = learner.trainables.map(({ name, shape, gradient }) => {
    return { name: opened.names.get(name) ?? name, dtype: 'F32' as const, shape, data: gradient };
  });
  await writeFileAtomic(path, async (sink) => {
    await writeSafetensors(sink, entries, { format: 'pt' });
  });
}
