import pc from 'picocolors';
import { printable } from './printable.ts';
import { prints } from './silence.ts';

/** A readable duration: 42s, 3m 05s, 2h 10m. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${String(whole % 60).padStart(2, '0')}s`;
  return `${Math.floor(whole / 3600)}h ${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')}m`;
}

/**
 * One line on stderr with the progress of long work: redrawn in place on a terminal, printed now and then elsewhere.
 * stdout stays free for results.
 */
export class Progress {
  #lastPrinted = 0;
  #shown = false;

  readonly #stream: NodeJS.WriteStream;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  /** @param done of `total`, which is infinite if unknown; `text` is shown after it. */
  update(label: string, done: number, total: number, text: string): void {
    if (!prints()) return;
    const now = Date.now();
    const finished = done >= total;
    const interval = this.#stream.isTTY ? 80 : 5000;
    if (!finished && now - this.#lastPrinted < interval) return;
    this.#lastPrinted = now;
    const known = Number.isFinite(total);
    const share = total > 0 ? Math.min(1, done / total) : 1;
    if (this.#stream.isTTY) {
      const width = 24;
      const filled = Math.round(share * width);
      const bar = pc.cyan('━'.repeat(filled)) + pc.dim('━'.repeat(width - filled));
      const line = known ? `${bar} ${String(Math.floor(share * 100)).padStart(3)}%  ${text}` : text;
      this.#stream.write(`\r\x1b[2K${label} ${line}`);
      this.#shown = true;
    } else {
      this.#stream.write(`${label} ${known ? `${Math.floor(share * 100)}%  ` : ''}${text}\n`);
    }
  }

  /** Ends the line, so that the next output is below it. */
  end(): void {
    if (this.#shown) this.#stream.write('\n');
    this.#shown = false;
  }

  /** A line that stays on screen. */
  note(text: string): void {
    if (!prints()) return;
    if (this.#shown) this.#stream.write('\r\x1b[2K');
    this.#shown = false;
    this.#stream.write(`${printable(text)}\n`);
  }
}

/** Shows the progress of reading and tokenizing data files. */
export function showReading(progress: Progress) {
  return ({ rows, tokens, share }: { rows: number; tokens: number; share: number }): void => {
    const n = (value: number) => value.toLocaleString('en');
    // The last piece may be read long before its last row is tokenized.
    progress.update('reading', Math.min(share, 0.999), 1, `${n(rows)} rows, ${n(tokens)} tokens`);
  };
}
