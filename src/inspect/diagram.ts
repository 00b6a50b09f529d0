import { type Block, type Slot, slots } from './blocks.ts';
import { sizeName } from './format.ts';
import type { Bilingual, Locale } from './labels.ts';
import { partsOf } from './model-parts.ts';
import type { NamedModel } from './named-model.ts';
import { escapeXml, textWidth, wrapText } from './svg-text.ts';

type BlockState = 'same' | 'added' | 'changed' | 'removed';

/** Boxes have their own background, and lines are mid-gray, so that the diagram is readable on light and dark pages. */
const COLORS: Readonly<Record<BlockState, { readonly fill: string; readonly stroke: string }>> = {
  same: { fill: '#eef1f5', stroke: '#8a93a0' },
  added: { fill: '#d5f2dd', stroke: '#1a7f37' },
  changed: { fill: '#ffe9b8', stroke: '#a65f00' },
  removed: { fill: '#f8f9fb', stroke: '#8a93a0' },
};
const INK = '#1c2128';
const GHOST_INK = '#5d6673';
const LINE = '#808892';

const COLUMN = 236;
const COLUMN_GAP = 26;
const MARGIN = 14;
/** Room to the left of a column for the residual line. */
const RAIL = 26;
const RIGHT = 10;
const ROW_GAP = 16;
const PADDING = 7;
/** Bold letters are wider than the estimate for regular ones. */
const TITLE = { size: 13, line: 17, width: 14.6 };
const DETAIL = { size: 11, line: 14, width: 11.4 };
const HEADING = 46;
const SUM = 18;

const words = {
  title: { en: 'Block diagrams', ko: '블록 다이어그램' },
  layers: { en: '× # layers', ko: '× #개 층' },
  beside: { en: 'Compared with the column to its left:', ko: '왼쪽 열과 비교:' },
  added: { en: 'added', ko: '추가' },
  changed: { en: 'changed', ko: '변경' },
  removed: { en: 'removed', ko: '없어짐' },
  same: { en: 'same except for sizes', ko: '수치 외 같음' },
} as const satisfies Record<string, Bilingual>;

interface Cell {
  readonly state: BlockState;
  readonly titles: readonly string[];
  readonly details: readonly string[];
}

interface Row {
  readonly slot: Slot;
  readonly y: number;
  readonly height: number;
  readonly cells: readonly (Cell | undefined)[];
}

export interface DiagramOptions {
  /**
   * If set, every box is a button with `data-slot` and `data-model` (its column) for a page that explains it; this box
   * is pressed. Null presses none.
   */
  readonly chosen?: ChosenBlock | null;
}

export interface ChosenBlock {
  /** Name of a place of `slots`. */
  readonly slot: string;
  readonly model: number;
}

/**
 * Block diagrams of several models side by side, as one self-contained SVG. The same place has the same role in each,
 * so that what a model added, changed or removed compared with its left neighbor is visible at a glance.
 */
export function blockDiagram(
  models: readonly NamedModel[],
  locale: Locale,
  { chosen }: DiagramOptions = {},
): string {
  const width = 2 * MARGIN + models.length * COLUMN + (models.length - 1) * COLUMN_GAP;
  const rows = layOut(models, locale);
  const last = rows.at(-1)!;
  const legendTop = last.y + last.height + 22;
  const parts = models.flatMap((model, i) => column(model, i, rows, locale, chosen));
  const legend = drawLegend(width, legendTop, locale);
  const height = legend.bottom + MARGIN;
  const name = `${words.title[locale]}: ${models.map((model) => model.name).join(', ')}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="${chosen === undefined ? 'img' : 'group'}" lang="${locale}" font-family="system-ui, 'Noto Sans', 'Noto Sans CJK KR', 'Malgun Gothic', sans-serif">`,
    `<title>${escapeXml(name)}</title>`,
    ...parts,
    ...legend.parts,
    '</svg>',
  ].join('\n');
}

function layOut(models: readonly NamedModel[], locale: Locale): Row[] {
  const rows: Row[] = [];
  let y = MARGIN + HEADING + ROW_GAP;
  let wasInLayer = false;
  for (const slot of slots) {
    const blocks = models.map((model) => slot.block(model));
    if (!slot.sum && blocks.every((block) => block === undefined)) continue;
    // The layer's frame has its own margin.
    if (slot.inLayer !== wasInLayer) y += slot.inLayer ? 24 : 14;
    wasInLayer = slot.inLayer;
    const cells = blocks.map((block, i) => cellOf(block, i === 0 ? block : blocks[i - 1], locale));
    const height = slot.sum ? SUM : Math.max(...cells.map((cell) => (cell ? cellHeight(cell) : 0)));
    rows.push({ slot, y, height, cells });
    y += height + ROW_GAP;
  }
  return rows;
}

function cellOf(block: Block | undefined, before: Block | undefined, locale: Locale): Cell | undefined {
  if (!block && !before) return undefined;
  const { title, details } = (block ?? before)!;
  const room = COLUMN - RAIL - RIGHT - 2 * PADDING;
  const lines = (text: Bilingual, width: number) => wrapText(text[locale], room / width);
  return {
    state: !block ? 'removed' : !before ? 'added' : block.sort === before.sort ? 'same' : 'changed',
    titles: lines(title, TITLE.width),
    details: block ? details.flatMap((detail) => lines(detail, DETAIL.width)) : [],
  };
}

function cellHeight({ titles, details }: Cell): number {
  return titles.length * TITLE.line + details.length * DETAIL.line + 2 * PADDING;
}

function column(
  model: NamedModel,
  index: number,
  rows: readonly Row[],
  locale: Locale,
  chosen: DiagramOptions['chosen'],
): string[] {
  const x = MARGIN + index * (COLUMN + COLUMN_GAP);
  const center = x + RAIL + (COLUMN - RAIL - RIGHT) / 2;
  const lines: string[] = [];
  const boxes: string[] = [];
  // Where the data flow is when it reaches a row: below the last box, through places that this model leaves empty.
  let from: number | undefined;
  let entry: number | undefined;
  for (const { slot, y, height, cells } of rows) {
    const cell = cells[index];
    if (cell) {
      const place = { slot: slot.name, model: index };
      const drawn = box(cell, x, y, height);
      boxes.push(...(chosen === undefined ? drawn : button(drawn, cell, place, chosen)));
    }
    if (!slot.sum && (!cell || cell.state === 'removed')) continue;
    if (from !== undefined) lines.push(arrow(center, from, y));
    if (slot.inLayer && entry === undefined) entry = y - ROW_GAP + 4;
    if (slot.sum) {
      boxes.push(sumSign(center, y));
      lines.push(residual(x + RAIL / 2, center, entry!, y + SUM / 2));
      entry = y + SUM + 5;
    }
    from = y + height;
  }
  return [...heading(model, x), ...frame(model, x, rows, locale), ...lines, ...boxes];
}

/** The sublayer's input bypasses it and is added again. */
function residual(rail: number, center: number, top: number, bottom: number): string {
  const end = center - SUM / 2;
  return [
    `<path d="M${center} ${top}H${rail}V${bottom}H${end}" fill="none" stroke="${LINE}" stroke-width="1.5"/>`,
    `<path d="M${end} ${bottom}l-7 -4v8z" fill="${LINE}"/>`,
  ].join('');
}

function sumSign(center: number, y: number): string {
  const middle = y + SUM / 2;
  const arm = SUM / 2 - 4;
  return [
    `<circle cx="${center}" cy="${middle}" r="${SUM / 2}" fill="#ffffff" stroke="${LINE}" stroke-width="1.5"/>`,
    `<path d="M${center - arm} ${middle}h${2 * arm}M${center} ${middle - arm}v${2 * arm}" stroke="${INK}" stroke-width="1.5"/>`,
  ].join('');
}

function arrow(x: number, from: number, to: number): string {
  return `<path d="M${x} ${from}V${to - 6}" stroke="${LINE}" stroke-width="1.5"/><path d="M${x} ${to}l-4 -7h8z" fill="${LINE}"/>`;
}

function heading(model: NamedModel, x: number): string[] {
  const size = sizeName(model.model.parameterCount());
  const [first] = wrapText(model.name, (COLUMN - 20) / 15);
  const name = first === model.name ? first : `${first}…`;
  const below = [
    model.family.title,
    model.preset !== undefined && model.preset !== model.name ? model.preset : '',
    size,
  ];
  return [
    `<rect x="${x}" y="${MARGIN}" width="${COLUMN}" height="${HEADING}" rx="6" fill="#2f3d52"/>`,
    text(x + COLUMN / 2, MARGIN + 19, name, 15, '#ffffff', 600),
    text(x + COLUMN / 2, MARGIN + 37, below.filter(Boolean).join(' · '), 12, '#dbe3ee'),
  ];
}

/** The repeated layer: a frame around its boxes, and the number of repetitions. */
function frame(model: NamedModel, x: number, rows: readonly Row[], locale: Locale): string[] {
  const inside = rows.filter(({ slot }) => slot.inLayer);
  const top = inside[0]!.y - 20;
  const bottom = inside.at(-1)!.y + inside.at(-1)!.height + 10;
  const label = words.layers[locale].replace('#', String(partsOf(model.model).attentions.length));
  return [
    `<rect x="${x}" y="${top}" width="${COLUMN}" height="${bottom - top}" rx="8" fill="none" stroke="${LINE}" stroke-width="1.5"/>`,
    `<rect x="${x + COLUMN - 92}" y="${top - 10}" width="84" height="20" rx="10" fill="#2f3d52"/>`,
    text(x + COLUMN - 50, top + 4, label, 12, '#ffffff'),
  ];
}

function box({ state, titles, details }: Cell, x: number, y: number, height: number): string[] {
  const { fill, stroke } = COLORS[state];
  const left = x + RAIL;
  const width = COLUMN - RAIL - RIGHT;
  const ghost = state === 'removed';
  const dash = ghost ? ' stroke-dasharray="4 4"' : '';
  const strong = state === 'same' || ghost ? 1 : 2;
  const center = left + width / 2;
  const parts = [
    `<rect x="${left}" y="${y}" width="${width}" height="${height}" rx="5" fill="${fill}" stroke="${stroke}" stroke-width="${strong}"${dash}/>`,
  ];
  const content = titles.length * TITLE.line + details.length * DETAIL.line;
  let baseline = y + (height - content) / 2;
  for (const line of titles) {
    parts.push(
      ghost
        ? text(center, baseline + 13, line, TITLE.size, GHOST_INK, 400, ' text-decoration="line-through"')
        : text(center, baseline + 13, line, TITLE.size, INK, 600),
    );
    baseline += TITLE.line;
  }
  for (const line of details) {
    parts.push(text(center, baseline + 11, line, DETAIL.size, INK));
    baseline += DETAIL.line;
  }
  return parts;
}

/** A box that can be chosen by pointer and keyboard. */
function button(
  drawn: readonly string[],
  { state }: Cell,
  { slot, model }: ChosenBlock,
  chosen: ChosenBlock | null,
): readonly string[] {
  if (state === 'removed') return drawn;
  const pressed = chosen?.slot === slot && chosen.model === model;
  return [
    `<g role="button" tabindex="0" aria-pressed="${pressed}" data-slot="${escapeXml(slot)}" data-model="${model}">`,
    ...drawn,
    '</g>',
  ];
}

function text(
  x: number,
  y: number,
  content: string,
  size: number,
  fill: string,
  weight = 400,
  more = '',
): string {
  return `<text x="${x}" y="${y}" text-anchor="middle" font-size="${size}" font-weight="${weight}" fill="${fill}"${more}>${escapeXml(content)}</text>`;
}

/** The legend of colors, on as many lines as the width requires. */
function drawLegend(width: number, top: number, locale: Locale): { parts: string[]; bottom: number } {
  const states: readonly BlockState[] = ['same', 'changed', 'added', 'removed'];
  const entries = states.map((state) => {
    const label = words[state][locale];
    return { state, label, width: textWidth(label) * 12.6 + 24 };
  });
  const parts: string[] = [];
  const intro = words.beside[locale];
  let x = MARGIN + 10 + textWidth(intro) * 13.6 + 14;
  let y = top + 9;
  const introParts = (bottom: number) => [
    `<rect x="${MARGIN}" y="${top}" width="${width - 2 * MARGIN}" height="${bottom - top}" rx="6" fill="#ffffff" stroke="${LINE}"/>`,
    text(MARGIN + 10, top + 20, intro, 12, INK, 600, ' style="text-anchor:start"'),
  ];
  for (const { state, label, width: size } of entries) {
    if (x + size > width - MARGIN - 8) {
      x = MARGIN + 10;
      y += 22;
    }
    const { fill, stroke } = COLORS[state];
    const dash = state === 'removed' ? ' stroke-dasharray="4 4"' : '';
    parts.push(
      `<rect x="${x}" y="${y}" width="16" height="13" rx="3" fill="${fill}" stroke="${stroke}" stroke-width="1.5"${dash}/>`,
      text(x + 22, y + 11, label, 12, INK, 400, ' style="text-anchor:start"'),
    );
    x += size + 14;
  }
  const bottom = y + 22;
  return { parts: [...introParts(bottom), ...parts], bottom };
}
