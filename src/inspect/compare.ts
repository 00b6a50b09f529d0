import { RopewalkError } from '../errors.ts';
import type { Family } from '../families/family.ts';
import { allFeatures, type Feature, familyTable, successorTable } from './features.ts';
import { type Bilingual, type Locale, metadata } from './labels.ts';
import type { NamedModel } from './named-model.ts';
import { type ModelSummary, summarize } from './summary.ts';

/** A feature and its value in each model, by the names that the user gave. */
export interface Row {
  readonly feature: string;
  readonly values: Readonly<Record<string, string>>;
}

export interface ComparisonTable {
  readonly models: readonly string[];
  readonly rows: readonly Row[];
}

/**
 * Compares models feature by feature, from their modules; training data comes from the preset's metadata.
 *
 * @param locale the language of features and values; machine-readable output is in English.
 * @throws RopewalkError for two models with the same name.
 */
export function compare(models: readonly NamedModel[], locale: Locale = 'en'): Row[] {
  return [...tableOf(models, allFeatures(models), locale).rows];
}

/**
 * The study note's tables: all models by the features of families, then each model that succeeds another one here
 * (Gemma 2 and Gemma) next to it.
 */
export function tables(models: readonly NamedModel[], locale: Locale = 'en'): ComparisonTable[] {
  const pairs = models.flatMap((model) =>
    models
      .filter(({ family }) => family.name === model.family.predecessor)
      .map((earlier) => tableOf([earlier, model], successorTable, locale)),
  );
  return [tableOf(models, familyTable, locale), ...pairs];
}

/** Notes on the columns: what a column really is, and the sources of what is not computed. */
export function footnotes(models: readonly NamedModel[], locale: Locale = 'en'): string[] {
  const notes: string[] = [];
  const families = new Map(models.map(({ family }) => [family.name, family]));
  for (const { title, note } of families.values()) if (note) notes.push(`${title}: ${note[locale]}`);
  for (const { family, isFamily } of models) {
    const sizes = dataBySize(family, locale);
    // A family's name represents all of its sizes.
    if (sizes && isFamily) notes.push(`${family.title}: ${sizes}`);
  }
  for (const { name, training } of models) {
    if (training) notes.push(`${sourceLabel[locale]} (${name}): ${training.source}`);
  }
  return notes;
}

/** Training data of each preset, if they differ. */
function dataBySize({ presets }: Family, locale: Locale): string | undefined {
  const known = Object.entries(presets).flatMap(([name, { training }]) =>
    training ? [{ name, data: metadata(training.data)[locale] }] : [],
  );
  if (new Set(known.map(({ data }) => data)).size < 2) return undefined;
  return known.map(({ name, data }) => `${name} ${data}`).join(', ');
}

const sourceLabel: Bilingual = { en: 'Training data and method', ko: '학습 데이터와 방법의 출처' };

function tableOf(
  models: readonly NamedModel[],
  features: readonly Feature[],
  locale: Locale,
): ComparisonTable {
  const summaries = new Map<NamedModel, ModelSummary>();
  const names = new Set<string>();
  for (const model of models) {
    if (names.has(model.name))
      throw new RopewalkError(`"${model.name}" is named twice; name each model once.`);
    names.add(model.name);
    summaries.set(model, summarize(model, model.name));
  }
  const rows = features
    .filter(({ says }) => !says || [...summaries.values()].some(says))
    .map(({ label, value }) => ({
      feature: label[locale],
      values: Object.fromEntries(
        models.map((model) => [model.name, value(model, summaries.get(model)!)[locale]]),
      ),
    }));
  return { models: [...names], rows };
}
