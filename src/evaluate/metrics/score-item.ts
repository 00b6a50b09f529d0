import { RopewalkError } from '../../errors.ts';
import type { Filtered } from '../filters/filters.ts';
import type { ModelAnswer } from '../model/requests.ts';
import { countBytes, countCharacters, countWords } from '../python/text.ts';
import { asInteger, Float, isList, type PythonValue } from '../python/values.ts';
import type { Item, PreparedTask } from '../tasks/items.ts';
import { placeText } from '../tasks/template.ts';
import type { ItemValue } from './aggregations.ts';
import { editCounts } from './edit-rate.ts';
import { exactMatch } from './exact-match.ts';
import { bleuCounts, chrfCounts } from './translation.ts';

/** An item's scores, by the names of the task's metrics. */
export type ItemScores = ReadonlyMap<string, ItemValue>;

type Scored = { readonly loglikelihood: number; readonly greedy: boolean };

/**
 * Scores an item.
 *
 * @param answers to its requests, filtered if they are texts.
 * @throws RopewalkError naming task, field and item, if the right answer is not one of the choices.
 */
export function scoreItem(
  task: PreparedTask,
  item: Item,
  answers: readonly (ModelAnswer | Filtered | readonly Filtered[])[],
): ItemScores {
  const { outputType, metrics } = task.config;
  const scores = new Map<string, ItemValue>();
  const values = () => {
    switch (outputType) {
      case 'loglikelihood': {
        const { loglikelihood, greedy } = answers[0] as Scored;
        return { perplexity: loglikelihood, acc: greedy ? 1 : 0 };
      }
      case 'loglikelihood_rolling':
        return rollingScores(item.target as string, (answers[0] as Scored).loglikelihood);
      case 'multiple_choice':
        return choiceScores(task, item, answers as Scored[]);
      case 'generate_until':
        return {};
    }
  };
  const known: Readonly<Record<string, ItemValue | undefined>> = values();
  for (const metric of metrics) {
    const value =
      outputType === 'generate_until'
        ? generatedScore(task, item, answers[0] as Filtered | readonly Filtered[], metric)
        : known[metric.name];
    if (value !== undefined) scores.set(metric.name, value);
  }
  return scores;
}

function rollingScores(text: string, loglikelihood: number) {
  const [words, bytes] = [countWords(text), countBytes(text)];
  return {
    word_perplexity: [loglikelihood, words] as const,
    byte_perplexity: [loglikelihood, bytes] as const,
    bits_per_byte: [loglikelihood, bytes] as const,
  };
}

function choiceScores(task: PreparedTask, item: Item, answers: readonly Scored[]) {
  const choices = item.choices!;
  const conditional = answers.slice(0, choices.length);
  const scores = conditional.map(({ loglikelihood }) => loglikelihood);
  const by = (length: (choice: string) => number) =>
    best(scores.map((score, i) => score / length(choices[i]!)));
  const gold = rightChoices(task, item);
  const isRight = (choice: number) => (gold.includes(choice) ? 1 : 0);
  const chosen = best(scores);
  const unconditional = answers.slice(choices.length);
  return {
    acc: isRight(chosen),
    acc_norm: isRight(by(countCharacters)),
    acc_bytes: isRight(by(countBytes)),
    exact_match: gold.some((choice) => conditional[choice]!.greedy) ? 1 : 0,
    f1: [gold[0]!, chosen] as const,
    mcc: [gold[0]!, chosen] as const,
    brier_score: [gold[0]!, softmax(scores)] as const,
    acc_mutual_info:
      unconditional.length === 0
        ? undefined
        : isRight(best(scores.map((score, i) => score - unconditional[i]!.loglikelihood))),
  };
}

/** The first maximum, like numpy's argmax: the first NaN wins. */
function best(values: readonly number[]): number {
  const nan = values.findIndex(Number.isNaN);
  return nan >= 0 ? nan : values.indexOf(Math.max(...values));
}

function softmax(values: readonly number[]): number[] {
  const max = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - max));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** The numbers of the right choices. */
function rightChoices(task: PreparedTask, item: Item): readonly number[] {
  const field = task.multipleInput ? 'doc_to_text' : 'doc_to_target';
  const gold = task.multipleInput ? task.fields.text(item.doc, item.id) : item.target;
  const choices = item.choices!;
  const numberOf = (one: PythonValue): number => {
    const number = one instanceof Float ? one.value : asInteger(one);
    if (number !== undefined) return number;
    return typeof one === 'string' && !isList(gold) ? choices.indexOf(one) : -1;
  };
  const numbers = isList(gold) ? gold.map(numberOf) : [numberOf(gold)];
  if (numbers.length > 0 && numbers.every((number) => number >= 0 && number < choices.length)) return numbers;
  const where = placeText({ task: task.config.name, field, item: item.id });
  throw new RopewalkError(
    `${where}: the right answer is ${JSON.stringify(gold)}, which is not one of the ${choices.length} choices (numbered from 0) ${JSON.stringify(choices).slice(0, 120)}; correct the row or the field`,
  );
}

function generatedScore(
  task: PreparedTask,
  item: Item,
  given: Filtered | readonly Filtered[],
  metric: PreparedTask['config']['metrics'][number],
): ItemValue {
  const texts = (Array.isArray(given) ? given : [given]) as readonly Filtered[];
  const right = rightTexts(task, item, !Array.isArray(given));
  if (metric.name !== 'exact_match') return comparedTexts(task, item, texts, right, metric.name);
  let matches = 0;
  for (const expected of right) {
    for (const text of texts) {
      if (
        typeof text === 'string' &&
        expected !== undefined &&
        exactMatch(text, expected, metric.exactMatch)
      ) {
        matches++;
      }
    }
  }
  if (task.multipleTarget) return matches > 0 ? 1 : 0;
  return matches / texts.length;
}

function comparedTexts(
  task: PreparedTask,
  item: Item,
  texts: readonly Filtered[],
  right: readonly (string | undefined)[],
  metric: string,
): ItemValue {
  const [text, reference] = [texts[0], right[0]];
  if (task.multipleTarget || texts.length > 1 || typeof text !== 'string' || reference === undefined) {
    const where = placeText({ task: task.config.name, field: 'metric_list', item: item.id });
    throw new RopewalkError(
      `${where}: ${metric} compares one text with one right text, but this item has others`,
    );
  }
  if (metric === 'bleu') return { counts: bleuCounts(text, reference) };
  if (metric === 'ter') return { counts: editCounts(text, reference) };
  return { counts: chrfCounts(text, reference, metric === 'chrf' ? 0 : 2) };
}

/** The texts of which one is right; undefined for anything that is not a text and equals none. */
function rightTexts(
  task: PreparedTask,
  { target, choices, id }: Item,
  converts: boolean,
): (string | undefined)[] {
  const where = () => placeText({ task: task.config.name, field: 'doc_to_target', item: id });
  if (choices) {
    const choice = choices.at(asInteger(target) ?? Number.NaN);
    if (asInteger(target) !== undefined && choice !== undefined) return [choice];
    throw new RopewalkError(
      `${where()}: with "doc_to_choice" it must be the number of one of ${choices.length} choices, but is ${JSON.stringify(target)}`,
    );
  }
  const text = (value: PythonValue): string | undefined => {
    if (typeof value === 'string') return value;
    return converts && !task.multipleTarget ? pythonText(value, where) : undefined;
  };
  return isList(target) ? target.map(text) : [text(target)];
}

/** `str(value)`. */
function pythonText(value: PythonValue, where: () => string): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (value instanceof Float) return `${value.value.toFixed(1)}`;
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  throw new RopewalkError(
    `${where()}: it must be a text or a number, but is ${JSON.stringify(value)?.slice(0, 80)}`,
  );
}
