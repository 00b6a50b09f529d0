import { setImmediate } from 'node:timers/promises';
import type { PullDatasetOptions } from '../hub/pull-dataset.node.ts';
import { agree } from '../ranks/agree.ts';
import { coresPerRank } from '../ranks/cores.node.ts';
import { together } from '../ranks/together.ts';
import { type EvaluateOptions, type Evaluation, evaluateModel } from './evaluate.ts';
import { EvaluationFolder } from './folder.node.ts';
import { type OpenAnsweringOptions, openAnsweringModel } from './open-model.node.ts';
import { type DataPlaces, readSplit } from './tasks/data-files.node.ts';
import type { SelectedTasks } from './tasks/select.node.ts';

export interface EvaluatePathOptions
  extends Omit<EvaluateOptions, 'store' | 'pause'>,
    Omit<OpenAnsweringOptions, 'name' | 'onProgress'> {
  /** The model's name in results; default its path. */
  readonly name?: string | undefined;
  /** The folder of answers, items and results; nothing is written without it. An evaluation in it is resumed. */
  readonly out?: string | undefined;
  /** Datasets that are read from local files instead of the hub. */
  readonly data?: DataPlaces | undefined;
  /** Called with the number of answers from an earlier run. */
  readonly onResume?: ((answers: number) => void) | undefined;
  readonly hub?: PullDatasetOptions | undefined;
}

/**
 * Evaluates a model directory or GGUF file; see {@link evaluateModel}. Of several ranks, the first one writes.
 *
 * @throws RopewalkError naming what is missing or wrong; then no file is incomplete.
 */
export async function evaluatePath(
  path: string,
  selected: SelectedTasks,
  options: EvaluatePathOptions = {},
): Promise<Evaluation> {
  const { name = path, out, data = new Map(), hub, onResume, onWarnings, progressOf, ...rest } = options;
  const { device, precision, quantize, layoutCache, engine, ...evaluating } = rest;
  const { ranks, signal } = rest;
  const threads = rest.threads ?? (ranks && coresPerRank(ranks));
  const how = { device, precision, threads, quantize, layoutCache, engine };
  const opening = { name, onWarnings, progressOf, ...how };
  const { model, close } = await together(ranks, () => openAnsweringModel(path, opening));
  try {
    if (ranks) await agree(ranks, { 'answers of the model': await model.probe() });
    const folder = await together(ranks, async () =>
      out === undefined || (ranks && ranks.rank > 0) ? undefined : EvaluationFolder.open(out, model),
    );
    try {
      if (folder && folder.found > 0) onResume?.(folder.found);
      const evaluation = await evaluateModel(
        name,
        model,
        selected,
        (config) => (split) => readSplit(config, split, data, hub),
        {
          ...evaluating,
          store: folder?.store,
          pause: async () => {
            await setImmediate();
            // Several ranks stop together, while requests are answered.
            if (!ranks) signal?.throwIfAborted();
          },
        },
      );
      await together(ranks, async () => folder?.write(evaluation));
      return evaluation;
    } finally {
      await folder?.close();
    }
  } finally {
    await close();
  }
}
