import type { GroupResult, MetricResult, TaskResult } from './results.ts';
import type { GroupMetric } from './tasks/group.ts';

/** A group and the tasks below it. */
export interface ScoredGroup {
  readonly name: string;
  readonly alias: string;
  readonly tasks: readonly string[];
  readonly metrics: readonly GroupMetric[];
}

/** Sums up the results of a group's tasks, as the harness does: by means, weighted by items unless the group says otherwise. */
export function scoreGroup(group: ScoredGroup, results: readonly TaskResult[]): GroupResult {
  const tasks = results.filter(({ task }) => group.tasks.includes(task));
  const metrics = group.metrics.flatMap(({ metric, filters, weightBySize }) => {
    const names = filters ?? [...new Set(tasks.flatMap((task) => filtersOf(task, metric)))].sort();
    return names.flatMap((filter) => groupMetric(tasks, metric, filter, weightBySize) ?? []);
  });
  return {
    ...{ group: group.name, alias: group.alias, metrics, tasks: tasks.map(({ task }) => task) },
    items: tasks.reduce((sum, { items }) => sum + items, 0),
  };
}

function filtersOf({ metrics }: TaskResult, name: string): string[] {
  return metrics.filter(({ metric }) => metric === name).map(({ filter }) => filter);
}

function groupMetric(
  tasks: readonly TaskResult[],
  metric: string,
  filter: string,
  weightBySize: boolean,
): MetricResult | undefined {
  const found = tasks.flatMap(({ items, metrics }) => {
    const own = metrics.find((one) => one.metric === metric && one.filter === filter);
    return own ? [{ items, ...own }] : [];
  });
  if (found.length === 0) return undefined;
  const weights = found.map(({ items }) => (weightBySize ? items : 1));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const value = found.reduce((sum, one, i) => sum + one.value * weights[i]!, 0) / total;
  const { higherIsBetter } = found[0]!;
  const errors = found.map(({ standardError }) => standardError);
  const known = errors.every((error) => error !== null);
  const standardError = known
    ? combined(
        errors as number[],
        found.map(({ items }) => items),
        weightBySize,
      )
    : null;
  return { metric, filter, value, standardError, higherIsBetter, aggregation: 'mean' };
}

/** The standard error of a mean of tasks: of all their items together, or of the tasks. */
function combined(errors: readonly number[], sizes: readonly number[], weightBySize: boolean): number {
  if (!weightBySize) {
    return Math.sqrt(errors.reduce((sum, error) => sum + error ** 2, 0)) / errors.length;
  }
  const items = sizes.reduce((sum, size) => sum + size, 0);
  const pooled = errors.reduce((sum, error, i) => sum + (sizes[i]! - 1) * error ** 2 * sizes[i]!, 0);
  return Math.sqrt(pooled / (items - sizes.length) / items);
}
