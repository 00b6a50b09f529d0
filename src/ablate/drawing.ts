import { whole } from '../inspect/format.ts';
import { type Bilingual, type Locale, same } from '../inspect/labels.ts';
import { bothSvg, Html, html } from '../report/html.ts';
import { drawAxes, drawPoints, extent, type Frame, frame, svg } from '../report/plot.ts';
import { linearScale } from '../report/scale.ts';
import type { Interval } from './interval.ts';
import { labelOf } from './presentation.ts';
import type { AblationResult, RungResult } from './result.ts';

/* An ablation as a picture. */

/** The measure that a panel shows for each model. */
export type Measure = 'loss' | 'speed' | 'cache';
export const MEASURES: readonly Measure[] = ['loss', 'speed', 'cache'];

interface MeasureRecord {
  readonly label: Bilingual;
  value(rung: RungResult): Interval;
  /** Drawn as bars from zero, for measures whose ratio matters. */
  readonly bars: boolean;
}

const KIB = 1024;
const measures: Readonly<Record<Measure, MeasureRecord>> = {
  loss: {
    label: { en: 'held-out loss, nats per token', ko: '검증 손실 (토큰당 nats)' },
    value: ({ loss }) => loss,
    bars: false,
  },
  speed: {
    label: { en: 'tokens/s in training', ko: '학습 속도 (토큰/초)' },
    value: ({ tokensPerSecond }) => tokensPerSecond,
    bars: true,
  },
  cache: {
    label: { en: 'cache in float32, KiB', ko: '캐시, float32 (KiB)' },
    value: ({ cacheBytes }) => ({ mean: cacheBytes / KIB, margin: null }),
    bars: true,
  },
};

const ROW = 30;
const GAP = 44;

export interface AblationDrawing {
  readonly width: number;
  /** Space left of the panels, for the names of the rows. */
  readonly margin: number;
  readonly color: string;
  readonly ticks: number;
}

const WIDE: AblationDrawing = { width: 1100, margin: 240, color: '#0a6b6b', ticks: 4 };

/** The measures side by side, with their intervals, and a row for each model. */
export function drawAblation(
  result: AblationResult,
  shown: readonly Measure[] = MEASURES,
  drawing: AblationDrawing = WIDE,
): { area: Frame; content: Html } {
  const { width, margin } = drawing;
  const height = 62 + ROW * result.rungs.length;
  const share = (width - margin) / shown.length;
  const panels = shown.map((measure, i) => {
    const left = margin + i * share;
    return drawPanel(
      result.rungs,
      measures[measure],
      frame(width, height, { left, right: width - left - share + GAP, top: 10 }),
      drawing,
    );
  });
  const area = frame(width, height, { left: margin, top: 10 });
  const y = rowScale(result.rungs.length, area);
  const characters = Math.floor((margin - 16) / 6.4);
  const names = result.rungs.map((_, i) => {
    const label = same(shortened(labelOf(result, i), characters));
    return bothSvg(label, 'tick', html`x="${margin - 10}" y="${at(y(i)) + 4}" text-anchor="end"`);
  });
  return { area, content: html`${names}${panels}` };
}

const tick = (value: number) => (Math.abs(value) >= 100 ? whole(value) : String(value));
const at = (value: number) => Number(value.toFixed(2));

function rowScale(rows: number, area: Frame) {
  const { y } = extent(area);
  return linearScale(-0.5, rows - 0.5, y[1], y[0], rows);
}

function drawPanel(
  rungs: readonly RungResult[],
  { label, value, bars }: MeasureRecord,
  area: Frame,
  { color, ticks }: AblationDrawing,
): Html {
  const { x } = extent(area);
  const values = rungs.map(value);
  const ends = values.flatMap(({ mean, margin }) => [mean - (margin ?? 0), mean + (margin ?? 0)]);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const pad = 0.08 * (high - low) || 0.1 * Math.abs(high) || 1;
  const axes = {
    x: linearScale(bars ? 0 : low - pad, high + pad, ...x, ticks),
    y: rowScale(rungs.length, area),
    ...{ xLabel: label, yLabel: same(''), yTick: () => '', xTick: tick },
  };
  const marks = values.map(({ mean, margin }, i) => {
    const row = at(axes.y(i));
    const bar = bars
      ? html`<rect x="${at(axes.x(0))}" y="${row - 6}" width="${at(Math.max(0, axes.x(mean) - axes.x(0)))}" height="12" fill="${color}" fill-opacity="0.3"/>`
      : null;
    if (margin === null) return bar;
    const [from, to] = [mean - margin, mean + margin].map((end) =>
      at(axes.x(Math.max(end, axes.x.domain[0]))),
    );
    return html`${bar}<line x1="${from!}" x2="${to!}" y1="${row}" y2="${row}" stroke="${color}" stroke-width="2.5"/>`;
  });
  const points = values.map(({ mean }, i) => [mean, i] as const);
  return html`${drawAxes(area, axes)}${marks}${drawPoints(points, axes, color)}`;
}

function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

const STYLE = `svg{font-family:system-ui,sans-serif;background:#fff}text{fill:#111827}.tick{font-size:12px;fill:#4b5563}.label{font-size:13px}.grid{stroke:#e5e7eb}.axis{stroke:#6b7280}`;

/** The picture as a standalone SVG file. */
export function ablationSvg(result: AblationResult, locale: Locale): string {
  const { area, content } = drawAblation(result);
  const { from, to } = result.settings;
  const hidden = locale === 'en' ? 'ko' : 'en';
  const head = html`<title id="title">${from} → ${to}</title><style>${new Html(`${STYLE}.${hidden}{display:none}`)}</style>`;
  return svg(area, 'title', html`${head}${content}`).markup.replace(
    '<svg ',
    '<svg xmlns="http://www.w3.org/2000/svg" ',
  );
}
