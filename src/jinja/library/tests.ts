import type { Budget } from '../budget.ts';
import { PREDICATES } from '../characters.ts';
import { JinjaError, NotSupported } from '../errors.ts';
import { arithmetic } from '../numbers.ts';
import { compare, contains, equal, isIterable, numeric, textOf } from '../python.ts';
import { Text } from '../text.ts';
import {
  Callable,
  Dict,
  type Given,
  hashKey,
  List,
  Range,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from '../values.ts';
import { bind } from './args.ts';
import { isFilter } from './filters.ts';

type Test = (value: Value, given: Given, budget: Budget) => boolean;

/** Jinja2's test with a name. @throws JinjaError if there is none */
export function testOf(name: string): Test {
  const test = Object.hasOwn(TESTS, name) ? TESTS[name] : undefined;
  if (!test) throw new JinjaError(`there is no test ${name}`);
  return test;
}

const plain =
  (name: string, holds: (value: Value) => boolean): Test =>
  (value, given) => {
    bind(name, given, []);
    return holds(value);
  };

const against =
  (name: string, holds: (value: Value, other: Value, budget: Budget) => boolean): Test =>
  (value, given, budget) => {
    const [other] = bind(name, given, ['other'], 1);
    return holds(value, other!, budget);
  };

const ordered = (name: string, holds: (order: number) => boolean): Test =>
  against(name, (value, other, budget) => holds(compare(value, other, budget)));

const isEqual = against('eq', equal);
const isUnequal = against('ne', (value, other, budget) => !equal(value, other, budget));

/** `value % divisor == remainder`. */
function leaves(value: Value, divisor: Value, remainder: bigint, budget: Budget): boolean {
  if (value instanceof Undefined) value.fail();
  if (divisor instanceof Undefined) divisor.fail();
  const [a, b] = [numeric(value), numeric(divisor)];
  if (a === undefined || b === undefined) {
    if (value instanceof Text) throw new JinjaError('not all arguments converted during string formatting');
    throw new JinjaError(`a ${typeName(value)} has no remainder`);
  }
  return equal(arithmetic('%', a, b, budget), remainder, budget);
}

const cased =
  (name: 'lower' | 'upper'): Test =>
  (value, given, budget) => {
    bind(name, given, []);
    const { value: text } = textOf(value, budget);
    budget.spendText(text.length * 2);
    return PREDICATES[`is${name}`]!(text);
  };

function isSame(value: Value, other: Value): boolean {
  if (value === other) {
    const isOne = value === null || typeof value === 'boolean' || typeof value === 'object';
    if (isOne) return true;
    throw new NotSupported('sameas of numbers');
  }
  if (value instanceof Text && other instanceof Text && value.value === other.value) {
    throw new NotSupported('sameas of texts');
  }
  return false;
}

const isSequence = (value: Value) =>
  value instanceof Text ||
  value instanceof List ||
  value instanceof Tuple ||
  value instanceof Dict ||
  value instanceof Range ||
  value instanceof Undefined;

const TESTS: Readonly<Record<string, Test>> = {
  defined: plain('defined', (value) => !(value instanceof Undefined)),
  undefined: plain('undefined', (value) => value instanceof Undefined),
  none: plain('none', (value) => value === null),
  boolean: plain('boolean', (value) => typeof value === 'boolean'),
  true: plain('true', (value) => value === true),
  false: plain('false', (value) => value === false),
  integer: plain('integer', (value) => typeof value === 'bigint'),
  float: plain('float', (value) => typeof value === 'number'),
  number: plain('number', (value) => numeric(value) !== undefined),
  string: plain('string', (value) => value instanceof Text),
  mapping: plain('mapping', (value) => value instanceof Dict),
  sequence: plain('sequence', isSequence),
  iterable: plain('iterable', isIterable),
  callable: plain('callable', (value) => {
    if (value instanceof Callable || value instanceof Undefined) return true;
    return typeof value === 'object' && value !== null && ['LoopContext', 'Joiner'].includes(typeName(value));
  }),
  escaped: plain('escaped', (value) => value instanceof Text && value.markup),
  lower: cased('lower'),
  upper: cased('upper'),
  odd: (value, given, budget) => {
    bind('odd', given, []);
    return leaves(value, 2n, 1n, budget);
  },
  even: (value, given, budget) => {
    bind('even', given, []);
    return leaves(value, 2n, 0n, budget);
  },
  divisibleby: (value, given, budget) => {
    const [divisor] = bind('divisibleby', given, ['num'], 1);
    return leaves(value, divisor!, 0n, budget);
  },
  sameas: against('sameas', isSame),
  in: (value, given, budget) => {
    const [container] = bind('in', given, ['seq'], 1);
    return contains(container!, value, budget);
  },
  filter: plain('filter', (value) => hashKey(value) !== '' && value instanceof Text && isFilter(value.value)),
  test: plain(
    'test',
    (value) => hashKey(value) !== '' && value instanceof Text && Object.hasOwn(TESTS, value.value),
  ),
  '==': isEqual,
  eq: isEqual,
  equalto: isEqual,
  '!=': isUnequal,
  ne: isUnequal,
  ...Object.fromEntries(
    (
      [
        [['>', 'gt', 'greaterthan'], (order) => order > 0],
        [['>=', 'ge'], (order) => order >= 0],
        [['<', 'lt', 'lessthan'], (order) => order < 0],
        [['<=', 'le'], (order) => order <= 0],
      ] as [string[], (order: number) => boolean][]
    ).flatMap(([names, holds]) => names.map((name) => [name, ordered(name, holds)])),
  ),
};
