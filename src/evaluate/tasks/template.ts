import { RopewalkError } from '../../errors.ts';
import { Budget } from '../../jinja/budget.ts';
import { BudgetExceeded, NotSupported } from '../../jinja/errors.ts';
import { run } from '../../jinja/interpreter.ts';
import { bind } from '../../jinja/library/args.ts';
import type { Filter } from '../../jinja/library/filters.ts';
import { globals } from '../../jinja/library/functions.ts';
import type { Program } from '../../jinja/parsing/nodes.ts';
import { parse } from '../../jinja/parsing/parser.ts';
import { integer, requireText } from '../../jinja/python.ts';
import { Text } from '../../jinja/text.ts';
import { Dict, List, type Value } from '../../jinja/values.ts';
import { PythonRegex } from '../python/regex.ts';
import { type Doc, Float, isList, type PythonValue } from '../python/values.ts';

/** Where a template failed, for messages: the task, the field and the item. */
export interface Place {
  readonly task: string;
  readonly field: string;
  /** From 0; undefined for a whole task. */
  readonly item?: number | undefined;
}

export function placeText({ task, field, item }: Place): string {
  return `task "${task}", field "${field}"${item === undefined ? '' : `, item ${item}`}`;
}

const FILTERS = new Map<string, Filter>([
  [
    'regex_replace',
    (value, given) => {
      const [pattern, replacement, count = 0n] = bind(
        'regex_replace',
        given,
        ['pattern', 'repl', 'count'],
        2,
      );
      const regex = new PythonRegex(requireText(pattern!, 'the pattern').value);
      const fresh = requireText(replacement!, 'the replacement').value;
      const text = requireText(value, 'the text').value;
      return new Text(regex.replace(text, fresh, integer(count, 'the count')));
    },
  ],
  [
    'tojson',
    () => {
      throw new NotSupported('the filter tojson, which escapes for HTML in task files,');
    },
  ],
]);

const NOT_THERE = ['raise_exception', 'strftime_now'];

/**
 * A template of a task: Jinja2 as set up by the harness, with strict undefined values, kept line ends and the filter
 * `regex_replace`. Rendering has a limit on steps and text, since task files are not trusted.
 */
export class TaskTemplate {
  readonly #program: Program;

  /** @throws RopewalkError naming the task and the field, for an invalid template. */
  constructor(source: string, place: Place) {
    try {
      this.#program = parse(source, 'kept');
    } catch (error) {
      const why = error instanceof RangeError ? 'it nests too deeply' : (error as Error).message;
      throw new RopewalkError(`${placeText(place)}: the template is not valid: ${why}`, { cause: error });
    }
  }

  /** @throws RopewalkError naming the task, the field and the item, for a row that the template cannot render. */
  render(doc: Doc, place: Place): string {
    const given = new Map<string, Value>(globals(() => ''));
    for (const name of NOT_THERE) given.delete(name);
    let length = 0;
    const count = (text: string) => {
      length += text.length;
    };
    for (const [name, value] of Object.entries(doc)) given.set(name, templateValue(value, count));
    try {
      return run(this.#program, given, new Budget(length, 0), { strict: true, filters: FILTERS }).value;
    } catch (error) {
      const stopped = error instanceof BudgetExceeded || error instanceof RangeError;
      const why = error instanceof RangeError ? 'grows without bound' : (error as Error).message;
      throw new RopewalkError(
        `${placeText(place)}: the template ${stopped ? `${why} and was stopped` : `fails: ${why.slice(0, 300)}`}; correct the template or leave the item out`,
        { cause: error },
      );
    }
  }
}

function templateValue(value: PythonValue, count: (text: string) => void): Value {
  if (typeof value === 'string') {
    count(value);
    return new Text(value);
  }
  if (value instanceof Float) return value.value;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (value === null || typeof value !== 'object') return value;
  if (isList(value)) return new List(value.map((one) => templateValue(one, count)));
  const dict = new Dict();
  for (const [name, one] of Object.entries(value)) {
    count(name);
    dict.set(new Text(name), templateValue(one as PythonValue, count));
  }
  return dict;
}
