import Table from 'cli-table3';
import type { MetricComparison } from '../../evaluate/compare.ts';
import type { EvaluationResult, MetricResult } from '../../evaluate/results.ts';
import type { Locale } from '../../inspect/labels.ts';

const HEADS = {
  en: {
    task: 'Task',
    items: 'Items',
    shots: 'Shots',
    metric: 'Metric',
    value: 'Value',
    error: '± std. error',
  },
  ko: { task: '과제', items: '문항', shots: '예시', metric: '지표', value: '값', error: '± 표준 오차' },
} as const;
const COMPARED = {
  en: { before: 'Before', after: 'After', difference: 'Difference (95 %)', p: 'p', won: 'Won', lost: 'Lost' },
  ko: { before: '전', after: '후', difference: '차이 (95 %)', p: 'p', won: '맞게 됨', lost: '틀리게 됨' },
} as const;

/** The results of a model as a table. */
export function renderEvaluation({ tasks, groups }: EvaluationResult, locale: Locale): string {
  const head = HEADS[locale];
  const table = new Table({ head: Object.values(head), style: { head: [], border: [] } });
  const rows = (name: string, items: number, shots: string, metrics: readonly MetricResult[]) => {
    metrics.forEach((metric, i) => {
      const first = i === 0 ? [name, String(items), shots] : ['', '', ''];
      const error = metric.standardError === null ? '' : `± ${number(metric.standardError)}`;
      table.push([
        ...first,
        `${metricName(metric)} ${arrow(metric.higherIsBetter)}`,
        number(metric.value),
        error,
      ]);
    });
  };
  for (const group of groups) rows(group.alias, group.items, '', group.metrics);
  for (const task of tasks) rows(task.alias, task.items, String(task.shots), task.metrics);
  return table.toString();
}

/** Two models in pairs as a table. */
export function renderComparedEvaluations(comparisons: readonly MetricComparison[], locale: Locale): string {
  const { task, items, metric } = HEADS[locale];
  const head = [task, items, metric, ...Object.values(COMPARED[locale])];
  const table = new Table({ head, style: { head: [], border: [] } });
  let last = '';
  for (const one of comparisons) {
    const interval = one.interval ? ` [${signed(one.interval[0])}, ${signed(one.interval[1])}]` : '';
    table.push([
      ...(one.task === last ? ['', ''] : [one.task, String(one.items)]),
      `${metricName(one)} ${arrow(one.higherIsBetter)}`,
      ...[number(one.before), number(one.after), `${signed(one.difference)}${interval}`],
      ...[
        one.p === null ? '' : one.p < 0.001 ? '< 0.001' : one.p.toFixed(3),
        String(one.won.length),
        String(one.lost.length),
      ],
    ]);
    last = one.task;
  }
  return table.toString();
}

function metricName({ metric, filter }: { readonly metric: string; readonly filter: string }): string {
  return filter === 'none' ? metric : `${metric} (${filter})`;
}

const arrow = (higherIsBetter: boolean) => (higherIsBetter ? '↑' : '↓');

/** Four decimals, more digits for large numbers of perplexity than anybody needs left out. */
function number(value: number): string {
  return Math.abs(value) >= 1e5 ? value.toExponential(3) : value.toFixed(4);
}

const signed = (value: number) => `${value < 0 ? '−' : '+'}${number(Math.abs(value))}`;
