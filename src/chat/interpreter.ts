import { Interpreter } from '@huggingface/jinja';
import { RopewalkError } from '../errors.ts';
import { type Budget, MAX_DEPTH, MAX_ITEMS } from './budget.ts';
import type { CaptureNode, OutputNode } from './jinja-program.ts';
import {
  codePoints,
  eachText,
  equal,
  isArray,
  isMapping,
  itemCount,
  type Node,
  numberOf,
  type Scope,
  STRIPS,
  stripped,
  textOf,
  type Value,
} from './jinja-values.ts';
import { Costs } from './operation-costs.ts';
import { joinSpans, type Marks, mark, type Span, sliceSpans, unmark } from './spans.ts';

/** A node with its fields, which the library does not export by type. */
interface AnyNode extends Node {
  readonly [field: string]: unknown;
}

/** A node that stands for a value which is known already. */
interface KnownNode extends Node {
  readonly type: 'Known';
  readonly value: Value;
}

const known = (value: Value): KnownNode => ({ type: 'Known', value });

/** A text and where in it characters of the messages lie. */
interface Traced {
  readonly text: string;
  readonly spans: readonly Span[];
}

/**
 * Runs a template within a budget, and follows which characters of its output come from the messages.
 *
 * The library's interpreter does the work; this one evaluates a node's parts first, charges for what is to be done with
 * them, and hands them on as values that are known. So nothing large is made before it is counted. The origin of a
 * text is kept beside its value; where text is written out, marks (characters that occur nowhere else) enclose what came
 * from the messages, until the output is read again. What the library makes of a text from the messages by other ways
 * than joining and stripping counts as theirs from end to end.
 *
 * Where the library departs from Python (strip's argument, `'a' * 3`, `==` across types, `True` written out), Python's
 * result is given.
 */
export class BoundedInterpreter extends Interpreter {
  readonly #budget: Budget;
  readonly #costs: Costs;
  readonly #marks: Marks;
  readonly #sourceLength: number;
  readonly #spans = new WeakMap<object, readonly Span[]>();
  #depth = 0;

  constructor(scope: Scope, budget: Budget, marks: Marks, sourceLength: number) {
    super(scope);
    this.#budget = budget;
    this.#costs = new Costs(budget);
    this.#marks = marks;
    this.#sourceLength = sourceLength;
  }

  /** Says that a string value comes from the messages. */
  trace(value: Value): void {
    const text = textOf(value);
    if (text) this.#spans.set(value, [[0, text.length]]);
  }

  /** Renders a program of `parseTemplate`. */
  render(program: Node): Traced {
    return unmark(textOf(this.evaluate(program, this.global)) ?? '', this.#marks);
  }

  override evaluate(given: Node | undefined, scope: Scope): Value {
    if (given?.type === 'Known') return (given as KnownNode).value;
    if (this.#depth >= MAX_DEPTH) throw this.#budget.exceeded('nests too deeply');
    this.#depth++;
    try {
      this.#budget.spend(1);
      const value = given ? this.#dispatch(given as AnyNode, scope) : super.evaluate(given, scope);
      const length = textOf(value)?.length ?? 0;
      if (length > this.#budget.maxText) this.#budget.spendText(length);
      if (itemCount(value) > MAX_ITEMS)
        throw this.#budget.exceeded(`makes a list of over ${MAX_ITEMS} items`);
      return value;
    } finally {
      this.#depth--;
    }
  }

  #dispatch(node: AnyNode, scope: Scope): Value {
    const part = (field: string) => this.evaluate(node[field] as Node, scope);
    const finish = (fields: object) => super.evaluate({ ...node, ...fields } as Node, scope);
    switch (node.type) {
      case 'Output':
        return this.#write(this.evaluate((node as unknown as OutputNode).expression, scope));
      case 'Capture': {
        const { body } = node as unknown as CaptureNode;
        return this.#reread(super.evaluate({ type: 'Program', body } as Node, scope));
      }
      case 'Identifier':
        return this.#lookUp(String(node.value), scope);
      case 'BinaryExpression':
        return this.#binary(node, scope);
      case 'FilterExpression':
        return this.#filter(part('operand'), node.filter as AnyNode, scope);
      case 'CallExpression':
        return this.#call(node, scope);
      case 'MemberExpression': {
        const object = part('object');
        const text = textOf(object);
        if ((node.property as Node).type === 'SliceExpression') {
          this.#budget.spend((text?.length ?? itemCount(object)) / 8);
        }
        const value = finish({ object: known(object) });
        return text !== undefined && node.computed ? this.#derived(value, [object]) : value;
      }
      case 'TestExpression': {
        const operand = part('operand');
        this.#budget.spendText(textOf(operand)?.length ?? 0);
        return finish({ operand: known(operand) });
      }
      case 'For': {
        const iterable = node.iterable as AnyNode;
        const filtered = iterable.type === 'SelectExpression';
        const items = this.evaluate((filtered ? iterable.lhs : iterable) as Node, scope);
        // Every item has a scope, and its turn has a record of the loop.
        this.#budget.spend(5 * itemCount(items));
        return finish({ iterable: filtered ? { ...iterable, lhs: known(items) } : known(items) });
      }
      case 'ObjectLiteral': {
        const entries = [...(node.value as Map<Node, Node>)].map(([key, value]) => {
          const name = this.evaluate(key, scope);
          if (this.#spans.has(name)) throw this.#failure("it uses a message's text as a key");
          return [known(name), value] as const;
        });
        return finish({ value: new Map(entries) });
      }
      case 'Macro':
      case 'CallStatement':
        // The library searches the body for the names that it uses.
        this.#budget.spend(this.#sourceLength / 16);
        return super.evaluate(node, scope);
      case 'Break':
      case 'Continue':
        this.#budget.spend(10);
        return super.evaluate(node, scope);
      default:
        return super.evaluate(node, scope);
    }
  }

  #lookUp(name: string, scope: Scope): Value {
    let hops = 0;
    for (let at: Scope | undefined = scope; at; at = at.parent) {
      const value = at.variables.get(name);
      if (value !== undefined) {
        this.#budget.spend(hops / 8);
        return value;
      }
      hops++;
    }
    this.#budget.spend(hops / 8);
    return super.evaluate(undefined, scope);
  }

  #binary(node: AnyNode, scope: Scope): Value {
    const operator = (node.operator as { value: string }).value;
    if (operator === 'and' || operator === 'or') return super.evaluate(node, scope);
    const left = this.evaluate(node.left as Node, scope);
    const right = this.evaluate(node.right as Node, scope);
    const [a, b] = [textOf(left), textOf(right)];
    if (operator === '==' || operator === '!=') {
      if (a !== undefined && b !== undefined) this.#budget.spend(Math.min(a.length, b.length) / 64);
      else if (isArray(left) || isMapping(left)) this.#costs.measure([left]);
      const not = { type: 'UnaryExpression', operator: { value: 'not' }, argument: known(left) };
      const result = super.evaluate(not as Node, scope);
      (result as { value: unknown }).value = equal(left, right) === (operator === '==');
      return result;
    }
    if (operator === '~') return this.#joined([left, right], '');
    if (operator === '+' && (a !== undefined || b !== undefined)) {
      if (a === undefined || b === undefined) throw this.#failure('it adds a text and something else');
      return this.#joined([left, right], '');
    }
    if (operator === '*' && (a ?? b) !== undefined) {
      const count = numberOf(a === undefined ? left : right);
      if (count === undefined) throw this.#failure('it multiplies a text by something that is no number');
      const times = Math.max(0, Math.trunc(count));
      this.#budget.spendText((a ?? b!).length * times);
      return this.#derived(this.#string((a ?? b!).repeat(times)), [left, right]);
    }
    if (operator === '%' && left.type === 'IntegerValue' && right.type === 'IntegerValue') {
      const [x, y] = [left.value as number, right.value as number];
      return super.evaluate({ type: 'IntegerLiteral', value: ((x % y) + y) % y } as Node, scope);
    }
    if (a !== undefined && b !== undefined) this.#costs.search(b, a);
    this.#budget.spend((itemCount(left) + itemCount(right)) * (1 / 8 + (a?.length ?? 0) / 64));
    return super.evaluate({ ...node, left: known(left), right: known(right) } as Node, scope);
  }

  #filter(operand: Value, filter: AnyNode, scope: Scope): Value {
    const call = filter.type === 'CallExpression';
    const name = String(((call ? filter.callee : filter) as AnyNode).value);
    const { args, values } = this.#arguments(call ? (filter.args as AnyNode[]) : [], scope);
    const text = textOf(operand);
    if (text === undefined && CHOOSING.has(name)) {
      const compared = values.reduce((sum, value) => sum + (textOf(value)?.length ?? 0), 0);
      this.#budget.spend(itemCount(operand) * (1 + compared / 64));
      return this.#filtered(operand, filter, args, scope);
    }
    const { size, items } = this.#costs.measure([operand, ...values]);
    if (name === 'trim' && text !== undefined) return this.#strip(operand, 'trim', values[0]);
    if (name === 'length' && text !== undefined) {
      return super.evaluate({ type: 'IntegerLiteral', value: codePoints(text) } as Node, scope);
    }
    if (
      name === 'join' &&
      isArray(operand) &&
      !args.some((node) => node.type === 'KeywordArgumentExpression')
    ) {
      return this.#joined(operand.value as Value[], textOf(values[0] ?? operand) ?? '');
    }
    if (name === 'sort' || name === 'dictsort' || name === 'unique') this.#costs.sort(size / 16, items);
    if (name === 'tojson' && call) this.#costs.sort(items, items); // sort_keys
    if (name === 'replace' && text !== undefined) this.#costs.replacement(text, values);
    // An indentation or a separator is written once for each line or item at most, an indentation at each depth.
    const widths = values.map((value) => textOf(value)?.length ?? Math.max(0, numberOf(value) ?? 0));
    if (name === 'indent' || name === 'tojson') {
      const lines = text === undefined ? items : text.split('\n').length;
      this.#budget.spendText(
        size + lines * (this.#costs.depth(operand) + 1) * widths.reduce((sum, w) => sum + w, 0),
      );
    }
    return this.#derived(this.#filtered(operand, filter, args, scope), [operand, ...values]);
  }

  #filtered(operand: Value, filter: AnyNode, args: readonly AnyNode[], scope: Scope): Value {
    const given = filter.type === 'CallExpression' ? { ...filter, args } : filter;
    const node = { type: 'FilterExpression', operand: known(operand), filter: given };
    return super.evaluate(node as Node, scope);
  }

  #call(node: AnyNode, scope: Scope): Value {
    const { args, values } = this.#arguments(node.args as AnyNode[], scope);
    const callee = node.callee as AnyNode;
    const finish = (to: Node) => super.evaluate({ ...node, callee: to, args } as Node, scope);
    if (callee.type !== 'MemberExpression') {
      for (const value of values) this.#budget.spend(itemCount(value) / 8);
      return this.#reread(finish(callee));
    }
    const object = this.evaluate(callee.object as Node, scope);
    const member = { ...callee, object: known(object) };
    const text = textOf(object);
    const name = String((callee.property as AnyNode).value);
    if (text === undefined) {
      this.#budget.spend(itemCount(object) / 8);
      if (name === 'dictsort') {
        const { size, items } = this.#costs.measure([object]);
        this.#costs.sort(size / 16, items);
      }
      return this.#reread(finish(member));
    }
    this.#costs.measure([object, ...values]);
    if (STRIPS[name] && name !== 'trim') return this.#strip(object, name, values[0]);
    if (name === 'replace') this.#costs.replacement(text, values);
    else for (const value of values) this.#costs.search(text, textOf(value) ?? '');
    if (name === 'split') this.#budget.spend(text.length / 8);
    return this.#derived(finish(member), [object, ...values]);
  }

  /** Arguments with their values in place of their expressions, and those values. */
  #arguments(nodes: readonly AnyNode[], scope: Scope): { args: AnyNode[]; values: Value[] } {
    const values: Value[] = [];
    const args = nodes.map((node) => {
      const field = VALUE_FIELDS[node.type];
      const value = this.evaluate((field ? node[field] : node) as Node, scope);
      values.push(value);
      if (field) return { ...node, [field]: known(value) };
      // The library looks at the type of a literal.
      return node.type === 'StringLiteral' ? node : { ...known(value) };
    });
    return { args, values };
  }

  #strip(value: Value, name: string, characters: Value | undefined): Value {
    const text = textOf(value)!;
    const set = characters && textOf(characters);
    this.#budget.spend((text.length * Math.max(1, set?.length ?? 1)) / 64);
    const [start, end] = stripped(text, STRIPS[name]!, set);
    if (end - start === text.length) return value;
    return this.#string(text.slice(start, end), sliceSpans(this.#spans.get(value) ?? [], start, end));
  }

  #joined(values: readonly Value[], separator: string): Value {
    const texts = values.map((value) => this.#asText(value));
    this.#budget.spendText(
      texts.reduce((sum, { text }) => sum + text.length + separator.length, 0) + values.length,
    );
    let text = '';
    let spans: Span[] = [];
    texts.forEach((next, i) => {
      if (i > 0) text += separator;
      spans = next.spans.length > 0 ? joinSpans(spans, text.length, next.spans) : spans;
      text += next.text;
    });
    this.#budget.spend((spans.length * values.length) / 8);
    return this.#string(text, spans);
  }

  /** A value as Python writes it. */
  #asText(value: Value): Traced {
    const text = textOf(value);
    if (text !== undefined) return { text, spans: this.#spans.get(value) ?? [] };
    const clean = (plain: string) => ({ text: plain, spans: [] });
    if (value.type === 'BooleanValue') return clean(value.value ? 'True' : 'False');
    if (value.type === 'NullValue') return clean('None');
    if (value.type === 'UndefinedValue') return clean('');
    if (isArray(value) || isMapping(value) || value.type === 'FunctionValue') {
      throw this.#failure('it writes out a list, a mapping or a function; only texts and numbers can be');
    }
    return clean(value.toString());
  }

  #write(value: Value): Value {
    const { text, spans } = this.#asText(value);
    this.#budget.spendText(text.length);
    if (spans.length === 0 && textOf(value) !== undefined) return value;
    return this.#string(mark(text, spans, this.#marks));
  }

  /** Takes the marks out of what blocks have written, where it becomes a value. */
  #reread(value: Value): Value {
    const text = textOf(value);
    if (text === undefined) return value;
    this.#budget.spendText(text.length);
    if (!text.includes(this.#marks.open)) return value;
    const { text: plain, spans } = unmark(text, this.#marks);
    return this.#string(plain, spans);
  }

  /** Marks the texts in `result` that are new as the messages' own, if any of `sources` is or holds one that is. */
  #derived(result: Value, sources: readonly Value[]): Value {
    if (textOf(result) === undefined && !isArray(result) && !isMapping(result)) return result;
    const old = new Set<Value>();
    let traced = false;
    eachText(sources, (value) => {
      old.add(value);
      traced ||= this.#spans.has(value);
    });
    if (traced) {
      eachText([result], (value) => {
        if (!old.has(value)) this.trace(value);
      });
    }
    return result;
  }

  #string(text: string, spans: readonly Span[] = []): Value {
    const value = super.evaluate({ type: 'StringLiteral', value: text } as Node, this.global);
    if (spans.length > 0) this.#spans.set(value, spans);
    return value;
  }

  #failure(what: string): RopewalkError {
    return new RopewalkError(`${this.#budget.name}: the chat template fails: ${what}.`);
  }
}

/** Filters of lists and mappings that choose among what is there and look no deeper. */
const CHOOSING = new Set(
  ['default', 'first', 'items', 'last', 'length', 'list', 'map', 'rejectattr', 'reverse', 'selectattr'], //
);

const VALUE_FIELDS: Readonly<Record<string, string>> = {
  KeywordArgumentExpression: 'value',
  SpreadExpression: 'argument',
  KeywordSpreadExpression: 'argument',
};
