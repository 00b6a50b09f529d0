import { type OpenedModel, readWeights } from '../checkpoint/load.node.ts';
import { type TensorToWrite, writeSafetensors } from '../checkpoint/safetensors/writer.ts';
import { said } from '../errors.ts';
import { writeFileAtomic } from '../files/atomic.node.ts';
import { OptionError } from '../options.ts';
import type { Engine } from '../runtime/engine.ts';
import { writesHalf } from '../runtime/half.ts';
import { DeviceLearner } from './on-device/device-learner.ts';
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
  const shape = { batch: 1, seq };
  const rows = { inputs: ids.slice(0, seq), targets: ids.slice(1) };
  const nameOf = (name: string) => opened.names.get(name) ?? name;
  const write = (entries: readonly TensorToWrite[]) =>
    writeFileAtomic(path, async (sink) => {
      await writeSafetensors(sink, entries, { format: 'pt' });
    });
  if (writesHalf(engine)) {
    throw new OptionError(
      'precision',
      said`gradients that are written to a file are those of float32; leave it out.`,
    );
  }
  if (engine.openMemory) {
    const learner = await DeviceLearner.create(engine, opened.model, shape, { gradients: 'kept' });
    try {
      await learner.fill((values) => readWeights(opened, values));
      await learner.computeGradients([rows]);
      const { parameters } = learner.onDevice;
      await write(
        parameters.map(({ name, shape: dims }) => {
          return { name: nameOf(name), dtype: 'F32', shape: dims, data: () => learner.gradient(name) };
        }),
      );
    } finally {
      await learner.release();
    }
    return;
  }
  const learner = await WholeGraphLearner.create(engine, opened.model, shape);
  await learner.fill((values) => readWeights(opened, values));
  await learner.computeGradients([rows]);
  await learner.release();
  await write(
    learner.trainables.map(({ name, shape: dims, gradient }) => {
      return { name: nameOf(name), dtype: 'F32', shape: dims, data: gradient };
    }),
  );
}
