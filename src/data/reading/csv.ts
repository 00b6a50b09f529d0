import { RopewalkError } from '../../errors.ts';
import { type DataRow, MOST_ROW_LENGTH, tooLong } from './rows.ts';

/**
 * Rows of a CSV text (RFC 4180): the first record names the columns; fields in quotes may hold separators, line breaks
 * and doubled quotes. Lines end in LF or CRLF. Empty lines are passed over. Values are texts.
 *
 * @param chunks pieces of the text, cut anywhere.
 * @param separator between fields, `,` or a tab.
 * @throws RopewalkError naming the line: for a name given twice, and a quote that is not closed.
 */
export async function* csvRows(
  chunks: AsyncIterable<string>,
  file: string,
  separator = ',',
): AsyncGenerator<DataRow> {
  let columns: readonly string[] | undefined;
  for await (const { fields, line, problem } of records(chunks, file, separator)) {
    const where = `${file}:${line}`;
    if (!columns) {
      if (problem) throw new RopewalkError(`${where}: ${problem}`);
      columns = fields;
      const twice = columns.find((name, i) => columns!.indexOf(name) !== i);
      if (twice !== undefined) {
        throw new RopewalkError(`${where}: two columns are called ${JSON.stringify(twice)}; rename one`);
      }
    } else if (problem !== undefined) {
      yield { where, problem };
    } else if (fields.length !== columns.length) {
      yield {
        where,
        problem: `${fields.length} fields where the first line names ${columns.length} columns; put texts with "${separator}" or line breaks in quotes`,
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

async function* records(
  chunks: AsyncIterable<string>,
  file: string,
  separator: string,
): AsyncGenerator<Record> {
  const reader = new RecordReader(file, separator);
  for await (const chunk of chunks) yield* reader.push(chunk);
  yield* reader.end();
}

/** Gathers fields character by character, so that a piece of text may end anywhere. */
class RecordReader {
  #line = 1;
  #firstLine = 1;
  #fields: string[] = [];
  #field = '';
  #length = 0;
  /** Plain: no quote so far. Quoted: within quotes. Closed: after a quote, which ends the quotes or is doubled. */
  #state: 'plain' | 'quoted' | 'closed' = 'plain';
  #problem: string | undefined;

  constructor(
    private readonly file: string,
    private readonly separator: string,
  ) {}

  *push(chunk: string): Generator<Record> {
    const special = this.separator === '\t' ? /["\t\r\n]/g : /[",\r\n]/g;
    let at = 0;
    while (at < chunk.length) {
      special.lastIndex = at;
      const next = special.exec(chunk)?.index ?? chunk.length;
      if (next > at) this.#append(chunk.slice(at, next));
      if (next < chunk.length) yield* this.#special(chunk[next]!);
      at = next + 1;
    }
    if (this.#length > MOST_ROW_LENGTH) throw tooLong(`${this.file}:${this.#firstLine}`);
  }

  *end(): Generator<Record> {
    if (this.#state === 'quoted') {
      throw new RopewalkError(
        `${this.file}:${this.#firstLine}: the row that begins here has a quote that is never closed; write " within quotes as ""`,
      );
    }
    if (this.#fields.length > 0 || this.#field !== '' || this.#state === 'closed') yield* this.#finish();
  }

  #append(text: string): void {
    if (this.#state === 'closed')
      this.#problem ??= 'text after the closing quote of a field; write " within quotes as ""';
    this.#field += text;
    this.#length += text.length;
  }

  *#special(character: string): Generator<Record> {
    if (character === '\n') this.#line++;
    if (this.#state === 'quoted') {
      if (character === '"') this.#state = 'closed';
      else this.#append(character);
    } else if (character === '"') {
      if (this.#state === 'closed') {
        this.#state = 'quoted';
        this.#field += '"';
      } else if (this.#field === '') {
        this.#state = 'quoted';
      } else {
        // Within an unquoted field, a quote is what it looks like.
        this.#append(character);
      }
    } else if (character === this.separator) {
      this.#endField();
    } else if (character === '\n') {
      yield* this.#finish();
    } else if (this.#state === 'plain') {
      this.#append(character);
    }
  }

  #endField(): void {
    this.#fields.push(this.#field);
    this.#field = '';
    this.#state = 'plain';
  }

  *#finish(): Generator<Record> {
    // The CR of CRLF; after quotes it was left out already.
    if (this.#state === 'plain' && this.#field.endsWith('\r')) this.#field = this.#field.slice(0, -1);
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
