import { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/** What a terminal writes around pasted text if requested (xterm's "bracketed paste mode"). */
const START = '\x1b[200~';
const END = '\x1b[201~';
export const BRACKETED_PASTE = { on: '\x1b[?2004h', off: '\x1b[?2004l' } as const;

/** U+2060, the word joiner, which has no width: marks characters that the line editor would act on. */
const MARK = '\u2060';
const NEWLINE = '␊';
const ENDS_OF_LINES = ['\n', '\u2028', '\u2029'] as const;

/**
 * Typed and pasted input for a line editor: line breaks in pasted text do not send the line, and a slash at the
 * beginning of a paste does not start a command. The editor shows a line break as ␊; {@link unmarked} restores the
 * text.
 *
 * A mark is a number of {@link MARK} after ␊ (1 to 3: the kind of line end) or / (1: pasted). A MARK in the text
 * itself becomes four of them, so that every text is restored exactly. Other control characters in a paste are
 * removed, because an editor would treat them as keys.
 */
export class PasteInput extends Readable {
  readonly isTTY: boolean;
  readonly #source: NodeJS.ReadableStream;
  readonly #decoder = new StringDecoder('utf8');
  #pasting = false;
  #begins = false;
  #rest = '';

  constructor(source: NodeJS.ReadableStream) {
    super({ encoding: 'utf8' });
    this.#source = source;
    this.isTTY = (source as NodeJS.ReadStream).isTTY === true;
    source.on('data', (chunk: Buffer | string) => {
      const text = typeof chunk === 'string' ? chunk : this.#decoder.write(chunk);
      const taken = this.#take(this.#rest + text);
      if (taken !== '') this.push(taken);
    });
    source.on('end', () => this.push(null));
    source.pause();
  }

  override _read(): void {}

  /** The terminal's keys reach the editor only while it reads. */
  override pause(): this {
    this.#source.pause();
    return super.pause();
  }

  override resume(): this {
    this.#source.resume();
    return super.resume();
  }

  setRawMode(raw: boolean): this {
    (this.#source as NodeJS.ReadStream).setRawMode?.(raw);
    return this;
  }

  #take(text: string): string {
    let result = '';
    let at = 0;
    for (;;) {
      const border = this.#pasting ? END : START;
      const next = text.indexOf(border, at);
      const end = next < 0 ? text.length - beginningOf(border, text, at) : next;
      const piece = text.slice(at, end);
      result += this.#pasting ? this.#pasted(piece) : marked(piece);
      if (next < 0) {
        this.#rest = text.slice(end);
        return result;
      }
      this.#pasting = !this.#pasting;
      this.#begins = this.#pasting;
      at = next + border.length;
    }
  }

  #pasted(piece: string): string {
    if (piece === '') return '';
    const slash = this.#begins && piece.startsWith('/');
    this.#begins = false;
    const text = marked(slash ? piece.slice(1) : piece).replace(/\r\n?/g, '\n');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is left out
    const kept = text.replace(/[\x00-\x08\x0b-\x1f\x7f]/g, '').replaceAll('\n', `${NEWLINE}${MARK}`);
    return slash ? `/${MARK}${kept}` : kept;
  }
}

/** How many characters at the end of a text may be the beginning of a marker; a single escape is a key. */
function beginningOf(border: string, text: string, from: number): number {
  for (let length = Math.min(border.length - 1, text.length - from); length > 1; length--) {
    if (text.endsWith(border.slice(0, length))) return length;
  }
  return 0;
}

/** Marks separators so that the line editor does not split at them, and escapes the text's own marks. */
function marked(text: string): string {
  return text
    .replaceAll(MARK, MARK.repeat(4))
    .replace(/[\u2028\u2029]/g, (end) => NEWLINE + MARK.repeat(1 + ENDS_OF_LINES.indexOf(end as '\n')));
}

/** The text of an editor line, and whether its first slash was typed. */
export function unmarked(line: string): { readonly text: string; readonly isCommand: boolean } {
  const text = line.replace(/([␊/]?)(\u2060+)/g, (_, before: string, marks: string) => {
    const own = MARK.repeat(Math.floor(marks.length / 4));
    const kind = marks.length % 4;
    return (before === NEWLINE && kind > 0 ? ENDS_OF_LINES[kind - 1]! : before) + own;
  });
  const [, marks] = /^\/(\u2060*)/.exec(line) ?? [];
  return { text, isCommand: marks !== undefined && marks.length % 4 !== 1 };
}
