import { RopewalkError } from '../../errors.ts';
import { type DataRow, MOST_ROW_LENGTH, tooLong } from './rows.ts';

/**
 * Rows of a CSV text (RFC 4180): the first record names the columns; fields in quotes may hold separators, line
 * breaks and doubled quotes. Lines end in LF, CRLF or CR, also mixed. Empty lines are skipped. Values are strings.
 *
 * @param chunks pieces of the text, cut anywhere.
 * @param separator between fields; by default a comma, or if the first line has none, the most frequent of `;`, tab
 *   and `|`.
 * @throws RopewalkError naming the line, for a duplicate column name and an unclosed quote.
 */
export async function* csvRows(
  chunks: AsyncIterable<string>,
  file: string,
  separator?: string,
): AsyncGenerator<DataRow> {
  let columns: readonly string[] | undefined;
  const reader = new RecordReader(file, separator);
  for await (const { fields, line, problem } of records(chunks, reader)) {
    const where = `${file}:${line}`;
    if (!columns) {
      if (problem) throw new RopewalkError(`${where}: ${problem}`);
      columns = fields;
      const twice = columns.find((name, i) => columns!.indexOf(name) !== i);
      if (twice !== undefined) {
        throw new RopewalkError(`${where}: two columns are named ${JSON.stringify(twice)}; rename one`);
      }
    } else if (problem !== undefined) {
      yield { where, problem };
    } else if (fields.length !== columns.length) {
      yield {
        where,
        problem: `${fields.length} fields, but the first line names ${columns.length} columns; put texts with "${reader.separator}" or line breaks in quotes`,
      };
    } else {
      yield { where, values: Object.fromEntries(columns.map((name, i) => [name, fields[i]!])) };
    }
  }
}

interface Record {
  readonly fields: readonly string[];
  /** The line where it begins, from 1. */
  readonly line: number;
  readonly problem?: string;
}

async function* records(chunks: AsyncIterable<string>, reader: RecordReader): AsyncGenerator<Record> {
  for await (const chunk of chunks) yield* reader.push(chunk);
  yield* reader.end();
}

/** Separators that the first line may use, in order of preference when equally frequent. A comma always wins. */
const SEPARATORS = [',', ';', '\t', '|'] as const;

/** Finds the separator of a CSV text from its first line, ignoring text in quotes. */
class SeparatorFinder {
  readonly #counts = new Map<string, number>(SEPARATORS.map((separator) => [separator, 0]));
  #isQuoted = false;
  /** The last character: a quote counts only at the beginning of a field. */
  #before = '\n';

  /** Whether the first line ended within this piece. */
  push(text: string): boolean {
    for (const character of text) {
      const isBreak = character === '\n' || character === '\r';
      if (character === '"') {
        const begins = this.#before === '"' || this.#counts.has(this.#before) || this.#before === '\n';
        if (this.#isQuoted || begins) this.#isQuoted = !this.#isQuoted;
      } else if (!this.#isQuoted) {
        if (isBreak && this.#before !== '\n') return true;
        const count = this.#counts.get(character);
        if (count !== undefined) this.#counts.set(character, count + 1);
      }
      this.#before = isBreak && !this.#isQuoted ? '\n' : character;
    }
    return false;
  }

  get separator(): string {
    const [comma, ...others] = [...this.#counts];
    if (comma![1] > 0) return ',';
    const [name, count] = others.reduce((best, each) => (each[1] > best[1] ? each : best));
    return count > 0 ? name : ',';
  }
}

/** Collects fields character by character, so that a piece of text may end anywhere. */
class RecordReader {
  #line = 1;
  #firstLine = 1;
  #fields: string[] = [];
  #field = '';
  #length = 0;
  /**
   * Plain: no quote so far. Quoted: within quotes. Closed: after a quote, which either ends the quotes or is doubled.
   */
  #state: 'plain' | 'quoted' | 'closed' = 'plain';
  #problem: string | undefined;
  /** Whether the last character was a CR: a following LF ends no further line. */
  #afterReturn = false;
  /** The text so far, until the first line is complete and the separator known. */
  #head = '';
  readonly #finder = new SeparatorFinder();

  readonly #file: string;
  #given: string | undefined;

  constructor(file: string, given: string | undefined) {
    this.#file = file;
    this.#given = given;
  }

  get separator(): string {
    return this.#given ?? ',';
  }

  *push(chunk: string): Generator<Record> {
    if (this.#given === undefined) {
      this.#head += chunk;
      if (this.#head.length > MOST_ROW_LENGTH) throw tooLong(`${this.#file}:1`);
      if (this.#finder.push(chunk)) yield* this.#begin();
      return;
    }
    const special = new RegExp(`["${this.separator === '|' ? '\\|' : this.separator}\r\n]`, 'g');
    let at = 0;
    while (at < chunk.length) {
      special.lastIndex = at;
      const next = special.exec(chunk)?.index ?? chunk.length;
      if (next > at) this.#append(chunk.slice(at, next));
      if (next < chunk.length) yield* this.#special(chunk[next]!);
      at = next + 1;
    }
    if (this.#length > MOST_ROW_LENGTH) throw tooLong(`${this.#file}:${this.#firstLine}`);
  }

  /** Processes the text held back until the first line was known. */
  *#begin(): Generator<Record> {
    this.#given = this.#finder.separator;
    const head = this.#head;
    this.#head = '';
    yield* this.push(head);
  }

  *end(): Generator<Record> {
    if (this.#given === undefined) yield* this.#begin();
    if (this.#state === 'quoted') {
      throw new RopewalkError(
        `${this.#file}:${this.#firstLine}: the row that begins here has a quote that is never closed; write " inside quotes as ""`,
      );
    }
    if (this.#fields.length > 0 || this.#field !== '' || this.#state === 'closed') yield* this.#finish();
  }

  #append(text: string): void {
    this.#afterReturn = false;
    if (this.#state === 'closed')
      this.#problem ??= 'text after the closing quote of a field; write " inside quotes as ""';
    this.#field += text;
    this.#length += text.length;
  }

  *#special(character: string): Generator<Record> {
    const endsReturn = character === '\n' && this.#afterReturn;
    this.#afterReturn = character === '\r';
    const isBreak = character === '\n' || character === '\r';
    if (isBreak && !endsReturn) this.#line++;
    if (this.#state === 'quoted') {
      if (character === '"') this.#state = 'closed';
      else {
        this.#field += character;
        this.#length++;
      }
    } else if (character === '"') {
      if (this.#state === 'closed') {
        this.#state = 'quoted';
        this.#field += '"';
      } else if (this.#field === '') {
        this.#state = 'quoted';
      } else {
        // Within an unquoted field, a quote is an ordinary character.
        this.#append(character);
      }
    } else if (character === this.separator) {
      this.#endField();
    } else if (!endsReturn) {
      yield* this.#finish();
    } else {
      this.#firstLine = this.#line;
    }
  }

  #endField(): void {
    this.#fields.push(this.#field);
    this.#field = '';
    this.#state = 'plain';
  }

  *#finish(): Generator<Record> {
    const isBlank = this.#fields.length === 0 && this.#field === '' && this.#state === 'plain';
    this.#endField();
    const record = { fields: this.#fields, line: this.#firstLine };
    if (!isBlank) yield this.#problem === undefined ? record : { ...record, problem: this.#problem };
    this.#fields = [];
    this.#problem = undefined;
    this.#length = 0;
    this.#firstLine = this.#line;
  }
}
