import { NotSupported } from '../errors.ts';
import { Text } from '../text.ts';
import type {
  Arguments,
  BinaryOperator,
  CallNode,
  CompareOperator,
  Expression,
  FilterNode,
  Keyword,
  Target,
} from './nodes.ts';
import type { Tokens } from './tokens.ts';

const CONSTANTS: ReadonlyMap<string, boolean | null> = new Map([
  ...(['true', 'True'] as const).map((name) => [name, true] as const),
  ...(['false', 'False'] as const).map((name) => [name, false] as const),
  ...(['none', 'None'] as const).map((name) => [name, null] as const),
]);
const COMPARISONS = ['==', '!=', '<', '<=', '>', '>='];

/** Parses Jinja2's expressions: one method per precedence level. */
export class ExpressionParser {
  constructor(readonly tokens: Tokens) {}

  expression(withConditional = true): Expression {
    return this.tokens.nested(() => (withConditional ? this.#conditional() : this.#or()));
  }

  /** An expression, or several separated by commas. */
  tuple(options: { withConditional?: boolean; endName?: string; inParentheses?: boolean } = {}): Expression {
    const { withConditional = true, endName, inParentheses = false } = options;
    const parse = () => this.expression(withConditional);
    const items = this.#commaSeparated(parse, endName);
    if (!items.isTuple) {
      if (items.list.length > 0) return items.list[0]!;
      if (!inParentheses) throw this.tokens.failure(`expected an expression, got ${this.tokens.describe()}`);
    }
    return { type: 'Tuple', items: items.list };
  }

  /** The target of an assignment. */
  target(options: { withNamespace?: boolean; endName?: string } = {}): Target {
    const { withNamespace = false, endName } = options;
    const items = this.#commaSeparated(() => this.#targetItem(withNamespace), endName);
    if (items.list.length === 0 && !items.isTuple) throw this.tokens.failure('expected a name to assign to');
    return items.isTuple ? { type: 'Tuple', items: items.list } : items.list[0]!;
  }

  name(): string {
    const { value } = this.tokens.expect('name');
    if (CONSTANTS.has(value)) throw this.tokens.failure(`can't assign to ${value}`);
    return value;
  }

  /** A chain of filters, without the first `|`. */
  filters(operand: Expression | undefined, startsInline: boolean): FilterNode | undefined {
    const { tokens } = this;
    let node: FilterNode | undefined;
    for (let inline = startsInline; inline || tokens.isOperator('|'); inline = false) {
      if (!inline) tokens.next();
      const name = this.#dottedName();
      const given: Arguments = tokens.isOperator('(') ? this.#arguments() : { args: [], kwargs: [] };
      node = { type: 'Filter', operand: node ?? operand, name, ...given };
    }
    return node;
  }

  #commaSeparated<T>(parse: () => T, endName: string | undefined): { list: T[]; isTuple: boolean } {
    const { tokens } = this;
    const list: T[] = [];
    let isTuple = false;
    for (;;) {
      if (list.length > 0) tokens.expect('operator', ',');
      const ends = tokens.is('variable_end') || tokens.is('block_end') || tokens.isOperator(')');
      if (ends || (endName !== undefined && tokens.isName(endName))) break;
      list.push(parse());
      if (!tokens.isOperator(',')) break;
      isTuple = true;
    }
    return { list, isTuple };
  }

  #targetItem(withNamespace: boolean): Target {
    const { tokens } = this;
    if (tokens.isOperator('(')) {
      tokens.next();
      const inner = tokens.nested(() => this.#commaSeparated(() => this.#targetItem(false), undefined));
      tokens.expect('operator', ')');
      return inner.isTuple || inner.list.length === 0 ? { type: 'Tuple', items: inner.list } : inner.list[0]!;
    }
    const name = this.name();
    if (!withNamespace || !tokens.skip('operator', '.')) return { type: 'Name', name };
    return { type: 'NamespaceRef', name, attribute: tokens.expect('name').value };
  }

  #conditional(): Expression {
    const { tokens } = this;
    let node = this.#or();
    while (tokens.skip('name', 'if')) {
      const test = this.#or();
      const otherwise = tokens.skip('name', 'else') ? tokens.nested(() => this.#conditional()) : undefined;
      node = { type: 'Conditional', test, value: node, otherwise };
    }
    return node;
  }

  #or(): Expression {
    let left = this.#and();
    while (this.tokens.skip('name', 'or')) left = { type: 'Or', left, right: this.#and() };
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.tokens.skip('name', 'and')) left = { type: 'And', left, right: this.#not() };
    return left;
  }

  #not(): Expression {
    if (!this.tokens.skip('name', 'not')) return this.#compare();
    return { type: 'Not', operand: this.tokens.nested(() => this.#not()) };
  }

  #compare(): Expression {
    const { tokens } = this;
    const first = this.#sum();
    const rest: [CompareOperator, Expression][] = [];
    for (;;) {
      const { type, value } = tokens.current;
      if (type === 'operator' && COMPARISONS.includes(value)) {
        tokens.next();
        rest.push([value as CompareOperator, this.#sum()]);
      } else if (tokens.skip('name', 'in')) {
        rest.push(['in', this.#sum()]);
      } else if (
        tokens.isName('not') &&
        tokens.following.type === 'name' &&
        tokens.following.value === 'in'
      ) {
        tokens.next();
        tokens.next();
        rest.push(['not in', this.#sum()]);
      } else break;
    }
    return rest.length === 0 ? first : { type: 'Compare', first, rest };
  }

  #sum(): Expression {
    return this.#binary(['+', '-'], () => this.#concat());
  }

  #concat(): Expression {
    const parts = [this.#product()];
    while (this.tokens.skip('operator', '~')) parts.push(this.#product());
    return parts.length === 1 ? parts[0]! : { type: 'Concat', parts };
  }

  #product(): Expression {
    return this.#binary(['*', '/', '//', '%'], () => this.#power());
  }

  /** Left-associative, unlike in Python, and below unary signs. */
  #power(): Expression {
    return this.#binary(['**'], () => this.#unary());
  }

  #binary(operators: readonly BinaryOperator[], parse: () => Expression): Expression {
    const { tokens } = this;
    let left = parse();
    for (;;) {
      const operator = operators.find((one) => tokens.isOperator(one));
      if (operator === undefined) return left;
      tokens.next();
      left = { type: 'Binary', operator, left, right: parse() };
    }
  }

  #unary(withFilters = true): Expression {
    const { tokens } = this;
    const sign = tokens.isOperator('-') ? 'Negative' : tokens.isOperator('+') ? 'Positive' : undefined;
    if (sign) tokens.next();
    const node: Expression = sign
      ? { type: sign, operand: tokens.nested(() => this.#unary(false)) }
      : this.#primary();
    const postfixed = this.#postfix(node);
    return withFilters ? this.#filtersAndTests(postfixed) : postfixed;
  }

  #primary(): Expression {
    const { tokens } = this;
    const { type, value } = tokens.current;
    if (type === 'name') {
      tokens.next();
      const constant = CONSTANTS.get(value);
      return constant === undefined ? { type: 'Name', name: value } : { type: 'Const', value: constant };
    }
    if (type === 'string') {
      let joined = '';
      while (tokens.is('string')) joined += tokens.next().value;
      return { type: 'Const', value: new Text(joined) };
    }
    if (type === 'integer' || type === 'float') {
      tokens.next();
      return { type: 'Const', value: numberOf(type, value.replaceAll('_', '')) };
    }
    if (tokens.skip('operator', '(')) {
      const node = tokens.nested(() => this.tuple({ inParentheses: true }));
      tokens.expect('operator', ')');
      return node;
    }
    if (tokens.skip('operator', '[')) {
      return { type: 'List', items: this.#until(']', () => this.expression()) };
    }
    if (tokens.skip('operator', '{')) {
      const pairs = this.#until('}', () => {
        const key = this.expression();
        tokens.expect('operator', ':');
        return [key, this.expression()] as const;
      });
      return { type: 'Dict', pairs };
    }
    throw tokens.failure(`unexpected ${tokens.describe()}`);
  }

  /** Items separated by commas, optionally with a trailing one, up to a bracket. */
  #until<T>(close: string, parse: () => T): T[] {
    const { tokens } = this;
    const items: T[] = [];
    while (!tokens.isOperator(close)) {
      if (items.length > 0) tokens.expect('operator', ',');
      if (tokens.isOperator(close)) break;
      items.push(parse());
    }
    tokens.expect('operator', close);
    return items;
  }

  #postfix(given: Expression): Expression {
    const { tokens } = this;
    let node = given;
    for (;;) {
      if (tokens.isOperator('.') || tokens.isOperator('[')) node = this.#subscript(node);
      else if (tokens.isOperator('(')) node = this.#call(node);
      else return node;
    }
  }

  #filtersAndTests(given: Expression): Expression {
    const { tokens } = this;
    let node = given;
    for (;;) {
      if (tokens.isOperator('|')) node = this.filters(node, false)!;
      else if (tokens.isName('is')) node = this.#test(node);
      else if (tokens.isOperator('(')) node = this.#call(node);
      else return node;
    }
  }

  #subscript(object: Expression): Expression {
    const { tokens } = this;
    if (tokens.skip('operator', '.')) {
      const { type, value } = tokens.next();
      if (type === 'name') return { type: 'Attribute', object, name: value };
      if (type !== 'integer') throw tokens.failure('expected a name or a number after a dot');
      return { type: 'Item', object, key: { type: 'Const', value: numberOf(type, value) } };
    }
    tokens.expect('operator', '[');
    const keys: Expression[] = [];
    while (!tokens.isOperator(']')) {
      if (keys.length > 0) tokens.expect('operator', ',');
      keys.push(this.#key());
    }
    tokens.expect('operator', ']');
    if (keys.length > 1 && keys.some(({ type }) => type === 'Slice')) {
      throw new NotSupported('a slice among several keys');
    }
    return { type: 'Item', object, key: keys.length === 1 ? keys[0]! : { type: 'Tuple', items: keys } };
  }

  #key(): Expression {
    const { tokens } = this;
    const atEnd = () => tokens.isOperator(']') || tokens.isOperator(',');
    const start = tokens.isOperator(':') ? undefined : this.expression();
    if (!tokens.skip('operator', ':')) return start!;
    const stop = tokens.isOperator(':') || atEnd() ? undefined : this.expression();
    const step = tokens.skip('operator', ':') && !atEnd() ? this.expression() : undefined;
    return { type: 'Slice', bounds: [start, stop, step] };
  }

  #call(callee: Expression): CallNode {
    return { type: 'Call', callee, ...this.#arguments() };
  }

  #arguments(): Arguments {
    const { tokens } = this;
    tokens.expect('operator', '(');
    const args: Expression[] = [];
    const kwargs: Keyword[] = [];
    let dynArgs: Expression | undefined;
    let dynKwargs: Expression | undefined;
    const ensure = (valid: boolean) => {
      if (!valid) throw tokens.failure('invalid order of arguments');
    };
    for (let first = true; !tokens.isOperator(')'); first = false) {
      if (!first) {
        tokens.expect('operator', ',');
        if (tokens.isOperator(')')) break;
      }
      if (tokens.skip('operator', '*')) {
        ensure(!dynArgs && !dynKwargs);
        dynArgs = this.expression();
      } else if (tokens.skip('operator', '**')) {
        ensure(!dynKwargs);
        dynKwargs = this.expression();
      } else if (
        tokens.is('name') &&
        tokens.following.type === 'operator' &&
        tokens.following.value === '='
      ) {
        ensure(!dynKwargs);
        const name = tokens.next().value;
        tokens.next();
        if (kwargs.some((one) => one.name === name)) throw tokens.failure(`${name} is given twice`);
        kwargs.push({ name, value: this.expression() });
      } else {
        ensure(!dynArgs && !dynKwargs && kwargs.length === 0);
        args.push(this.expression());
      }
    }
    tokens.expect('operator', ')');
    return { args, kwargs, dynArgs, dynKwargs };
  }

  #dottedName(): string {
    const { tokens } = this;
    let name = tokens.expect('name').value;
    while (tokens.skip('operator', '.')) name += `.${tokens.expect('name').value}`;
    return name;
  }

  #test(operand: Expression): Expression {
    const { tokens } = this;
    tokens.next();
    const negated = tokens.skip('name', 'not');
    const name = this.#dottedName();
    let given: Arguments = { args: [], kwargs: [] };
    if (tokens.isOperator('(')) given = this.#arguments();
    else if (this.#beginsTestArgument()) {
      if (tokens.isName('is')) throw tokens.failure('tests cannot be chained with is');
      given = { args: [this.#postfix(this.#primary())], kwargs: [] };
    }
    const test: Expression = { type: 'Test', operand, name, ...given };
    return negated ? { type: 'Not', operand: test } : test;
  }

  #beginsTestArgument(): boolean {
    const { tokens } = this;
    if (tokens.isName('else', 'or', 'and')) return false;
    const { type, value } = tokens.current;
    return (
      ['name', 'string', 'integer', 'float'].includes(type) || (type === 'operator' && '[{'.includes(value))
    );
  }
}

function numberOf(type: 'integer' | 'float', digits: string): bigint | number {
  return type === 'float' ? Number(digits) : BigInt(digits);
}
