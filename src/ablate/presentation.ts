import type { Row } from '../inspect/compare.ts';
import { bytes, whole } from '../inspect/format.ts';
import type { Bilingual, Locale } from '../inspect/labels.ts';
import type { Interval } from './interval.ts';
import type { AblationResult } from './result.ts';

/* An ablation as a table. */

const columns = {
  loss: { en: 'Held-out loss', ko: '검증 손실' },
  lossChange: { en: 'Change in loss', ko: '손실 변화' },
  speed: { en: 'Tokens/s in training', ko: '학습 속도 (토큰/초)' },
  speedChange: { en: 'Change in speed', ko: '속도 변화' },
  cache: { en: 'Cache, float32', ko: '캐시, float32' },
  parameters: { en: 'Parameters', ko: '파라미터' },
} as const satisfies Record<string, Bilingual>;

const minus = (text: string) => text.replace('-', '−');
const signed = (value: number, digits: number) => `${value > 0 ? '+' : ''}${minus(value.toFixed(digits))}`;
const lossText = (value: number) => minus(value.toFixed(3));
const lossChangeText = (value: number) => signed(value, 3);
const percentText = (value: number) => `${signed(100 * value, 1)} %`;

function intervalText({ mean, margin }: Interval, text: (value: number) => string): string {
  return margin === null ? text(mean) : `${text(mean)} ± ${text(margin).replace('+', '')}`;
}

/** The label of a row: the change, or the model itself. */
export function labelOf({ rungs, rest }: AblationResult, index: number): string {
  const { name, change } = rungs[index]!;
  if (rest.length > 0 && index === rungs.length - 1) return `${name} *`;
  return change ?? name;
}

/** The columns of the table, and a row for each model. */
export function ablationRows(result: AblationResult, locale: Locale): { models: string[]; rows: Row[] } {
  const { rungs } = result;
  const models = Object.values(columns).map((column) => column[locale]);
  const rows = rungs.map((rung, i) => {
    const above = rungs[i - 1];
    const cells = [
      intervalText(rung.loss, lossText),
      rung.lossChange ? intervalText(rung.lossChange, lossChangeText) : '',
      intervalText(rung.tokensPerSecond, whole),
      rung.speedChange ? intervalText(rung.speedChange, percentText) : '',
      `${bytes(rung.cacheBytes)}${above && above.cacheBytes !== rung.cacheBytes ? ` (${percentText(rung.cacheBytes / above.cacheBytes - 1)})` : ''}`,
      whole(rung.parameters),
    ];
    return {
      feature: labelOf(result, i),
      values: Object.fromEntries(models.map((column, i) => [column, cells[i]!])),
    };
  });
  return { models, rows };
}

/** Notes below the table. */
export function ablationNotes({ settings, rungs, rest }: AblationResult, locale: Locale): string[] {
  const seeds = settings.seeds.length;
  const last = rungs.at(-1)!.name;
  const notes: Bilingual[] = [
    seeds > 1
      ? {
          en: `±: 95 % confidence interval over ${seeds} seeds (Student's t). Changes are measured against the row above, seed by seed.`,
          ko: `±: 시드 ${seeds}개의 95 % 신뢰 구간 (스튜던트 t). 변화는 바로 위 행과 시드별로 비교한 값입니다.`,
        }
      : {
          en: 'One seed has no confidence interval. Changes are measured against the row above.',
          ko: '시드가 하나라서 신뢰 구간이 없습니다. 변화는 바로 위 행과 비교한 값입니다.',
        },
  ];
  if (rest.length > 0) {
    notes.push({
      en: `* The last step, to ${last}, changes at once what cannot be exchanged alone: ${rest.join(', ')}.`,
      ko: `* ${last}(으)로 가는 마지막 단계는 따로 바꿀 수 없는 것을 한꺼번에 바꿉니다: ${rest.join(', ')}.`,
    });
  }
  return notes.map((note) => note[locale]);
}
