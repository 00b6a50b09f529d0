import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { option, RopewalkError, said } from '../errors.ts';
import { writeFileAtomic } from '../files/atomic.node.ts';
import { fileError } from '../files/file-errors.ts';
import type { Engine } from '../runtime/engine.ts';
import { type AblationCorpus, runRung, summarizeAblation } from './ablate.ts';
import { ladder } from './ladder.ts';
import {
  type AblationResult,
  type AblationRun,
  type AblationSettings,
  readRuns,
  sameSettings,
} from './result.ts';

export const ABLATION_FILE = 'ablation.json';
export const RUNS_FILE = 'runs.json';

/**
 * Trains every model of the ladder with every seed. Each run is stored when it ends. The same call resumes after the
 * last stored run; an interrupted run starts over.
 *
 * @param onRun called before each run with the number of finished runs and the total.
 * @returns undefined if the signal aborted.
 * @throws RopewalkError if the folder contains an ablation with other settings.
 */
export async function ablate(
  engine: Engine,
  out: string,
  corpus: AblationCorpus,
  settings: AblationSettings,
  {
    signal,
    onRun,
  }: { signal?: AbortSignal; onRun?: (name: string, done: number, total: number) => void } = {},
): Promise<AblationResult | undefined> {
  const steps = ladder(settings.from, settings.to);
  const runs = await storedRuns(out, settings);
  const total = steps.rungs.length * settings.seeds.length;
  for (const seed of settings.seeds) {
    for (const [rung, { name }] of steps.rungs.entries()) {
      if (runs.some((run) => run.rung === rung && run.seed === seed)) continue;
      if (signal?.aborted) return undefined;
      onRun?.(name, runs.length, total);
      const run = await runRung(engine, name, corpus, settings, seed, signal);
      if (!run) return undefined;
      runs.push({ rung, seed, ...run });
      await writeFileAtomic(join(out, RUNS_FILE), `${JSON.stringify({ settings, runs }, null, 2)}\n`);
    }
  }
  const result = summarizeAblation(steps, settings, runs, corpus.vocabSize);
  await writeFileAtomic(join(out, ABLATION_FILE), `${JSON.stringify(result, null, 2)}\n`);
  return result;
}

async function storedRuns(out: string, settings: AblationSettings): Promise<AblationRun[]> {
  const path = join(out, RUNS_FILE);
  let text: string;
  try {
    await mkdir(out, { recursive: true });
    if (!existsSync(path)) return [];
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw fileError(error, 'read', path);
  }
  const stored = storedBefore(text, path);
  if (sameSettings(stored.settings, settings)) return [...stored.runs];
  throw new RopewalkError(
    said`${out} contains an ablation with other settings. Resume with the same settings, start over with ${option('fresh', true)}, or choose another folder with ${option('out')}.`,
  );
}

function storedBefore(text: string, path: string): ReturnType<typeof readRuns> {
  try {
    return readRuns(text, path);
  } catch (error) {
    if (!(error instanceof RopewalkError)) throw error;
    throw new RopewalkError(said`${error} ${option('fresh', true)} starts over.`, { cause: error });
  }
}
