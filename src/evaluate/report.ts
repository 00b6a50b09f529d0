import { type Bilingual, both, type Html, html, type Insertable, type Locale } from '../report/html.ts';
import { drawPage } from '../report/page.ts';
import { paragraph, type Section, whole } from '../report/sections/section.ts';
import type { MetricComparison } from './compare.ts';
import type { EvaluationResult, ItemResult, MetricResult } from './results.ts';

/** An evaluation with its items, by task. */
interface ReportedEvaluation {
  readonly result: EvaluationResult;
  readonly tasks: readonly { readonly items: readonly ItemResult[] }[];
}

/** The content of an evaluation page; with `after`, two models are compared in pairs. */
export interface ReportedEvaluations {
  readonly evaluation: ReportedEvaluation;
  readonly after?: ReportedEvaluation | undefined;
  readonly comparisons?: readonly MetricComparison[] | undefined;
}

/** Items shown per task, and changed items shown in each direction. */
const SHOWN = 5;
const CUT = 1200;

/** The evaluation as a self-contained HTML file in English and Korean. */
export function buildEvaluationReport(
  { evaluation, after, comparisons = [] }: ReportedEvaluations,
  locale: Locale,
): string {
  const { result } = evaluation;
  const title = after ? `${result.model} → ${after.result.model}` : result.model;
  const items = result.tasks.reduce((sum, task) => sum + task.items, 0);
  return drawPage({
    locale,
    title: `Ropewalk: ${title}`,
    heading: { en: `${title}, evaluated`, ko: `${title} 평가` },
    lead: paragraph(
      {
        en: `${whole(result.tasks.length)} tasks, ${whole(items)} items${result.chat ? ', with the chat template' : ''}.`,
        ko: `과제 ${whole(result.tasks.length)}개, 문항 ${whole(items)}개${result.chat ? ', 채팅 템플릿 사용' : ''}.`,
      },
      'lead',
    ),
    sections: [
      ...(after ? [comparisonSection(comparisons), changedSection(evaluation, after, comparisons)] : []),
      resultSection(result, 'results'),
      ...(after ? [resultSection(after.result, 'results-after')] : []),
      sampleSection(evaluation, after),
    ],
  });
}

function resultSection({ model, tasks, groups }: EvaluationResult, id: string): Section {
  const rows = (name: string, items: number, shots: string, metrics: readonly MetricResult[]) =>
    metrics.map(
      (metric, i) =>
        html`<tr><th scope="row">${i === 0 ? name : ''}</th><td class="number">${i === 0 ? whole(items) : ''}</td><td class="number">${i === 0 ? shots : ''}</td><td>${metricName(metric)}</td><td class="number">${number(metric.value)}</td><td class="number">${intervalOf(metric)}</td></tr>`,
    );
  const head: readonly Bilingual[] = [
    { en: 'Task', ko: '과제' },
    { en: 'Items', ko: '문항' },
    { en: 'Examples', ko: '예시' },
    { en: 'Metric', ko: '지표' },
    { en: 'Value', ko: '값' },
    { en: '95 % interval', ko: '95 % 구간' },
  ];
  return {
    id,
    title: { en: `Results of ${model}`, ko: `${model} 결과` },
    content: [
      table(head, [
        ...groups.flatMap((group) => rows(group.alias, group.items, '', group.metrics)),
        ...tasks.flatMap((task) => rows(task.alias, task.items, String(task.shots), task.metrics)),
      ]),
      paragraph(
        {
          en: 'Interval: 1.96 standard errors to each side; a metric without a standard error has none. ↑: higher is better, ↓: lower is better.',
          ko: '구간: 양쪽으로 표준 오차의 1.96배. 표준 오차가 없는 지표에는 없습니다. ↑ 높을수록, ↓ 낮을수록 좋습니다.',
        },
        'notes',
      ),
    ],
  };
}

function comparisonSection(comparisons: readonly MetricComparison[]): Section {
  const head: readonly Bilingual[] = [
    { en: 'Task', ko: '과제' },
    { en: 'Metric', ko: '지표' },
    { en: 'Before', ko: '전' },
    { en: 'After', ko: '후' },
    { en: 'Difference (95 %)', ko: '차이 (95 %)' },
    { en: 'p', ko: 'p' },
    { en: 'Won', ko: '좋아짐' },
    { en: 'Lost', ko: '나빠짐' },
  ];
  const rows = comparisons.map((one) => {
    const interval = one.interval ? ` [${signed(one.interval[0])}, ${signed(one.interval[1])}]` : '';
    const cells = [number(one.before), number(one.after), `${signed(one.difference)}${interval}`];
    const p = one.p === null ? '' : one.p < 0.001 ? '< 0.001' : one.p.toFixed(3);
    return html`<tr><th scope="row">${one.task}</th><td>${metricName(one)}</td>${[...cells, p, one.won.length, one.lost.length].map((cell) => html`<td class="number">${cell}</td>`)}</tr>`;
  });
  return {
    id: 'comparison',
    title: { en: 'Before and after, in pairs', ko: '전과 후의 짝 비교' },
    content: [
      table(head, rows),
      paragraph(
        {
          en: 'Both models answered the same items. p: how likely a difference this large is if the models were equally good (McNemar’s exact test for right and wrong, else a permutation test). Won and lost: items that are better and worse after.',
          ko: '두 모델이 같은 문항에 답했습니다. p: 두 모델의 실력이 같을 때 이만한 차이가 날 확률(맞고 틀림은 맥니마 정확 검정, 그 밖은 순열 검정). 좋아짐·나빠짐: 후에 더 좋거나 나쁜 문항 수.',
        },
        'notes',
      ),
    ],
  };
}

function changedSection(
  before: ReportedEvaluation,
  after: ReportedEvaluation,
  comparisons: readonly MetricComparison[],
): Section {
  const first = new Map<string, MetricComparison>();
  for (const one of comparisons) if (!first.has(one.task)) first.set(one.task, one);
  const groups = [...first.values()].flatMap((one) => {
    const at = before.result.tasks.findIndex(({ task }) => task === one.task);
    const show = (ids: readonly number[], name: Bilingual) =>
      ids.length === 0
        ? []
        : [
            html`<h4>${both(name)}: ${ids.slice(0, 200).join(', ')}${ids.length > 200 ? ', …' : ''}</h4>`,
            ...ids.slice(0, SHOWN).map((id) => itemView(before.tasks[at]!.items, after.tasks[at]!.items, id)),
          ];
    return [
      html`<h3>${one.task}, ${metricName(one)}</h3>`,
      ...show(one.lost, { en: 'Worse after', ko: '나빠진 문항' }),
      ...show(one.won, { en: 'Better after', ko: '좋아진 문항' }),
    ];
  });
  return { id: 'changed', title: { en: 'Items that changed', ko: '달라진 문항' }, content: groups };
}

function sampleSection(evaluation: ReportedEvaluation, after: ReportedEvaluation | undefined): Section {
  return {
    id: 'samples',
    title: { en: 'The first items of each task', ko: '과제별 첫 문항' },
    content: evaluation.result.tasks.map(({ task }, i) => {
      const { items } = evaluation.tasks[i]!;
      const views = items.slice(0, 2).map(({ item }) => itemView(items, after?.tasks[i]?.items, item));
      return html`<h3>${task}</h3>${views}`;
    }),
  };
}

/** An item: the prompt, the right answer and the model's answer. */
function itemView(before: readonly ItemResult[], after: readonly ItemResult[] | undefined, id: number): Html {
  const item = before.find((one) => one.item === id)!;
  const then = after?.find((one) => one.item === id);
  const asked = item.requests[0] as { context?: string; text?: string } | undefined;
  const answer = (one: ItemResult) => html`<blockquote>${cut(answerText(one))}</blockquote>`;
  const label = (text: Bilingual) => html`<p class="soft">${both(text)}</p>`;
  return html`<details><summary>${both({ en: `Item ${id}`, ko: `문항 ${id}` })}</summary>
${label({ en: 'Prompt', ko: '프롬프트' })}<blockquote>${cut(asked?.context ?? asked?.text ?? '')}</blockquote>
${label({ en: 'Right answer', ko: '정답' })}<blockquote>${cut(rightText(item))}</blockquote>
${label(then ? { en: 'Answer before', ko: '전의 답' } : { en: 'Answer', ko: '답' })}${answer(item)}
${then ? html`${label({ en: 'Answer after', ko: '후의 답' })}${answer(then)}` : ''}</details>`;
}

function rightText({ target, choices }: ItemResult): string {
  const chosen = typeof target === 'number' ? choices?.[target] : undefined;
  return chosen ?? (typeof target === 'string' ? target : JSON.stringify(target));
}

/** A text, or the choices with their log-likelihoods, the most likely first. */
function answerText({ answers, choices }: ItemResult): string {
  if (typeof answers[0] === 'string') return answers.join('\n');
  const scores = (answers as { loglikelihood: number }[]).map(({ loglikelihood }) => loglikelihood);
  if (!choices) return scores.map((score) => score.toFixed(3)).join(', ');
  return choices
    .map((choice, i) => [choice, scores[i]!] as const)
    .sort((a, b) => b[1] - a[1])
    .map(([choice, score]) => `${score.toFixed(3)}  ${choice}`)
    .join('\n');
}

const cut = (text: string) => (text.length > CUT ? `… ${text.slice(-CUT)}` : text);

function table(head: readonly Bilingual[], rows: Insertable): Html {
  const cells = head.map((name) => html`<th scope="col">${both(name)}</th>`);
  return html`<div class="scroll"><table><thead><tr>${cells}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

function metricName(metric: Pick<MetricResult, 'metric' | 'filter' | 'higherIsBetter'>): string {
  const name = metric.filter === 'none' ? metric.metric : `${metric.metric} (${metric.filter})`;
  return `${name} ${metric.higherIsBetter ? '↑' : '↓'}`;
}

function intervalOf({ value, standardError }: MetricResult): string {
  if (standardError === null) return '';
  return `${number(value - 1.96 * standardError)} – ${number(value + 1.96 * standardError)}`;
}

function number(value: number): string {
  return Math.abs(value) >= 1e5 ? value.toExponential(3) : value.toFixed(4).replace('-', '−');
}

const signed = (value: number) => `${value < 0 ? '−' : '+'}${number(Math.abs(value))}`;
