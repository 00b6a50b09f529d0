import type { Row } from '../inspect/compare.ts';
import { bytes, whole } from '../inspect/format.ts';
import type { Locale } from '../inspect/labels.ts';
import { type Html, html } from '../report/html.ts';
import { drawAxes, drawPoints, extent, frame } from '../report/plot.ts';
import { linearScale } from '../report/scale.ts';
import type { AblationResult } from './ablate.ts';
import type { Interval } from './interval.ts';

/** An ablation as a table and as a picture. */

const words = {
  change: { en: 'Change', ko: '변경' },
  loss: { en: 'Held-out loss', ko: '검증 손실' },
  gain: { en: 'Beside the rung above', ko: '위 단계와의 차이' },
  speed: { en: 'Tokens/s in training', ko: '학습 속도 (토큰/초)' },
  cache: { en: 'Cache, float32', ko: '캐시, float32' },
  parameters: { en: 'Parameters', ko: '파라미터' },
} as const;

function intervalText({ mean, margin }: Interval, signed = false): string {
  const text = `${signed && mean > 0 ? '+' : ''}${mean.toFixed(3)}`.replace('-', '−');
  return margin === null ? text : `${text} ± ${margin.toFixed(3)}`;
}

/** Columns of the table, and a row for each rung. */
export function ablationRows({ rungs }: AblationResult, locale: Locale): { models: string[]; rows: Row[] } {
  const columns = (['loss', 'gain', 'speed', 'cache', 'parameters'] as const).map(
    (key) => words[key][locale],
  );
  const rows = rungs.map(({ name, change, loss, gain, tokensPerSecond, cacheBytes, parameters }) => {
    const cells = [
      intervalText(loss),
      gain ? intervalText(gain, true) : '',
      whole(tokensPerSecond),
      bytes(cacheBytes),
      whole(parameters),
    ];
    return {
      feature: change ?? name,
      values: Object.fromEntries(columns.map((column, i) => [column, cells[i]!])),
    };
  });
  return { models: columns, rows };
}

const ROW = 30;

/** Losses with their intervals, a row for each rung. */
export function drawAblation({ rungs }: AblationResult): { area: ReturnType<typeof frame>; content: Html } {
  const area = frame(820, 70 + ROW * rungs.length, { left: 250, top: 16 });
  const { x, y } = extent(area);
  const ends = rungs.flatMap(({ loss: { mean, margin } }) => [mean - (margin ?? 0), mean + (margin ?? 0)]);
  const pad = 0.1 * (Math.max(...ends) - Math.min(...ends) || 0.1);
  const axes = {
    x: linearScale(Math.min(...ends) - pad, Math.max(...ends) + pad, ...x, 7),
    y: linearScale(-0.5, rungs.length - 0.5, y[1], y[0], rungs.length),
    xLabel: { en: 'held-out loss, nats per token', ko: '검증 손실 (토큰당 nats)' },
    yLabel: { en: '', ko: '' },
    yTick: () => '',
  };
  const at = (value: number) => Number(value.toFixed(2));
  const rows = rungs.map(({ name, change, loss: { mean, margin } }, i) => {
    const line = at(axes.y(i));
    const whisker =
      margin === null
        ? null
        : html`<line x1="${at(axes.x(mean - margin))}" x2="${at(axes.x(mean + margin))}" y1="${line}" y2="${line}" stroke="#0a6b6b" stroke-width="2.5"/>`;
    const label = short(change ?? name);
    return html`<text class="tick" x="${area.left - 10}" y="${line + 4}" text-anchor="end">${label}</text>${whisker}`;
  });
  const points = rungs.map(({ loss }, i) => [loss.mean, i] as const);
  return { area, content: html`${drawAxes(area, axes)}${rows}${drawPoints(points, axes, '#0a6b6b')}` };
}

const LONGEST_LABEL = 36;
const short = (text: string) => (text.length > LONGEST_LABEL ? `${text.slice(0, LONGEST_LABEL - 1)}…` : text);
