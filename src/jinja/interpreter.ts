import type { Budget } from './budget.ts';
import { JinjaError } from './errors.ts';
import { Evaluator, type RunOptions } from './expressions.ts';
import { LoopContext } from './loop.ts';
import type { Expression, ForNode, MacroNode, Program, Statement, Target } from './parsing/nodes.ts';
import { itemsOf, iterate, textOf, truthy } from './python.ts';
import { Scope } from './scope.ts';
import type { Frame } from './scopes.ts';
import { NO_SOURCE, Text, TextBuilder } from './text.ts';
import {
  Callable,
  Dict,
  type Given,
  Lazy,
  Namespace,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts';

/** How a list of statements ended early. */
type Signal = 'break' | 'continue' | undefined;

/**
 * Runs a program within a budget.
 *
 * @param given its variables and functions
 * @throws JinjaError, and RangeError if it nests more deeply than the engine's stack
 */
export function run(
  program: Program,
  given: ReadonlyMap<string, Value>,
  budget: Budget,
  options: RunOptions = {},
): Text {
  return new Interpreter(given, budget, options).run(program);
}

class Interpreter {
  readonly #given: ReadonlyMap<string, Value>;
  readonly #budget: Budget;
  readonly #evaluator: Evaluator;

  constructor(given: ReadonlyMap<string, Value>, budget: Budget, options: RunOptions) {
    this.#given = given;
    this.#budget = budget;
    this.#evaluator = new Evaluator(budget, options);
  }

  run({ body, frame }: Program): Text {
    const output = new TextBuilder();
    this.#all(body, this.#scope(frame), output);
    return output.build();
  }

  #scope(frame: Frame, parent?: Scope): Scope {
    this.#budget.spend(frame.loads.size / 8);
    return new Scope(frame, this.#given, parent);
  }

  #value(node: Expression, scope: Scope): Value {
    return this.#evaluator.evaluate(node, scope);
  }

  #all(body: readonly Statement[], scope: Scope, output: TextBuilder): Signal {
    for (const statement of body) {
      this.#budget.spend(1);
      const signal = this.#statement(statement, scope, output);
      if (signal) return signal;
    }
    return undefined;
  }

  #statement(node: Statement, scope: Scope, output: TextBuilder): Signal {
    switch (node.type) {
      case 'Output':
        for (const part of node.parts) this.#write(textOf(this.#value(part, scope), this.#budget), output);
        return undefined;
      case 'If': {
        const branch = node.branches.find(({ test }) => truthy(this.#value(test, scope)));
        return this.#deeper(branch?.body ?? node.otherwise, scope, output);
      }
      case 'For':
        if (!node.recursive) return this.#for(node, this.#value(node.iterable, scope), scope, output, 0);
        this.#write(this.#recursiveFor(node, this.#value(node.iterable, scope), scope, 0), output);
        return undefined;
      case 'Macro':
        scope.set(node.macro.name!, this.#macro(node.macro, scope));
        return undefined;
      case 'CallBlock': {
        const caller = this.#macro(node.macro, scope);
        const callee = this.#value(node.call.callee, scope);
        const given = this.#evaluator.given(node.call, scope);
        const kwargs = new Map(given.kwargs);
        if (kwargs.has('caller')) throw new JinjaError('the argument caller is given twice');
        kwargs.set('caller', caller);
        this.#write(blockText(this.#evaluator.call(callee, { ...given, kwargs })), output);
        return undefined;
      }
      case 'Generation': {
        const start = output.length;
        const inner = this.#macro(node.macro, scope);
        this.#write(
          textOf(this.#evaluator.call(inner, { args: [], kwargs: new Map() }), this.#budget),
          output,
        );
        output.mark(start, 'generation', NO_SOURCE);
        return undefined;
      }
      case 'FilterBlock': {
        const inner = this.#scope(node.frame, scope);
        const { text, signal } = this.#captured(node.body, inner);
        if (signal) return signal;
        this.#write(blockText(this.#evaluator.filtered(node.filter, text, inner)), output);
        return undefined;
      }
      case 'With': {
        const inner = this.#scope(node.frame, scope);
        node.targets.forEach((target, i) => {
          this.#assign(target, this.#value(node.values[i]!, scope), inner);
        });
        return this.#deeper(node.body, inner, output);
      }
      case 'Assign':
        this.#checkNamespaces(node.target, scope);
        this.#assign(node.target, this.#value(node.value, scope), scope);
        return undefined;
      case 'AssignBlock': {
        const inner = this.#scope(node.frame, scope);
        const { text, signal } = this.#captured(node.body, inner);
        if (signal) return signal;
        const value = node.filter ? this.#evaluator.filtered(node.filter, text, inner) : text;
        this.#checkNamespaces(node.target, scope);
        this.#assign(node.target, value, scope);
        return undefined;
      }
      case 'Break':
        return 'break';
      case 'Continue':
        return 'continue';
    }
  }

  #deeper(body: readonly Statement[], scope: Scope, output: TextBuilder): Signal {
    return body.length === 0 ? undefined : this.#budget.deeper(() => this.#all(body, scope, output));
  }

  #captured(body: readonly Statement[], scope: Scope): { text: Text; signal: Signal } {
    const output = new TextBuilder();
    const signal = this.#deeper(body, scope, output);
    return { text: output.build(), signal };
  }

  #write(text: Text, output: TextBuilder): void {
    this.#budget.spendText(text.value.length);
    this.#budget.spend(text.spans.length / 64);
    if (output.length + text.value.length > this.#budget.maxText) {
      this.#budget.spendText(output.length + text.value.length);
    }
    output.add(text);
  }

  #recursiveFor(node: ForNode, items: Value, scope: Scope, depth: number): Text {
    return this.#budget.deeper(() => {
      const output = new TextBuilder();
      this.#for(node, items, scope, output, depth);
      return output.build();
    });
  }

  #for(node: ForNode, items: Value, scope: Scope, output: TextBuilder, depth: number): Signal {
    const { frames, target, body } = node;
    const source = node.test ? this.#tested(node, items, scope) : iterate(items);
    const known = node.test ? new Lazy(source) : items;
    const recurse = node.recursive
      ? (inner: Value, level: number) => this.#recursiveFor(node, inner, scope, level)
      : undefined;
    const loop = new LoopContext(source, known, depth, recurse, this.#budget);
    const hasLoop = frames.body.loads.get('loop') === 'parameter';
    let ran = false;
    for (let next = loop.next(); next; next = loop.next()) {
      this.#budget.spend(3);
      const turn = this.#scope(frames.body, scope);
      if (hasLoop) turn.set('loop', loop);
      this.#assign(target, next.value, turn);
      const [start, spans] = [output.length, output.spans.length];
      const signal = this.#deeper(body, turn, output);
      this.#markTurn(next.value, start, spans, output);
      if (signal === 'break') break;
      // Jinja2 runs the else branch if no iteration ran to its end.
      if (signal !== 'continue') ran = true;
    }
    if (ran || node.otherwise.length === 0) return undefined;
    return this.#deeper(node.otherwise, this.#scope(frames.otherwise, scope), output);
  }

  /** Records which part of the output a loop iteration wrote, and for which item. */
  #markTurn(item: Value, start: number, spans: number, output: TextBuilder): void {
    if (output.length === start && output.spans.length === spans) return;
    const source = item instanceof Dict ? item.source : undefined;
    if (source !== undefined) output.mark(start, 'turn', source);
    else if (output.spans.length > spans) output.mark(start, 'turn', NO_SOURCE);
  }

  /** The items that satisfy the loop's condition. */
  *#tested(node: ForNode, items: Value, scope: Scope): IterableIterator<Value> {
    const inner = this.#scope(node.frames.test, scope);
    for (const item of iterate(items)) {
      this.#budget.spend(2);
      this.#assign(node.target, item, inner);
      if (truthy(this.#value(node.test!, inner))) yield item;
    }
  }

  #assign(target: Target, value: Value, scope: Scope): void {
    if (target.type === 'Name') scope.set(target.name, value);
    else if (target.type === 'NamespaceRef') {
      (scope.get(target.name) as Namespace).attributes.set(target.attribute, value);
    } else {
      const items = itemsOf(value, this.#budget);
      if (items.length !== target.items.length) {
        throw new JinjaError(`${items.length} values for ${target.items.length} names`);
      }
      target.items.forEach((one, i) => {
        this.#assign(one, items[i]!, scope);
      });
    }
  }

  #checkNamespaces(target: Target, scope: Scope): void {
    if (target.type === 'Tuple') {
      for (const item of target.items) this.#checkNamespaces(item, scope);
    } else if (target.type === 'NamespaceRef' && !(scope.get(target.name) instanceof Namespace)) {
      throw new JinjaError('cannot assign attribute on non-namespace object');
    }
  }

  #macro(node: MacroNode, scope: Scope): Callable {
    const { name, parameters, uses } = node;
    const attributes = new Map<string, Value>([
      ['name', name === undefined ? null : new Text(name)],
      ['arguments', new Tuple(parameters.map((one) => new Text(one)))],
      ['caller', uses.caller],
      ['catch_kwargs', uses.kwargs],
      ['catch_varargs', uses.varargs],
    ]);
    return new Callable(name ?? 'caller', (given) => this.#callMacro(node, scope, given), attributes);
  }

  #callMacro(node: MacroNode, scope: Scope, { args, kwargs }: Given): Value {
    const { name = 'caller', parameters, defaults, uses } = node;
    const inner = this.#scope(node.frame, scope);
    const rest = new Map(kwargs);
    const given = parameters.map((parameter, i) => {
      if (i < args.length) return args[i];
      const value = rest.get(parameter);
      rest.delete(parameter);
      return value;
    });
    if (uses.caller && !parameters.includes('caller')) {
      // None also counts as no caller.
      inner.set('caller', rest.get('caller') ?? new Undefined('No caller defined'));
      rest.delete('caller');
    }
    if (uses.kwargs) inner.set('kwargs', dictOf(rest));
    else if (rest.size > 0) throw new JinjaError(`macro ${name} takes no argument ${[...rest.keys()][0]}`);
    if (uses.varargs) inner.set('varargs', new Tuple(args.slice(parameters.length)));
    else if (args.length > parameters.length) {
      throw new JinjaError(`macro ${name} takes at most ${parameters.length} arguments`);
    }
    parameters.forEach((parameter, i) => {
      if (given[i] !== undefined) inner.set(parameter, given[i]);
    });
    parameters.forEach((parameter, i) => {
      if (given[i] !== undefined) return;
      const otherwise = defaults[i - parameters.length + defaults.length];
      const value = otherwise
        ? this.#value(otherwise, inner)
        : new Undefined(`parameter '${parameter}' was not provided`);
      inner.set(parameter, value);
    });
    return this.#captured(node.body, inner).text;
  }
}

/** The output of a block; unlike an expression, it is not converted to text. */
function blockText(value: Value): Text {
  if (value instanceof Text) return value;
  throw new JinjaError(`a block gives a ${typeName(value)}, which is no text`);
}

function dictOf(values: ReadonlyMap<string, Value>): Dict {
  const dict = new Dict();
  for (const [name, value] of values) dict.set(new Text(name), value);
  return dict;
}
