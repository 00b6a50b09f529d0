import { RopewalkError } from '../../errors.ts';
import { LiteralError, literal } from '../python/literal.ts';
import { isDigits } from '../python/text.ts';
import { type Doc, isList, type PythonValue } from '../python/values.ts';
import type { TaskConfig, Wording } from './config.ts';
import { type Place, placeText, TaskTemplate } from './template.ts';

/** The texts of a row: the question, the right answer and the choices. */
export class TaskFields {
  readonly #templates = new Map<string, TaskTemplate>();

  /** @param columns of the items' rows: a field whose value is the name of a column has that column's value. */
  constructor(
    readonly config: TaskConfig,
    readonly columns: ReadonlySet<string>,
  ) {}

  /** @returns a text; or the number of the right choice, if the choices are questions with a common answer. */
  text(doc: Doc, item: number, { docToText }: Wording = this.config.wording): PythonValue {
    const place = this.#place('doc_to_text', item);
    if (typeof docToText === 'number') return docToText;
    const value = this.#value(doc, docToText!, place);
    return typeof value === 'string' ? this.#numbered(value, docToText!) : value;
  }

  target(doc: Doc, item: number, { docToTarget }: Wording = this.config.wording): PythonValue {
    const place = this.#place('doc_to_target', item);
    if (typeof docToTarget !== 'string') return docToTarget as number | readonly string[];
    const value = this.#value(doc, docToTarget, place);
    if (typeof value !== 'string' || this.columns.has(docToTarget)) return value;
    const number = this.#numbered(value, docToTarget);
    if (typeof number === 'number' || !(value.startsWith('[') && value.endsWith(']') && value.length > 1))
      return number;
    try {
      return literal(value);
    } catch (error) {
      if (error instanceof LiteralError) return value;
      throw error;
    }
  }

  /** Undefined if the task has no choices. */
  choices(
    doc: Doc,
    item: number,
    { docToChoice }: Wording = this.config.wording,
  ): readonly string[] | undefined {
    const place = this.#place('doc_to_choice', item);
    if (docToChoice === undefined || typeof docToChoice !== 'string') return docToChoice;
    let value = this.#value(doc, docToChoice, place);
    if (typeof value === 'string' && !this.columns.has(docToChoice)) {
      try {
        value = literal(value);
      } catch (error) {
        if (!(error instanceof LiteralError)) throw error;
        throw new RopewalkError(
          `${placeText(place)}: the template must give a Python list, but gives ${error.message}`,
          { cause: error },
        );
      }
    }
    if (isList(value) && value.length > 0 && value.every((one) => typeof one === 'string'))
      return value as string[];
    throw new RopewalkError(
      `${placeText(place)}: the choices must be a list of texts, but are ${JSON.stringify(value)?.slice(0, 80)}`,
    );
  }

  prefix(doc: Doc, item: number, { genPrefix }: Wording = this.config.wording): string | undefined {
    return genPrefix === undefined ? undefined : this.plain(doc, 'gen_prefix', genPrefix, item);
  }

  description(doc: Doc, item: number): string {
    const { description } = this.config;
    return description === '' ? '' : this.plain(doc, 'description', description, item);
  }

  /** A field that must be a text: the column of that name, or a template. */
  plain(doc: Doc, field: string, source: string, item: number): string {
    const place = this.#place(field, item);
    const value = Object.hasOwn(doc, source)
      ? doc[source]!
      : this.#template(source, place).render(doc, place);
    if (typeof value === 'string') return value;
    throw new RopewalkError(`${placeText(place)}: the column "${source}" must be a text`);
  }

  #value(doc: Doc, source: string, place: Place): PythonValue {
    if (!this.columns.has(source)) return this.#template(source, place).render(doc, place);
    const value = doc[source];
    if (value === undefined)
      throw new RopewalkError(`${placeText(place)}: the row has no column "${source}"`);
    return value;
  }

  /** If there are choices, digits from a template are the number of a choice. */
  #numbered(value: string, source: string): string | number {
    if (this.columns.has(source) || this.config.wording.docToChoice === undefined) return value;
    return isDigits(value) && !/^0+[1-9]/.test(value) ? Number(value) : value;
  }

  #template(source: string, place: Place): TaskTemplate {
    let template = this.#templates.get(source);
    if (!template) {
      template = new TaskTemplate(source, place);
      this.#templates.set(source, template);
    }
    return template;
  }

  #place(field: string, item: number): Place {
    return { task: this.config.name, field, item };
  }
}
