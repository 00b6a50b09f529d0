import { parse, tokenize } from '@huggingface/jinja';
import { RopewalkError } from '../errors.ts';
import type { Node } from './jinja-values.ts';

/** Real templates have up to about 30,000 characters. */
const MAX_SOURCE = 131_072;
/** The lexer's expressions take a time quadratic in the length of a run of white space. */
const MAX_BLANK_RUN = 2_000;

/** An expression whose value is written out. */
export interface OutputNode extends Node {
  readonly type: 'Output';
  readonly expression: Node;
}

/** Statements whose output is the value of an expression. */
export interface CaptureNode extends Node {
  readonly type: 'Capture';
  readonly body: readonly Node[];
}

const STATEMENTS = new Set(['Set', 'If', 'For', 'Macro', 'CallStatement', 'Break', 'Continue', 'Comment']);

/**
 * Parses a template as transformers does (`trim_blocks`, `lstrip_blocks`), and says at every place where output is
 * written or captured that it is (`Output`, `Capture`), which the library's own tree leaves open.
 *
 * @throws RopewalkError for a template that is too long or that does not parse.
 */
export function parseTemplate(source: string, name: string): { program: Node; literals: string } {
  if (source.length > MAX_SOURCE) {
    throw new RopewalkError(
      `${name}: it has ${source.length} characters; chat templates of up to ${MAX_SOURCE} are run.`,
    );
  }
  if (new RegExp(`\\s{${MAX_BLANK_RUN}}`).test(source)) {
    throw new RopewalkError(`${name}: it has a run of more than ${MAX_BLANK_RUN} blanks; shorten it.`);
  }
  try {
    const program: Node = parse(tokenize(source, { trim_blocks: true, lstrip_blocks: true }));
    const literals: string[] = [];
    rewrite(program, literals, Object.getPrototypeOf(program) as object);
    return { program, literals: literals.join('') };
  } catch (error) {
    const message = error instanceof Error ? error.message.replace(/^Parser Error: /, '') : String(error);
    const why =
      error instanceof RangeError
        ? 'it nests too deeply'
        : error instanceof TypeError // the parser has run past the last token
          ? 'it ends in the middle of a tag or a block'
          : message;
    throw new RopewalkError(`${name}: the chat template does not parse (${why}).`, { cause: error });
  }
}

/** Rewrites every list of statements below `node`, and collects the template's own texts. */
function rewrite(node: object, literals: string[], prototype: object): void {
  const fields = node as Record<string, unknown>;
  if (fields.type === 'StringLiteral') literals.push(String(fields.value));
  for (const value of Object.values(fields)) {
    if (value instanceof Map)
      for (const pair of value) for (const part of pair) rewrite(part, literals, prototype);
    else if (Array.isArray(value)) {
      for (const part of value) if (typeof part === 'object' && part) rewrite(part, literals, prototype);
    } else if (typeof value === 'object' && value) rewrite(value, literals, prototype);
  }
  for (const list of ['body', 'alternate', 'defaultBlock']) {
    const statements = fields[list];
    if (Array.isArray(statements))
      fields[list] = statements.map((given) => statement(given as Node, prototype));
  }
  if (fields.type === 'Set' && fields.value === null) {
    fields.value = makeNode(prototype, { type: 'Capture', body: fields.body });
    fields.body = [];
  }
}

function statement(given: Node, prototype: object): Node {
  if (given.type === 'FilterStatement') {
    const { filter, body } = given as Node & { filter: Node; body: Node[] };
    const operand = makeNode(prototype, { type: 'Capture', body });
    const expression = makeNode(prototype, { type: 'FilterExpression', operand, filter });
    return makeNode(prototype, { type: 'Output', expression });
  }
  if (STATEMENTS.has(given.type) || given.type === 'StringLiteral') return given;
  return makeNode(prototype, { type: 'Output', expression: given });
}

/** A node that the library takes for one of its own when it searches macros. */
function makeNode<T extends Node>(prototype: object, fields: T): T {
  return Object.assign(Object.create(prototype) as object, fields);
}
