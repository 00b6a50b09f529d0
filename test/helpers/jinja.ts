import { Budget } from '../../src/jinja/budget.ts';
import { JinjaError, NotSupported } from '../../src/jinja/errors.ts';
import { run } from '../../src/jinja/interpreter.ts';
import { globals } from '../../src/jinja/library/functions.ts';
import { parse } from '../../src/jinja/parsing/parser.ts';
import { Text } from '../../src/jinja/text.ts';
import { Dict, List, type Value } from '../../src/jinja/values.ts';

/** What test/reference/make_jinja.py writes. */
export interface JinjaReference {
  readonly variables: Readonly<Record<string, unknown>>;
  readonly programs: readonly JinjaProgram[];
}

export interface JinjaProgram {
  readonly source: string;
  /** Undefined where Jinja2 fails. */
  readonly text?: string;
  readonly error?: string;
}

/** Whether a program gives Jinja2's text, or fails as there; is refused by name; or differs. */
export type Verdict = 'same' | 'refused' | 'different';

export function checkProgram(
  { source, text }: JinjaProgram,
  variables: Readonly<Record<string, unknown>>,
): { verdict: Verdict; ours: string } {
  let ours: string;
  try {
    ours = renderProgram(source, variables);
  } catch (error) {
    if (!(error instanceof JinjaError)) return { verdict: 'different', ours: String(error) };
    if (error instanceof NotSupported) return { verdict: 'refused', ours: error.message };
    return { verdict: text === undefined ? 'same' : 'different', ours: `fails: ${error.message}` };
  }
  return { verdict: ours === text ? 'same' : 'different', ours };
}

export function renderProgram(source: string, variables: Readonly<Record<string, unknown>>): string {
  const given = new Map<string, Value>(globals(() => ''));
  for (const [name, value] of Object.entries(variables)) given.set(name, templateValue(value));
  return run(parse(source), given, new Budget(1000, 10)).value;
}

function templateValue(value: unknown): Value {
  if (typeof value === 'string') return new Text(value);
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return new List(value.map(templateValue));
  if (typeof value !== 'object' || value === null) return value as boolean | null;
  const dict = new Dict();
  for (const [key, one] of Object.entries(value)) dict.set(new Text(key), templateValue(one));
  return dict;
}
