import { PythonRandom } from '../python/random.ts';
import { type Aggregation, aggregate, type ItemValue, mean } from './aggregations.ts';

/** The number of bootstrap samples in the harness. */
const BOOTSTRAP_SAMPLES = 100_000;
/** How many of them share a seed. */
const CHUNK = 1000;
const BOOTSTRAPPED: readonly Aggregation[] = ['median', 'matthews_corrcoef', 'f1', 'perplexity', 'nanmean'];
/** Metrics that the harness samples less often. */
const OF_TEXTS: readonly Aggregation[] = ['bleu', 'chrf', 'chrf++', 'ter'];
const TEXT_SAMPLES = 100;

/** Standard deviation of a sample, divided by n - 1. */
function sampleDeviation(values: readonly number[]): number {
  const center = mean(values);
  let sum = 0;
  for (const value of values) sum += (value - center) ** 2;
  return Math.sqrt(sum / (values.length - 1));
}

export interface StandardErrorOptions {
  /** Bootstrap samples if there is no formula; default 100,000, as in the harness; 0 for none. */
  readonly bootstrap?: number | undefined;
  /** Called regularly, so that other work can run. */
  readonly pause?: (() => Promise<void>) | undefined;
}

/**
 * The standard error of a metric over its items: by a formula for means, otherwise by the harness's bootstrap with the
 * same seeds. A bootstrap takes seconds for thousands of items.
 *
 * @returns null if the harness says N/A: for one item, and for metrics without a formula that it does not bootstrap.
 */
export async function standardError(
  aggregation: Aggregation,
  values: readonly ItemValue[],
  { bootstrap = BOOTSTRAP_SAMPLES, pause }: StandardErrorOptions = {},
): Promise<number | null> {
  if (values.length < 2) return null;
  if (aggregation === 'mean') return sampleDeviation(values as number[]) / Math.sqrt(values.length);
  const ofTexts = OF_TEXTS.includes(aggregation);
  const samples = ofTexts ? Math.min(bootstrap, TEXT_SAMPLES) : bootstrap;
  if ((!ofTexts && !BOOTSTRAPPED.includes(aggregation)) || samples === 0) return null;
  const chunk = Math.min(CHUNK, samples);
  const replicates: number[] = [];
  for (let seed = 0; seed < Math.floor(samples / chunk); seed++) {
    const random = new PythonRandom(seed);
    for (let i = 0; i < chunk; i++) replicates.push(aggregate(aggregation, random.resample(values)));
    await pause?.();
  }
  return sampleDeviation(replicates);
}
