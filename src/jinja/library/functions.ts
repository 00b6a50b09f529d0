import { type Budget, MAX_ITEMS } from '../budget.ts';
import { BudgetExceeded, JinjaError, NotSupported, Raised } from '../errors.ts';
import { integer, itemsOf, lengthOf, textOf } from '../python.ts';
import { EMPTY, Text } from '../text.ts';
import {
  Callable,
  Dict,
  type Given,
  List,
  Namespace,
  Range,
  Thing,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from '../values.ts';
import { bind, positional } from './args.ts';

/** The functions that every template has. `strftime` implements `strftime_now`. */
export function globals(strftime: (format: string) => string): ReadonlyMap<string, Value> {
  const functions: Readonly<Record<string, (given: Given, budget: Budget) => Value>> = {
    range,
    dict: (given, budget) => dictOf('dict', given, budget),
    namespace: (given, budget) => {
      const namespace = new Namespace();
      for (const [key, value] of dictOf('namespace', given, budget).entries()) {
        if (key instanceof Text) namespace.attributes.set(key.value, value);
      }
      return namespace;
    },
    cycler: (given) => new Cycler(positional('cycler', given, 1, 1000)),
    joiner: (given, budget) => {
      const [separator = new Text(', ')] = bind('joiner', given, ['sep']);
      let used = false;
      return new Callable('joiner', () => {
        const text = used ? textOf(separator, budget) : EMPTY;
        used = true;
        return text;
      });
    },
    lipsum: () => {
      throw new NotSupported('lipsum');
    },
    raise_exception: (given, budget) => {
      const [message] = bind('raise_exception', given, ['message'], 1);
      throw new Raised(textOf(message!, budget).value);
    },
    strftime_now: (given, budget) => {
      const [format] = bind('strftime_now', given, ['format'], 1);
      if (!(format instanceof Text)) throw new JinjaError('strftime_now needs a text');
      budget.spend(20);
      budget.spendText(12 * format.value.length);
      return new Text(strftime(format.value));
    },
  };
  return new Map(Object.entries(functions).map(([name, call]) => [name, new Callable(name, call)]));
}

function range(given: Given, budget: Budget): Range {
  const bounds = positional('range', given, 1, 3).map((bound) => BigInt(integer(bound, 'a bound of range')));
  const [start, stop, step = 1n] = bounds.length === 1 ? [0n, bounds[0]!] : bounds;
  if (step === 0n) throw new JinjaError('range() arg 3 must not be zero');
  const span = step > 0n ? stop! - start! : start! - stop!;
  const stride = step > 0n ? step : -step;
  const length = span <= 0n ? 0n : (span + stride - 1n) / stride;
  // The bound of Jinja2's sandbox.
  if (length > BigInt(MAX_ITEMS)) throw new BudgetExceeded(`makes a list of over ${MAX_ITEMS} items`);
  budget.spend(1);
  return new Range(start!, step, Number(length), stop!);
}

function dictOf(callee: string, { args, kwargs }: Given, budget: Budget): Dict {
  if (args.length > 1) throw new JinjaError(`${callee} takes one mapping`);
  const dict = new Dict();
  const [source] = args;
  if (source instanceof Dict) {
    budget.spendItems(source.size);
    for (const [key, value] of source.entries()) dict.set(key, value);
  } else if (source !== undefined) {
    for (const pair of itemsOf(source, budget)) {
      const two = itemsOf(pair, budget);
      if (two.length !== 2) throw new JinjaError(`${callee}: a pair has ${lengthOf(new List(two))} items`);
      dict.set(two[0]!, two[1]!);
    }
  }
  for (const [name, value] of kwargs) dict.set(new Text(name), value);
  return dict;
}

class Cycler extends Thing {
  readonly typeName = 'Cycler';
  #at = 0;

  constructor(readonly items: readonly Value[]) {
    super();
  }

  attribute(name: string): Value | undefined {
    switch (name) {
      case 'current':
        return this.items[this.#at]!;
      case 'pos':
        return BigInt(this.#at);
      case 'items':
        return new Tuple(this.items);
      case 'next':
        return new Callable('next', () => {
          const item = this.items[this.#at]!;
          this.#at = (this.#at + 1) % this.items.length;
          return item;
        });
      case 'reset':
        return new Callable('reset', () => {
          this.#at = 0;
          return null;
        });
      default:
        return undefined;
    }
  }
}

/** The arguments that `*` and `**` in a call pass. */
export function spread(value: Value, budget: Budget): readonly Value[] {
  if (value instanceof Undefined) value.use();
  if (value instanceof Undefined) return [];
  return itemsOf(value, budget);
}

/** The names and values of `**value`. */
export function spreadNamed(value: Value): [string, Value][] {
  if (!(value instanceof Dict)) throw new JinjaError(`** needs a mapping, not ${typeName(value)}`);
  return [...value.entries()].map(([key, one]) => {
    if (!(key instanceof Text)) throw new JinjaError('keywords must be strings');
    return [key.value, one];
  });
}
