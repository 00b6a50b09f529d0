import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ABLATION_FILE, ablate, RUNS_FILE } from '../ablate/ablate.node.ts';
import { ladder } from '../ablate/ladder.ts';
import type { AblationResult } from '../ablate/result.ts';
import { fileError } from '../files/file-errors.ts';
import { nodeEngine } from '../runtime/engine.node.ts';
import { prepareCorpus } from './corpus.node.ts';
import { JobFolder } from './folder.node.ts';
import { jobSettings } from './settings.ts';

export const ABLATION_PICTURE = 'ablation.svg';

export interface BuiltInAblationOptions {
  /** Families, as the command line calls them. */
  readonly from: string;
  readonly to: string;
  /** Optimizer steps of each run. */
  readonly steps: number;
  /** How many seeds: 0, 1, 2 … */
  readonly seeds: number;
  readonly threads: number;
  /** What an earlier ablation left in the folder is removed first. */
  readonly fresh?: boolean;
  readonly signal?: AbortSignal;
  readonly onRun?: (name: string, done: number, total: number) => void;
}

/**
 * An ablation on the built-in text, its models trained like those of the main job.
 *
 * @param out folder of the result; an interrupted ablation in it is resumed.
 * @returns undefined when the signal aborted.
 */
export async function builtInAblation(
  out: string,
  { from, to, steps, seeds, threads, fresh = false, ...watch }: BuiltInAblationOptions,
): Promise<AblationResult | undefined> {
  // What cannot be is refused before anything is written.
  ladder(from, to);
  if (fresh) await removeOutputs(out);
  const job = { ...jobSettings(steps), families: [] };
  // The tokens do not depend on the steps.
  const kept = { ...job, training: jobSettings(1).training };
  const folder = await JobFolder.open(join(out, 'corpus'), kept, fresh);
  const { training, validation, tokenizer } = await prepareCorpus(folder, job, () => {});
  const { lr, warmup, minLrRatio = 0.1, clip, weightDecay } = job.training;
  return ablate(
    nodeEngine({ threads }),
    out,
    { training, validation, vocabSize: tokenizer.vocabSize },
    {
      ...{ from, to, weightDecay },
      training: { steps, accumulate: 1, lr, schedule: 'cosine', warmup, minLrRatio, clip },
      seeds: Array.from({ length: seeds }, (_, seed) => seed),
      shape: { batch: job.batch, seq: job.seq },
    },
    watch,
  );
}

async function removeOutputs(out: string): Promise<void> {
  for (const name of [RUNS_FILE, ABLATION_FILE, ABLATION_PICTURE]) {
    const path = join(out, name);
    await rm(path, { force: true }).catch((error: unknown) => {
      throw fileError(error, 'write', path);
    });
  }
}
