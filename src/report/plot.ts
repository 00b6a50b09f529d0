import { type Bilingual, bothSvg, type Html, html, same } from './html.ts';
import { type Scale, tickText } from './scale.ts';

/** The position of the axes within a picture of `width` × `height`. */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

export function frame(width: number, height: number, margins: Partial<Frame> = {}): Frame {
  return { width, height, left: 58, right: 16, top: 14, bottom: 44, ...margins };
}

/** The ends of the axes, for making scales. */
export function extent({ width, height, left, right, top, bottom }: Frame) {
  return { x: [left, width - right], y: [height - bottom, top] } as const;
}

export interface Axes {
  readonly x: Scale;
  readonly y: Scale;
  readonly xLabel: Bilingual;
  readonly yLabel: Bilingual;
  readonly xTick?: (value: number) => string;
  readonly yTick?: (value: number) => string;
}

const round = (value: number) => Number(value.toFixed(2));

/** Grid, ticks and labels. */
export function drawAxes(area: Frame, axes: Axes): Html {
  const { x, y, xLabel, yLabel, xTick = tickText, yTick = tickText } = axes;
  const {
    x: [left, right],
    y: [bottom, top],
  } = extent(area);
  const rows = y.ticks.map((value) => {
    const at = round(y(value));
    return html`<line class="grid" x1="${left}" y1="${at}" x2="${right}" y2="${at}"/><text class="tick" x="${left - 7}" y="${at + 4}" text-anchor="end">${yTick(value)}</text>`;
  });
  const columns = x.ticks.map((value) => {
    const at = round(x(value));
    return html`<line class="axis" x1="${at}" y1="${bottom}" x2="${at}" y2="${bottom + 4}"/><text class="tick" x="${at}" y="${bottom + 18}" text-anchor="middle">${xTick(value)}</text>`;
  });
  const middle = round((top + bottom) / 2);
  return html`${rows}<line class="axis" x1="${left}" y1="${bottom}" x2="${right}" y2="${bottom}"/>${columns}
${bothSvg(xLabel, 'label', html`x="${round((left + right) / 2)}" y="${area.height - 6}" text-anchor="middle"`)}
${bothSvg(yLabel, 'label', html`transform="translate(13 ${middle}) rotate(-90)" text-anchor="middle"`)}`;
}

export interface LineStyle {
  readonly color: string;
  readonly width?: number;
  readonly dash?: string;
  readonly opacity?: number;
}

/** A line through points; points that cannot be drawn (NaN, or beyond the axes) interrupt it. */
export function drawLine(points: readonly (readonly [number, number])[], axes: Axes, style: LineStyle): Html {
  let path = '';
  let pen = 'M';
  const [low, high] = axes.y.domain;
  for (const [px, py] of points) {
    if (!(Number.isFinite(py) && py >= low && py <= high)) {
      pen = 'M';
      continue;
    }
    path += `${pen}${round(axes.x(px))} ${round(axes.y(py))}`;
    pen = 'L';
  }
  const { color, width = 2, dash, opacity } = style;
  return html`<path d="${path}" fill="none" stroke="${color}" stroke-width="${width}" stroke-linejoin="round"${dash ? html` stroke-dasharray="${dash}"` : ''}${opacity ? html` stroke-opacity="${opacity}"` : ''}/>`;
}

export function drawPoints(points: readonly (readonly [number, number])[], axes: Axes, color: string): Html {
  const [low, high] = axes.y.domain;
  return html`${points
    .filter(([, py]) => py >= low && py <= high)
    .map(
      ([px, py]) =>
        html`<circle cx="${round(axes.x(px))}" cy="${round(axes.y(py))}" r="3.6" fill="#fff" stroke="${color}" stroke-width="2"/>`,
    )}`;
}

/** Bars from the axis up, one for each equal part of [from, to]. */
export function drawBars(
  { from, to, heights }: { readonly from: number; readonly to: number; readonly heights: readonly number[] },
  axes: Axes,
  color: string,
): Html {
  const step = (to - from) / heights.length;
  const base = axes.y(axes.y.domain[0]);
  const bars = heights.map((height, i) => {
    if (height <= axes.y.domain[0]) return null;
    const left = axes.x(from + i * step);
    const width = axes.x(from + (i + 1) * step) - left;
    const top = axes.y(height);
    return html`<rect x="${round(left)}" y="${round(top)}" width="${round(Math.max(0.4, width - 0.4))}" height="${round(base - top)}"/>`;
  });
  return html`<g fill="${color}">${bars}</g>`;
}

/** A horizontal level across the picture with its name above it. */
export function drawLevel(value: number, name: Bilingual, area: Frame, axes: Axes): Html {
  const {
    x: [left, right],
  } = extent(area);
  const at = round(axes.y(value));
  return html`<line x1="${left}" y1="${at}" x2="${right}" y2="${at}" stroke="#374151" stroke-width="1.5" stroke-dasharray="6 4"/>${bothSvg(name, 'tick strong', html`x="${right}" y="${at - 5}" text-anchor="end"`)}`;
}

/** @param labeledBy id of the caption that describes the picture. */
export function svg(area: Pick<Frame, 'width' | 'height'>, labeledBy: string, content: Html): Html {
  return html`<svg class="plot" viewBox="0 0 ${area.width} ${area.height}" role="img" aria-labelledby="${labeledBy}" preserveAspectRatio="xMidYMid meet">${content}</svg>`;
}

export interface LegendEntry extends LineStyle {
  readonly name: Bilingual | string;
}

/** A legend of names and line styles above a picture. */
export function legend(entries: readonly LegendEntry[]): Html {
  const items = entries.map(({ name, color, dash, width = 2.5 }) => {
    const text = typeof name === 'string' ? same(name) : name;
    return html`<li><svg viewBox="0 0 28 10" width="28" height="10" aria-hidden="true"><line x1="1" y1="5" x2="27" y2="5" stroke="${color}" stroke-width="${width}"${dash ? html` stroke-dasharray="${dash}"` : ''}/></svg><span class="en" lang="en">${text.en}</span><span class="ko" lang="ko">${text.ko}</span></li>`;
  });
  return html`<ul class="legend">${items}</ul>`;
}
