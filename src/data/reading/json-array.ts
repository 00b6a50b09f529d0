import { RopewalkError } from '../../errors.ts';
import { type DataRow, jsonRow, MOST_ROW_LENGTH, tooLong } from './rows.ts';

const WHITE = /^[ \t\r\n\ufeff]$/;

/**
 * Rows of a JSON text that is one array of objects, one at a time: the text is never parsed as a whole.
 *
 * @param chunks pieces of the text, cut anywhere.
 * @param options.firstLine the line number on which the text begins. Default 1.
 * @param options.isWithin whether the array is inside an object, so that more may follow it. Default false.
 * @throws RopewalkError naming the line, if the text is not an array or ends within it.
 */
export async function* jsonArray(
  chunks: AsyncIterable<string>,
  file: string,
  { firstLine = 1, isWithin = false } = {},
): AsyncGenerator<DataRow> {
  const scanner = new ArrayScanner(file, firstLine, isWithin);
  for await (const chunk of chunks) yield* scanner.push(chunk);
  scanner.end();
}

/** Finds the elements of an array by its brackets, commas and strings. */
class ArrayScanner {
  #line: number;
  /** Open brackets: 1 within the array, more within an element. */
  #depth = 0;
  #inString = false;
  #escaped = false;
  /** The current element, and the line where it begins; 0 before it has begun. */
  #text = '';
  #firstLine = 0;
  #state: 'before' | 'within' | 'after' = 'before';
  /** Whether an element must follow: after a comma. */
  #expected = false;
  readonly #file: string;

  readonly #isWithin: boolean;

  constructor(file: string, firstLine: number, isWithin: boolean) {
    this.#file = file;
    this.#line = firstLine;
    this.#isWithin = isWithin;
  }

  *push(chunk: string): Generator<DataRow> {
    let from = 0;
    for (let i = 0; i < chunk.length; i++) {
      const character = chunk[i]!;
      if (character === '\n') this.#line++;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (character === '\\') this.#escaped = true;
        else if (character === '"') this.#inString = false;
        continue;
      }
      if (this.#state !== 'within') {
        if (WHITE.test(character)) continue;
        if (this.#state === 'after' && this.#isWithin) return;
        if (this.#state === 'after') throw this.#wrong('has more after the array');
        if (character !== '[') throw this.#wrong('does not begin with [: it is not an array of rows');
        this.#state = 'within';
        this.#depth = 1;
        from = i + 1;
        continue;
      }
      const ends = this.#depth === 1 && (character === ',' || character === ']');
      if (ends) {
        yield* this.#element(this.#text + chunk.slice(from, i), character);
        from = i + 1;
        continue;
      }
      if (this.#firstLine === 0 && !WHITE.test(character)) this.#firstLine = this.#line;
      if (character === '"') this.#inString = true;
      else if (character === '{' || character === '[') this.#depth++;
      else if (character === '}' || character === ']') this.#depth--;
      if (this.#depth === 0) throw this.#wrong(`has an unmatched ${character}`);
    }
    if (this.#state === 'within') this.#text += chunk.slice(from);
    if (this.#text.length > MOST_ROW_LENGTH) throw tooLong(`${this.#file}:${this.#firstLine || this.#line}`);
  }

  end(): void {
    if (this.#state === 'after') return;
    throw this.#wrong(
      this.#state === 'before' ? 'is empty: an array of rows is missing' : 'ends within the array',
    );
  }

  *#element(text: string, ending: string): Generator<DataRow> {
    const line = this.#firstLine || this.#line;
    this.#text = '';
    this.#firstLine = 0;
    if (text.trim() === '') {
      if (ending === ',' || this.#expected) throw this.#wrong('has a comma without a row');
    } else {
      yield jsonRow(text, `${this.#file}:${line}`);
    }
    this.#expected = ending === ',';
    if (ending === ']') this.#state = 'after';
  }

  #wrong(what: string): RopewalkError {
    return new RopewalkError(
      `${this.#file}:${this.#line}: the file ${what}; give a JSON array of objects, or JSONL`,
    );
  }
}
