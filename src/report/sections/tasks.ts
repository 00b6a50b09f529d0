import { type Bilingual, both, html } from '../html.ts';
import { paragraph, type Section } from './section.ts';

/** A metric of a task before and after training, over the same items. */
export interface TaskChange {
  readonly task: string;
  readonly metric: string;
  /** The pipeline of filters that it was taken after; `none` where there is none. */
  readonly filter: string;
  readonly higherIsBetter: boolean;
  readonly before: number;
  readonly after: number;
  readonly difference: number;
  /** 95 % confidence interval of the difference. */
  readonly interval: readonly [number, number] | null;
  /** Of a paired test. */
  readonly p: number | null;
  /** Numbers of items. */
  readonly won: number;
  readonly lost: number;
  readonly items: number;
}

/** What training changed in tasks, item by item. */
export function taskSection(tasks: readonly TaskChange[]): Section {
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
  const rows = tasks.map((one) => {
    const { before, after, difference, interval, p } = changeTexts(one);
    const cells = [
      before,
      after,
      interval ? `${difference} [${interval}]` : difference,
      p,
      one.won,
      one.lost,
    ];
    return html`<tr><th scope="row">${one.task}</th><td>${changeName(one)}</td>${cells.map((cell) => html`<td class="number">${cell}</td>`)}</tr>`;
  });
  return {
    id: 'tasks',
    title: { en: 'Tasks before and after', ko: '학습 전과 후의 과제' },
    content: [
      html`<div class="scroll"><table><thead><tr>${head.map((name) => html`<th scope="col">${both(name)}</th>`)}</tr></thead><tbody>${rows}</tbody></table></div>`,
      paragraph(
        {
          en: 'The same items before training and with the result. p: how likely a difference this large is if the models were equally good (McNemar’s exact test for right and wrong, else a permutation test). forgetting_english and forgetting_korean are general texts: a higher value after training says what it cost elsewhere.',
          ko: '학습 전과 결과 모델이 같은 문항에 답했습니다. p: 두 모델의 실력이 같을 때 이만한 차이가 날 확률(맞고 틀림은 맥니마 정확 검정, 그 밖은 순열 검정). forgetting_english와 forgetting_korean은 일반적인 글입니다. 학습 뒤 값이 커졌다면 그만큼 다른 곳에서 잃은 것입니다.',
        },
        'notes',
      ),
    ],
  };
}

/** A metric's name with its filter, and an arrow to what is better. */
export function changeName({ metric, filter, higherIsBetter }: TaskChange): string {
  return `${filter === 'none' ? metric : `${metric} (${filter})`} ${higherIsBetter ? '↑' : '↓'}`;
}

/** The numbers of a change for reading. */
export function changeTexts({ before, after, difference, interval, p }: TaskChange) {
  return {
    before: before.toFixed(4),
    after: after.toFixed(4),
    difference: signed(difference),
    interval: interval ? interval.map(signed).join(', ') : '',
    p: p === null ? '' : p < 0.001 ? '< 0.001' : p.toFixed(3),
  };
}

const signed = (value: number) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(4)}`;
