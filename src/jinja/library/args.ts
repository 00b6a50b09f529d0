import { JinjaError } from '../errors.ts';
import type { Given, Value } from '../values.ts';

/**
 * Binds the arguments of a call to its parameters, as in Python.
 *
 * @param required the number of required parameters
 * @throws JinjaError for excess, duplicate, unknown or missing arguments
 */
export function bind(
  callee: string,
  { args, kwargs }: Given,
  parameters: readonly string[],
  required = 0,
): (Value | undefined)[] {
  if (args.length > parameters.length) {
    throw new JinjaError(`${callee} takes at most ${parameters.length} arguments, but has ${args.length}`);
  }
  const bound: (Value | undefined)[] = parameters.map((_, i) => args[i]);
  for (const [name, value] of kwargs) {
    const place = parameters.indexOf(name);
    if (place < 0) throw new JinjaError(`${callee} has no parameter ${name}`);
    if (bound[place] !== undefined) throw new JinjaError(`${callee} has ${name} twice`);
    bound[place] = value;
  }
  const missing = bound.findIndex((value, i) => i < required && value === undefined);
  if (missing >= 0) throw new JinjaError(`${callee} needs the argument ${parameters[missing]}`);
  return bound;
}

/** The arguments of a function that only takes positional ones. */
export function positional(callee: string, given: Given, least: number, most: number): readonly Value[] {
  if (given.kwargs.size > 0) throw new JinjaError(`${callee} takes no arguments by name`);
  const { length } = given.args;
  if (length < least || length > most) throw new JinjaError(`${callee} has ${length} arguments`);
  return given.args;
}
