import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import { writeFileAtomic } from '../files/atomic.node.ts';
import type { Locale } from '../inspect/labels.ts';
import { buildReport } from '../report/report.ts';
import type { FamilyResult, JobResults, Surroundings } from '../report/results.ts';
import { nodeEngine } from '../runtime/engine.node.ts';
import { attentionCosts } from './attention-costs.ts';
import { prepareCorpus } from './corpus.node.ts';
import { runFamily } from './family.node.ts';
import { JobFolder } from './folder.node.ts';
import { measure } from './measure.node.ts';
import type { JobSettings } from './settings.ts';

export interface JobOptions {
  readonly out: string;
  readonly settings: JobSettings;
  /** Threads of the engine in training. */
  readonly threads: number;
  /** Removes an earlier job in `out`, and starts over. */
  readonly fresh?: boolean;
  /** The language that the report shows first. */
  readonly locale?: Locale;
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: JobEvent) => void;
}

export type JobEvent =
  | { readonly type: 'stored'; readonly what: string }
  | {
      readonly type: 'work';
      readonly what: 'tokenizer' | 'encoding' | 'measuring';
      readonly done: number;
      readonly total: number;
    }
  | { readonly type: 'corpus'; readonly corpus: JobResults['corpus'] }
  | { readonly type: 'resumed'; readonly title: string; readonly step: number }
  | {
      readonly type: 'step';
      readonly title: string;
      readonly step: number;
      readonly loss: number;
      readonly tokensPerSecond: number;
      /** Steps of all families: done, and in total. */
      readonly done: number;
      readonly total: number;
      /** Estimated for the whole job. */
      readonly secondsLeft: number;
    }
  | { readonly type: 'family'; readonly result: FamilyResult }
  | { readonly type: 'report'; readonly path: string };

const SURROUNDINGS_FILE = 'surroundings.json';
export const REPORT_FILE = 'report.html';

/**
 * The main job: trains a tokenizer and the families' tiny models on the same tokens in the same order, samples from
 * each, takes measurements inside them, and writes the report. Every finished part is stored in `out`; the same call
 * resumes after the last one, and training after its last checkpoint.
 *
 * @returns undefined if the signal aborted.
 */
export async function runMainJob(options: JobOptions): Promise<JobResults | undefined> {
  const { out, settings, threads, signal, onEvent = () => {} } = options;
  const folder = await JobFolder.open(out, settings, options.fresh ?? false);
  const surroundings = await storedSurroundings(folder, threads);
  const corpus = await prepareCorpus(folder, settings, (what, done, total) =>
    onEvent({ type: 'work', what, done, total }),
  );
  onEvent({ type: 'corpus', corpus: corpus.result });
  const engines = { training: nodeEngine({ threads }), decoding: nodeEngine({ threads: 1 }) };
  const { steps } = settings.training;
  const total = steps * settings.families.length;
  const families: FamilyResult[] = [];
  for (const [i, name] of settings.families.entries()) {
    if (signal?.aborted) return undefined;
    const result = await runFamily({
      folder,
      settings,
      corpus,
      name,
      engines,
      signal,
      onResume: (step) => onEvent({ type: 'resumed', title: name, step }),
      onStep: ({ step, loss, tokensPerSecond, secondsLeft }) => {
        const perStep = (settings.batch * settings.seq) / tokensPerSecond;
        const later = perStep * steps * (settings.families.length - 1 - i);
        const rest = { done: i * steps + step, total, secondsLeft: secondsLeft + later };
        onEvent({ type: 'step', title: name, step, loss, tokensPerSecond, ...rest });
      },
    });
    if (!result) return undefined;
    families.push(result);
    onEvent({ type: 'family', result });
  }
  const measurements = await measure(folder, settings, corpus, engines.training, signal, (done, total) =>
    onEvent({ type: 'work', what: 'measuring', done, total }),
  );
  if (!measurements || signal?.aborted) return undefined;
  const results: JobResults = {
    settings,
    surroundings,
    corpus: corpus.result,
    families,
    measurements,
    costs: attentionCosts(settings.families),
  };
  const path = folder.file(REPORT_FILE);
  await writeFileAtomic(path, buildReport(results, options.locale));
  onEvent({ type: 'report', path });
  return results;
}

/** The environment at the job's beginning: a rebuilt report states when and where its numbers come from. */
async function storedSurroundings(folder: JobFolder, threads: number): Promise<Surroundings> {
  const stored = await folder.read<Surroundings>(SURROUNDINGS_FILE);
  if (stored) return stored;
  const own = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const engine = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  const surroundings: Surroundings = {
    date: new Date().toISOString(),
    machine: `${cpus()[0]?.model.trim() ?? 'CPU'} × ${cpus().length}, ${process.platform} ${process.arch}`,
    threads,
    versions: { ropewalk: own.version, node: process.version, 'onnxruntime-node': engine.version },
  };
  await folder.write(SURROUNDINGS_FILE, surroundings);
  return surroundings;
}
