import { getAttribute, getItem, sliceOf } from './access.ts';
import type { Budget } from './budget.ts';
import { escapeHtml } from './characters.ts';
import { JinjaError } from './errors.ts';
import { type Filter, filterOf, type Tools } from './library/filters.ts';
import { percentFormat } from './library/format.ts';
import { spread, spreadNamed } from './library/functions.ts';
import { testOf } from './library/tests.ts';
import { LoopContext } from './loop.ts';
import { arithmetic } from './numbers.ts';
import type { Arguments, BinaryOperator, CompareOperator, Expression, FilterNode } from './parsing/nodes.ts';
import { compare, contains, equal, integer, numeric, textOf, truthy } from './python.ts';
import type { Scope } from './scope.ts';
import { concat, derived, Text } from './text.ts';
import { repeat } from './text-parts.ts';
import { Callable, Dict, type Given, List, Tuple, typeName, Undefined, type Value } from './values.ts';

/** How a program runs, where it is not as transformers runs chat templates. */
export interface RunOptions {
  /** Whether it is an error to print, compare, test or go through what is undefined, as with Jinja2's StrictUndefined. */
  readonly strict?: boolean;
  /** More filters, and others in place of the usual ones. */
  readonly filters?: ReadonlyMap<string, Filter>;
}

/** Evaluates expressions. */
export class Evaluator {
  readonly tools: Tools;

  constructor(
    readonly budget: Budget,
    { strict = false, filters }: RunOptions = {},
  ) {
    this.tools = {
      budget,
      strict,
      filter: (name, value, given) => (filters?.get(name) ?? filterOf(name))(value, given, this.tools),
      test: (name, value, given) => testOf(name)(value, given, budget),
    };
  }

  evaluate(node: Expression, scope: Scope): Value {
    if (node.type === 'Const') return node.value;
    this.budget.spend(1);
    if (node.type === 'Name') {
      const value = scope.get(node.name);
      return this.#strictly(value === undefined ? new Undefined(`'${node.name}' is undefined`) : value);
    }
    return this.#strictly(this.budget.deeper(() => this.#inner(node, scope)));
  }

  #strictly(value: Value): Value {
    const loose = this.tools.strict && value instanceof Undefined && value.strict === undefined;
    return loose ? new Undefined(value.message, true) : value;
  }

  /** Applies a filter to an evaluated value. */
  filtered(node: FilterNode, text: Value, scope: Scope): Value {
    const operand =
      node.operand === undefined ? text : this.filtered(node.operand as FilterNode, text, scope);
    return this.tools.filter(node.name, operand, this.given(node, scope));
  }

  /** The evaluated arguments of a call. */
  given(node: Arguments, scope: Scope): Given {
    const args = node.args.map((one) => this.evaluate(one, scope));
    const kwargs = new Map<string, Value>();
    for (const { name, value } of node.kwargs) kwargs.set(name, this.evaluate(value, scope));
    if (node.dynArgs) args.push(...spread(this.evaluate(node.dynArgs, scope), this.budget));
    if (node.dynKwargs) {
      for (const [name, value] of spreadNamed(this.evaluate(node.dynKwargs, scope))) {
        if (kwargs.has(name)) throw new JinjaError(`the argument ${name} is given twice`);
        kwargs.set(name, value);
      }
    }
    return { args, kwargs };
  }

  call(callee: Value, given: Given): Value {
    this.budget.spend(1);
    if (callee instanceof Undefined) callee.fail();
    if (callee instanceof Callable) return this.budget.deeper(() => callee.call(given, this.budget));
    if (callee instanceof LoopContext) {
      const [items] = given.args;
      if (!callee.recurse || items === undefined) {
        throw new JinjaError("the loop must be marked 'recursive' to be called");
      }
      return callee.recurse(items, callee.depth0 + 1);
    }
    throw new JinjaError(`'${typeName(callee)}' object is not callable`);
  }

  #inner(node: Exclude<Expression, { type: 'Const' | 'Name' }>, scope: Scope): Value {
    const value = (part: Expression) => this.evaluate(part, scope);
    switch (node.type) {
      case 'Tuple':
        return new Tuple(node.items.map(value));
      case 'List':
        return new List(node.items.map(value));
      case 'Dict': {
        const dict = new Dict();
        for (const [key, entry] of node.pairs) dict.set(value(key), value(entry));
        return dict;
      }
      case 'Attribute':
        return getAttribute(value(node.object), node.name);
      case 'Item':
        return this.#item(node.object, node.key, scope);
      case 'Slice':
        throw new JinjaError('a slice stands alone');
      case 'Call':
        return this.call(value(node.callee), this.given(node, scope));
      case 'Filter':
        return this.tools.filter(node.name, value(node.operand!), this.given(node, scope));
      case 'Test':
        return this.tools.test(node.name, value(node.operand), this.given(node, scope));
      case 'Not':
        return !truthy(value(node.operand));
      case 'Negative':
      case 'Positive':
        return signed(value(node.operand), node.type === 'Negative');
      case 'Binary':
        return binary(node.operator, value(node.left), value(node.right), this.budget);
      case 'And': {
        const left = value(node.left);
        return truthy(left) ? value(node.right) : left;
      }
      case 'Or': {
        const left = value(node.left);
        return truthy(left) ? left : value(node.right);
      }
      case 'Compare':
        return this.#comparison(node.first, node.rest, scope);
      case 'Concat': {
        const texts = node.parts.map((part) => textOf(value(part), this.budget).plain());
        return joined(texts, this.budget);
      }
      case 'Conditional':
        if (truthy(value(node.test))) return value(node.value);
        return node.otherwise
          ? value(node.otherwise)
          : // Jinja2 prints nothing for it even where it is strict.
            new Undefined(
              'the inline if-expression evaluated to false and no else section was defined.',
              false,
            );
    }
  }

  #item(objectNode: Expression, keyNode: Expression, scope: Scope): Value {
    const object = this.evaluate(objectNode, scope);
    if (keyNode.type !== 'Slice') return getItem(object, this.evaluate(keyNode, scope));
    const [start, stop, step] = keyNode.bounds.map((bound) =>
      bound ? this.evaluate(bound, scope) : null,
    ) as [Value, Value, Value];
    return sliceOf(object, start, stop, step, this.budget);
  }

  /** `a < b < c` is `a < b and b < c`, as in Python. */
  #comparison(
    first: Expression,
    rest: readonly (readonly [CompareOperator, Expression])[],
    scope: Scope,
  ): boolean {
    let left = this.evaluate(first, scope);
    for (const [operator, part] of rest) {
      const right = this.evaluate(part, scope);
      if (!compared(operator, left, right, this.budget)) return false;
      left = right;
    }
    return true;
  }
}

function compared(operator: CompareOperator, a: Value, b: Value, budget: Budget): boolean {
  switch (operator) {
    case '==':
      return equal(a, b, budget);
    case '!=':
      return !equal(a, b, budget);
    case 'in':
      return contains(b, a, budget);
    case 'not in':
      return !contains(b, a, budget);
    case '<':
      return compare(a, b, budget) < 0;
    case '<=':
      return compare(a, b, budget) <= 0;
    case '>':
      return compare(a, b, budget) > 0;
    case '>=':
      return compare(a, b, budget) >= 0;
  }
}

function signed(value: Value, negative: boolean): Value {
  if (value instanceof Undefined) value.fail();
  const number = numeric(value);
  if (number === undefined) throw new JinjaError(`a ${typeName(value)} has no sign`);
  return negative ? -number : number;
}

/** Joins texts after checking the length of the result. */
function joined(texts: readonly Text[], budget: Budget): Text {
  let [length, spans] = [0, 0];
  for (const text of texts) {
    length += text.value.length;
    spans += text.spans.length;
  }
  budget.spendText(length);
  budget.spend(spans / 64);
  return concat(texts);
}

function binary(operator: BinaryOperator, a: Value, b: Value, budget: Budget): Value {
  const [x, y] = [numeric(a), numeric(b)];
  if (x !== undefined && y !== undefined) return arithmetic(operator, x, y, budget);
  if (operator === '%' && a instanceof Text) {
    if (a.markup) throw new JinjaError('% of a text that is marked safe is not supported');
    return percentFormat(a, b, budget);
  }
  if (a instanceof Undefined) a.fail();
  if (b instanceof Undefined) b.fail();
  if (operator === '+') {
    if (a instanceof Text && b instanceof Text) return added(a, b, budget);
    if (a instanceof List && b instanceof List) return new List(appended(a, b, budget));
    if (a instanceof Tuple && b instanceof Tuple) return new Tuple(appended(a, b, budget));
  }
  if (operator === '*') {
    const [sequence, count] = y === undefined ? [b, a] : [a, b];
    if (sequence instanceof Text) return repeat(sequence.plain(), integer(count, 'a factor'), budget);
    if (sequence instanceof List || sequence instanceof Tuple) {
      const times = Math.max(0, integer(count, 'a factor'));
      budget.spendItems(sequence.items.length * times);
      const items = Array.from({ length: times }, () => sequence.items).flat();
      return sequence instanceof List ? new List(items) : new Tuple(items);
    }
  }
  throw new JinjaError(`unsupported operand types for ${operator}: ${typeName(a)} and ${typeName(b)}`);
}

function appended(a: List | Tuple, b: List | Tuple, budget: Budget): Value[] {
  budget.spendItems(a.items.length + b.items.length);
  return [...a.items, ...b.items];
}

/** Adding to a text marked safe escapes the other text. */
function added(a: Text, b: Text, budget: Budget): Text {
  if (!a.markup && !b.markup) return joined([a, b], budget);
  const escaped = [a, b].map((text) =>
    text.markup ? text.plain() : derived(escapeHtml(text.value), [text]),
  );
  const sum = joined(escaped, budget);
  return new Text(sum.value, sum.spans, true);
}
