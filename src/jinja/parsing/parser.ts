import { NotSupported } from '../errors.ts';
import { analyze, Frame } from '../scopes.ts';
import { Text } from '../text.ts';
import { tokenize, type WhiteSpace } from './lexer.ts';
import type { Expression, MacroNode, Program, Statement } from './nodes.ts';
import { ExpressionParser } from './parse-expression.ts';
import { Tokens } from './tokens.ts';

/** Jinja2's statements that need other templates or make no sense in a chat. */
const REFUSED = ['block', 'extends', 'include', 'import', 'from', 'autoescape'];

/**
 * Parses a template in the dialect that transformers configures: Jinja2's statements, `break` and `continue`, and
 * `generation`.
 *
 * @throws JinjaError naming the line and the error, or the unsupported feature
 */
export function parse(source: string, space: WhiteSpace = 'chat'): Program {
  return new Parser(new Tokens(tokenize(source, space))).program();
}

class Parser {
  readonly #expressions: ExpressionParser;
  /** The number of loops that a `break` could leave. */
  #loops = 0;
  #marksGeneration = false;

  constructor(readonly tokens: Tokens) {
    this.#expressions = new ExpressionParser(tokens);
  }

  program(): Program {
    const body = this.#statements([]);
    return { body, frame: analyze(body), marksGeneration: this.#marksGeneration };
  }

  /** Everything up to a tag with one of these names, which is then the current token; without names, to the end. */
  #statements(ends: readonly string[]): Statement[] {
    const { tokens } = this;
    const body: Statement[] = [];
    let parts: Expression[] = [];
    const flush = () => {
      if (parts.length > 0) body.push({ type: 'Output', parts });
      parts = [];
    };
    while (!tokens.is('eof')) {
      if (tokens.is('data')) parts.push({ type: 'Const', value: new Text(tokens.next().value) });
      else if (tokens.is('variable_begin')) {
        tokens.next();
        parts.push(this.#expressions.tuple());
        tokens.expect('variable_end');
      } else {
        flush();
        tokens.expect('block_begin');
        if (tokens.isName(...ends)) return body;
        body.push(tokens.nested(() => this.#statement()));
        tokens.expect('block_end');
      }
    }
    if (ends.length > 0) throw tokens.failure(`the template ends before ${ends.join(' or ')}`);
    flush();
    return body;
  }

  /** The inside of a block, from the end of its first tag to the name in its last one, which is consumed. */
  #body(ends: readonly string[]): { body: Statement[]; end: string } {
    this.tokens.skip('operator', ':');
    this.tokens.expect('block_end');
    const body = this.#statements(ends);
    return { body, end: this.tokens.next().value };
  }

  #statement(): Statement {
    const { tokens } = this;
    const tag = tokens.expect('name').value;
    switch (tag) {
      case 'for':
        return this.#for();
      case 'if':
        return this.#if();
      case 'set':
        return this.#set();
      case 'macro': {
        const name = this.#expressions.name();
        return { type: 'Macro', macro: this.#macro(name, 'endmacro') };
      }
      case 'call':
        return this.#callBlock();
      case 'filter': {
        const filter = this.#expressions.filters(undefined, true)!;
        return { type: 'FilterBlock', filter, body: this.#body(['endfilter']).body, frame: new Frame() };
      }
      case 'with':
        return this.#with();
      case 'print':
        return this.#print();
      case 'generation': {
        this.#marksGeneration = true;
        return { type: 'Generation', macro: this.#macroOf(undefined, [], [], 'endgeneration') };
      }
      case 'break':
      case 'continue':
        if (this.#loops === 0) throw tokens.failure(`${tag} outside of a loop`);
        return { type: tag === 'break' ? 'Break' : 'Continue' };
      default:
        if (REFUSED.includes(tag)) throw new NotSupported(`{% ${tag} %}`);
        throw tokens.failure(`there is no tag ${tag} here`);
    }
  }

  #for(): Statement {
    const { tokens } = this;
    const target = this.#expressions.target({ endName: 'in' });
    tokens.expect('name', 'in');
    const iterable = this.#expressions.tuple({ withConditional: false, endName: 'recursive' });
    const test = tokens.skip('name', 'if') ? this.#expressions.expression() : undefined;
    const recursive = tokens.skip('name', 'recursive');
    this.#loops++;
    const { body, end } = this.#body(['endfor', 'else']);
    this.#loops--;
    const otherwise = end === 'else' ? this.#body(['endfor']).body : [];
    const frames = { body: new Frame(), test: new Frame(), otherwise: new Frame() };
    return { type: 'For', target, iterable, test, recursive, body, otherwise, frames };
  }

  #if(): Statement {
    const branches: { test: Expression; body: Statement[] }[] = [];
    for (;;) {
      const test = this.#expressions.tuple({ withConditional: false });
      const { body, end } = this.#body(['elif', 'else', 'endif']);
      branches.push({ test, body });
      if (end === 'elif') continue;
      return { type: 'If', branches, otherwise: end === 'else' ? this.#body(['endif']).body : [] };
    }
  }

  #set(): Statement {
    const { tokens } = this;
    const target = this.#expressions.target({ withNamespace: true });
    if (tokens.skip('operator', '=')) {
      return { type: 'Assign', target, value: this.#expressions.tuple() };
    }
    const filter = this.#expressions.filters(undefined, false);
    return { type: 'AssignBlock', target, filter, body: this.#body(['endset']).body, frame: new Frame() };
  }

  #with(): Statement {
    const { tokens } = this;
    const targets = [];
    const values: Expression[] = [];
    while (!tokens.is('block_end')) {
      if (targets.length > 0) tokens.expect('operator', ',');
      targets.push(this.#expressions.target());
      tokens.expect('operator', '=');
      values.push(this.#expressions.expression());
    }
    return { type: 'With', targets, values, body: this.#body(['endwith']).body, frame: new Frame() };
  }

  #print(): Statement {
    const parts: Expression[] = [];
    while (!this.tokens.is('block_end')) {
      if (parts.length > 0) this.tokens.expect('operator', ',');
      parts.push(this.#expressions.expression());
    }
    return { type: 'Output', parts };
  }

  #callBlock(): Statement {
    const signature = this.tokens.isOperator('(') ? this.#signature() : { parameters: [], defaults: [] };
    const call = this.#expressions.expression();
    if (call.type !== 'Call') throw this.tokens.failure('expected a call');
    const macro = this.#macroOf(undefined, signature.parameters, signature.defaults, 'endcall');
    return { type: 'CallBlock', call, macro };
  }

  #macro(name: string, end: string): MacroNode {
    const { parameters, defaults } = this.#signature();
    return this.#macroOf(name, parameters, defaults, end);
  }

  #macroOf(
    name: string | undefined,
    parameters: readonly string[],
    defaults: readonly Expression[],
    end: string,
  ): MacroNode {
    const loops = this.#loops;
    this.#loops = 0;
    const { body } = this.#body([end]);
    this.#loops = loops;
    const uses = { caller: false, kwargs: false, varargs: false };
    return { name, parameters, defaults, body, uses, frame: new Frame() };
  }

  #signature(): { parameters: string[]; defaults: Expression[] } {
    const { tokens } = this;
    tokens.expect('operator', '(');
    const parameters: string[] = [];
    const defaults: Expression[] = [];
    while (!tokens.isOperator(')')) {
      if (parameters.length > 0) tokens.expect('operator', ',');
      const name = this.#expressions.name();
      if (parameters.includes(name)) throw tokens.failure(`the parameter ${name} is given twice`);
      parameters.push(name);
      if (tokens.skip('operator', '=')) defaults.push(this.#expressions.expression());
      else if (defaults.length > 0) throw tokens.failure('a parameter without a default after one with it');
    }
    tokens.expect('operator', ')');
    return { parameters, defaults };
  }
}
