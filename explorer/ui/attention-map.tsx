import { useEffect, useRef, useState } from 'preact/hooks';
import type { ShownToken } from '../worker/protocol.ts';
import { type Colors, useColors } from './colors.ts';
import { percentText, visibleText } from './token-text.ts';

/** One head's attention over a text. */
export interface HeadAttention {
  /** `[tokens, tokens]`, a row for each token that looks. */
  readonly probabilities: Float32Array;
  readonly count: number;
  readonly window: number | null;
}

/** Cells of the attention matrix, `size` pixels each; what lies beyond a window is hatched. */
function paint(
  context: CanvasRenderingContext2D,
  { probabilities, count, window }: HeadAttention,
  size: number,
  colors: Colors,
): void {
  context.clearRect(0, 0, count * size, count * size);
  if (window !== null && window < count) {
    context.fillStyle = hatch(context, colors.line);
    context.beginPath();
    context.moveTo(0, window * size);
    for (let row = window; row < count; row++) {
      context.lineTo((row - window + 1) * size, row * size);
      context.lineTo((row - window + 1) * size, (row + 1) * size);
    }
    context.lineTo(0, count * size);
    context.fill();
  }
  context.fillStyle = colors.accent;
  for (let row = 0; row < count; row++) {
    for (let column = 0; column <= row; column++) {
      const share = probabilities[row * count + column]!;
      if (share < 0.002) continue;
      // The square root shows small shares too.
      context.globalAlpha = Math.sqrt(share);
      context.fillRect(column * size, row * size, size, size);
    }
  }
  context.globalAlpha = 1;
}

function hatch(context: CanvasRenderingContext2D, color: string): CanvasPattern | string {
  const tile = document.createElement('canvas');
  tile.width = tile.height = 6;
  const lines = tile.getContext('2d')!;
  lines.strokeStyle = color;
  lines.lineWidth = 1;
  lines.beginPath();
  for (const at of [-3, 0, 3]) {
    lines.moveTo(at, 6);
    lines.lineTo(at + 6, 0);
  }
  lines.stroke();
  return context.createPattern(tile, 'repeat') ?? color;
}

/** A small picture of a head. */
export function HeadThumbnail({ attention }: { attention: HeadAttention }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const colors = useColors();
  const size = Math.max(1, Math.floor(160 / attention.count));
  const side = attention.count * size;
  useEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (context) paint(context, attention, size, colors);
  }, [attention, size, colors]);
  // biome-ignore lint/a11y/noAriaHiddenOnFocusable: a canvas takes no focus
  return <canvas ref={canvas} width={side} height={side} aria-hidden="true" />;
}

interface AttentionMapProps {
  readonly attention: HeadAttention;
  readonly tokens: readonly ShownToken[];
  /** The row that is marked. */
  readonly position: number;
  readonly label: string;
  readonly outside: string;
  readonly future: string;
  onChoose(row: number): void;
}

/** One head in full: a row can be chosen, and what the pointer is on is said below. */
export function AttentionMap(props: AttentionMapProps) {
  const { attention, tokens, position, label, outside, future, onChoose } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const colors = useColors();
  const [pointed, setPointed] = useState<{ row: number; column: number }>();
  const { count, window, probabilities } = attention;
  const size = Math.max(3, Math.floor(960 / count));
  useEffect(() => {
    const context = canvas.current?.getContext('2d');
    if (!context) return;
    paint(context, attention, size, colors);
    context.strokeStyle = colors.ink;
    context.lineWidth = Math.max(1.5, size / 8);
    context.strokeRect(1, position * size, (position + 1) * size - 1, size);
  }, [attention, size, colors, position]);
  const place = (event: MouseEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    const at = (offset: number, length: number) =>
      Math.min(count - 1, Math.max(0, Math.floor((offset / length) * count)));
    return { row: at(event.clientY - box.top, box.height), column: at(event.clientX - box.left, box.width) };
  };
  const { row, column } = pointed ?? { row: position, column: position };
  const share = probabilities[row * count + column]!;
  const beyond = window !== null && column <= row - window;
  const value = column > row ? future : beyond ? outside : percentText(share);
  return (
    <figure class="attention-map">
      <canvas
        ref={canvas}
        width={count * size}
        height={count * size}
        role="img"
        aria-label={label}
        onMouseMove={(event) => setPointed(place(event))}
        onMouseLeave={() => setPointed(undefined)}
        onClick={(event) => onChoose(place(event).row)}
      />
      <figcaption>
        <code>{visibleText(tokens[row]?.text ?? '')}</code> →{' '}
        <code>{visibleText(tokens[column]?.text ?? '')}</code>
        {': '}
        <strong>{value}</strong>
      </figcaption>
    </figure>
  );
}
