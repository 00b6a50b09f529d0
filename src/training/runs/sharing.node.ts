import type { FloatDtype } from '../../checkpoint/safetensors/writer.ts';
import { weightFilesOf } from '../../checkpoint/save.node.ts';
import type { Learner } from '../learner.ts';
import type { OptimizerState, StateTensor } from '../optimizers/optimizer.ts';
import type { Parallel } from '../parallel/parallel.ts';
import { evenBounds } from '../parallel/slices.ts';
import type { SharedFile, WrittenRange } from '../parallel/write-together.node.ts';
import { type ModelIdentity, modelToSave } from './model-to-save.node.ts';

/** The ranks that write a run's folder together, and what they share. */
export type Sharing = Pick<Parallel, 'ranks' | 'shard'>;

/** What this rank writes of a model's weights. */
export async function sharedWeights(
  learner: Learner,
  identity: ModelIdentity,
  sharing: Sharing,
  dtype: FloatDtype = 'F32',
): Promise<SharedFile[]> {
  const values = await learner.values();
  return weightFilesOf({ ...(await modelToSave(learner, identity)), dtype }).map(
    ({ name: file, tensors, metadata }) => ({
      ...{ name: file, metadata },
      entries: tensors.map(({ name, shape }) => ({ name, shape, dtype })),
      ranges: tensors.map(({ name }) =>
        learner.slices
          ? { name, start: learner.slices.rangeOf(name).start, data: values.get(name)! }
          : part(name, values.get(name)!, sharing),
      ),
    }),
  );
}

/** What this rank writes of an optimizer's state, and the step counts of all ranks' weights. */
export async function sharedOptimizer(
  name: string,
  { steps, tensors }: OptimizerState,
  sharing: Sharing,
): Promise<{ readonly steps: OptimizerState['steps']; readonly file: SharedFile }> {
  const own = [...tensors].map(([key, { dtype, shape }]) => ({ name: key, dtype, shape }));
  const ranges = [...tensors].map(([key, tensor]) =>
    sharing.shard === 'none'
      ? part(key, tensor.data, sharing)
      : { name: key, start: tensor.start ?? 0, data: tensor.data },
  );
  if (sharing.shard === 'none') return { steps, file: { name, entries: own, ranges } };
  const texts = await sharing.ranks.communicator.gather(JSON.stringify({ steps, own }));
  const all = texts.map((text) => JSON.parse(text) as { steps: typeof steps; own: typeof own });
  const entries = new Map(all.flatMap((each) => each.own).map((entry) => [entry.name, entry]));
  return {
    steps: Object.assign({}, ...all.map((each) => each.steps)) as typeof steps,
    file: { name, entries: [...entries.values()], ranges },
  };
}

/** This rank's part of an array that every rank has. */
function part<D extends StateTensor['data']>(name: string, whole: D, { ranks }: Sharing): WrittenRange {
  const { rank, size } = ranks.communicator;
  const bounds = evenBounds(whole.length, size);
  return { name, start: bounds[rank]!, data: whole.subarray(bounds[rank], bounds[rank + 1]) };
}
