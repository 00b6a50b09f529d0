import { RopewalkError } from '../errors.ts';
import type { Filtered } from './filters/filters.ts';
import { aggregate, type ItemValue } from './metrics/aggregations.ts';
import { type ItemScores, scoreItem } from './metrics/score-item.ts';
import { type StandardErrorOptions, standardError } from './metrics/standard-error.ts';
import type { ModelAnswer } from './model/requests.ts';
import { RegexTooSlow } from './python/regex.ts';
import type { ItemResult, MetricResult, TaskResult } from './results.ts';
import type { Item, PreparedTask } from './tasks/items.ts';

/** A task with the scores of its items. */
export interface ScoredTask {
  readonly result: TaskResult;
  readonly items: readonly ItemResult[];
  /** By `metric,filter`, in the order of the items. */
  readonly values: ReadonlyMap<string, readonly ItemValue[]>;
}

/**
 * Scores the answers to a task's requests.
 *
 * @param answers of each item's requests, in order.
 * @throws RopewalkError naming task, field and item.
 */
export async function scoreTask(
  task: PreparedTask,
  answers: readonly (readonly ModelAnswer[])[],
  options: StandardErrorOptions = {},
): Promise<ScoredTask> {
  const { config } = task;
  const values = new Map<string, ItemValue[]>();
  const items = task.items.map((item, i): ItemResult => {
    const filtered: Record<string, unknown> = {};
    const scores: Record<string, unknown> = {};
    for (const { name } of config.pipelines) {
      const { of, given } = filteredScores(task, item, answers[i]!, name);
      if (given !== undefined) filtered[name] = given;
      for (const [metric, value] of of) {
        const key = `${metric},${name}`;
        scores[key] = value;
        const all = values.get(key);
        if (all) all.push(value);
        else values.set(key, [value]);
      }
    }
    return {
      ...{ task: config.name, item: item.id, doc: item.doc, target: item.target, choices: item.choices },
      ...{ requests: item.requests, answers: answers[i]!, scores },
      filtered: config.outputType === 'generate_until' ? filtered : undefined,
    };
  });
  const metrics: MetricResult[] = [];
  for (const { name: filter } of config.pipelines) {
    for (const { name: metric, aggregation, higherIsBetter } of config.metrics) {
      const own = values.get(`${metric},${filter}`);
      if (!own) continue;
      try {
        const value = aggregate(aggregation, own);
        metrics.push({
          ...{ metric, filter, value, higherIsBetter, aggregation },
          standardError: await standardError(aggregation, own, options),
        });
      } catch (error) {
        if (!(error instanceof RopewalkError)) throw error;
        throw new RopewalkError(`task "${config.name}", metric ${metric}: ${error.message}`, {
          cause: error,
        });
      }
    }
  }
  const result: TaskResult = {
    ...{ task: config.name, alias: config.alias, version: config.version, outputType: config.outputType },
    ...{ items: items.length, available: task.available, shots: task.shots, metrics },
  };
  return { result, items, values };
}

function filteredScores(
  task: PreparedTask,
  item: Item,
  answers: readonly ModelAnswer[],
  name: string,
): { of: ItemScores; given?: unknown } {
  if (task.config.outputType !== 'generate_until') return { of: scoreItem(task, item, answers) };
  const { filters } = task.config.pipelines.find((pipeline) => pipeline.name === name)!;
  try {
    let given: Filtered | readonly Filtered[] = answers as readonly string[];
    for (const filter of filters)
      given = filter(Array.isArray(given) ? given : [given as Filtered], item.doc);
    return { of: scoreItem(task, item, [given]), given };
  } catch (error) {
    if (!(error instanceof RegexTooSlow)) throw error;
    throw new RopewalkError(
      `task "${task.config.name}", after the filters "${name}", item ${item.id}: a regular expression explodes: ${error.message}; write it without nested repetitions`,
      { cause: error },
    );
  }
}
