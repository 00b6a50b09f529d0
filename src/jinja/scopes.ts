import { JinjaError } from './errors.ts';
import type { Arguments, Expression, MacroNode, Statement, Target } from './parsing/nodes.ts';

/**
 * Where a name comes from at the beginning of a frame: a parameter, the outer frame, the template's inputs, or
 * nowhere yet.
 */
export type Load = 'parameter' | 'outer' | 'given' | 'nothing';

/**
 * The names of a scope, resolved before the template runs, as in Jinja2: a loop's body, a macro and a block each have
 * their own scope, created anew for each iteration or call; `if` has none. A name that is assigned anywhere in a
 * scope is local throughout, and starts with the value of the outer one.
 */
export class Frame {
  readonly loads = new Map<string, Load>();
  readonly #stores = new Set<string>();
  readonly #before: Frame | undefined;

  /** @param before the same scope, before this branch. */
  constructor(
    public parent?: Frame,
    before?: Frame,
  ) {
    this.#before = before;
  }

  find(name: string): boolean {
    return this.#has(name) || (this.parent?.find(name) ?? false);
  }

  store(name: string): void {
    this.#stores.add(name);
    if (!this.#has(name)) this.loads.set(name, this.parent?.find(name) ? 'outer' : 'nothing');
  }

  parameter(name: string): void {
    this.#stores.add(name);
    this.loads.set(name, 'parameter');
  }

  load(name: string): void {
    if (!this.find(name)) this.loads.set(name, 'given');
  }

  /** The names after alternative branches: one that a branch assigns may also have its previous value. */
  branches(visits: readonly ((frame: Frame) => void)[]): void {
    const branches = visits.map((visit) => {
      const branch = new Frame(this.parent, this);
      visit(branch);
      return branch;
    });
    const assigned = new Set<string>();
    for (const { loads, stores } of branches) {
      for (const name of stores) if (!this.#stored(name)) assigned.add(name);
      for (const [name, load] of loads) this.loads.set(name, load);
    }
    for (const name of assigned) {
      this.#stores.add(name);
      this.loads.set(name, this.parent?.find(name) ? 'outer' : 'given');
    }
  }

  get stores(): ReadonlySet<string> {
    return this.#stores;
  }

  #has(name: string): boolean {
    return this.loads.has(name) || (this.#before ? this.#before.#has(name) : false);
  }

  #stored(name: string): boolean {
    return this.#stores.has(name) || (this.#before ? this.#before.#stored(name) : false);
  }
}

/** Resolves the names of a whole template. @returns the outermost frame */
export function analyze(body: readonly Statement[]): Frame {
  const frame = new Frame();
  visitAll(body, frame);
  settleInner(body, frame);
  return frame;
}

/** Visits the statements that belong to the frame itself. */
function visitAll(body: readonly Statement[], frame: Frame): void {
  for (const statement of body) visit(statement, frame);
}

function visit(statement: Statement, frame: Frame): void {
  const load = (expression: Expression | undefined) => {
    if (expression) eachName(expression, (name) => frame.load(name));
  };
  switch (statement.type) {
    case 'Output':
      statement.parts.forEach(load);
      break;
    case 'For':
      load(statement.iterable);
      break;
    case 'If':
      visitIf(statement.branches, statement.otherwise, frame);
      break;
    case 'Macro':
      frame.store(statement.macro.name!);
      break;
    case 'CallBlock':
      load(statement.call);
      break;
    case 'FilterBlock':
      load(statement.filter);
      break;
    case 'With':
      statement.values.forEach(load);
      break;
    case 'Assign':
      load(statement.value);
      storeTarget(statement.target, frame);
      break;
    case 'AssignBlock':
      storeTarget(statement.target, frame);
      break;
  }
}

/** An `elif` is visited like a separate `if`, next to the first body and the `else`. */
function visitIf(
  branches: readonly { readonly test: Expression; readonly body: readonly Statement[] }[],
  otherwise: readonly Statement[],
  frame: Frame,
): void {
  const [first, ...rest] = branches;
  eachName(first!.test, (name) => frame.load(name));
  frame.branches([
    (copy) => visitAll(first!.body, copy),
    (copy) => {
      for (const branch of rest) visitIf([branch], [], copy);
    },
    (copy) => visitAll(otherwise, copy),
  ]);
}

function storeTarget(target: Target, frame: Frame, asParameter = false): void {
  if (target.type === 'Tuple') {
    for (const item of target.items) storeTarget(item, frame, asParameter);
  } else if (target.type === 'NamespaceRef') frame.load(target.name);
  else if (asParameter) frame.parameter(target.name);
  else frame.store(target.name);
}

/** Resolves the frames inside statements whose own names are resolved. */
function settleInner(body: readonly Statement[], frame: Frame): void {
  for (const statement of body) {
    switch (statement.type) {
      case 'If':
        for (const branch of statement.branches) settleInner(branch.body, frame);
        settleInner(statement.otherwise, frame);
        break;
      case 'For': {
        const { frames, target } = statement;
        if (assignsLoop(statement)) throw new JinjaError('it assigns to loop inside of a loop');
        frames.body.parent = frames.test.parent = frames.otherwise.parent = frame;
        if (statement.recursive || readsFirst(statement.body, ['loop']).has('loop')) {
          frames.body.parameter('loop');
        }
        storeTarget(target, frames.body, true);
        settle(statement.body, frames.body);
        storeTarget(target, frames.test, true);
        if (statement.test) eachName(statement.test, (name) => frames.test.load(name));
        settle(statement.otherwise, frames.otherwise);
        break;
      }
      case 'Macro':
      case 'CallBlock':
      case 'Generation':
        settleMacro(statement.macro, frame);
        break;
      case 'With':
        statement.frame.parent = frame;
        for (const target of statement.targets) storeTarget(target, statement.frame, true);
        settle(statement.body, statement.frame);
        break;
      case 'FilterBlock':
      case 'AssignBlock': {
        const { filter } = statement;
        statement.frame.parent = frame;
        visitAll(statement.body, statement.frame);
        if (filter) eachName(filter, (name) => statement.frame.load(name));
        settleInner(statement.body, statement.frame);
        break;
      }
    }
  }
}

function settle(body: readonly Statement[], frame: Frame): void {
  visitAll(body, frame);
  settleInner(body, frame);
}

function settleMacro(macro: MacroNode, parent: Frame): void {
  const { frame, parameters, uses } = macro;
  frame.parent = parent;
  for (const name of parameters) frame.parameter(name);
  const read = readsFirst(macro.body, ['caller', 'kwargs', 'varargs']);
  for (const name of ['caller', 'kwargs', 'varargs'] as const) {
    uses[name] = read.has(name) && (name === 'caller' || !parameters.includes(name));
    if (!uses[name] || parameters.includes(name)) continue;
    frame.parameter(name);
  }
  const position = parameters.indexOf('caller');
  if (uses.caller && position >= 0 && position < parameters.length - macro.defaults.length) {
    throw new JinjaError('the parameter caller of a macro needs a default');
  }
  for (const expression of macro.defaults) eachName(expression, (name) => frame.load(name));
  settle(macro.body, frame);
}

function assignsLoop(statement: Statement & { type: 'For' }): boolean {
  let found = false;
  eachMention([statement], (name, isRead) => {
    if (name === 'loop' && !isRead) found = true;
  });
  return found;
}

/** The names that are read before they are assigned, in the order of the source. */
function readsFirst(body: readonly Statement[], names: readonly string[]): Set<string> {
  const open = new Set(names);
  const read = new Set<string>();
  eachMention(body, (name, isRead) => {
    if (!open.has(name)) return;
    if (isRead) read.add(name);
    else open.delete(name);
  });
  return read;
}

/** Every name that is read or assigned, at any depth, in the order of the source. */
function eachMention(body: readonly Statement[], see: (name: string, isRead: boolean) => void): void {
  const read = (expression: Expression | undefined) => {
    if (expression) eachName(expression, (name) => see(name, true));
  };
  const assign = (target: Target): void => {
    if (target.type === 'Tuple') target.items.forEach(assign);
    else if (target.type === 'Name') see(target.name, false);
  };
  const macroBody = ({ parameters, defaults, body: inside }: MacroNode) => {
    for (const name of parameters) see(name, false);
    defaults.forEach(read);
    eachMention(inside, see);
  };
  for (const statement of body) {
    switch (statement.type) {
      case 'Output':
        statement.parts.forEach(read);
        break;
      case 'For':
        assign(statement.target);
        read(statement.iterable);
        eachMention(statement.body, see);
        eachMention(statement.otherwise, see);
        read(statement.test);
        break;
      case 'If':
        for (const branch of statement.branches) {
          read(branch.test);
          eachMention(branch.body, see);
        }
        eachMention(statement.otherwise, see);
        break;
      case 'Macro':
      case 'Generation':
        macroBody(statement.macro);
        break;
      case 'CallBlock':
        read(statement.call);
        macroBody(statement.macro);
        break;
      case 'FilterBlock':
        eachMention(statement.body, see);
        read(statement.filter);
        break;
      case 'With':
        statement.targets.forEach(assign);
        statement.values.forEach(read);
        eachMention(statement.body, see);
        break;
      case 'Assign':
        assign(statement.target);
        read(statement.value);
        break;
      case 'AssignBlock':
        assign(statement.target);
        read(statement.filter);
        eachMention(statement.body, see);
        break;
    }
  }
}

/** Calls `see` with every name that an expression reads. */
function eachName(expression: Expression, see: (name: string) => void): void {
  const inside = (part: Expression | undefined) => {
    if (part) eachName(part, see);
  };
  const inArguments = ({ args, kwargs, dynArgs, dynKwargs }: Arguments) => {
    args.forEach(inside);
    for (const { value } of kwargs) inside(value);
    inside(dynArgs);
    inside(dynKwargs);
  };
  switch (expression.type) {
    case 'Name':
      see(expression.name);
      break;
    case 'Tuple':
    case 'List':
      expression.items.forEach(inside);
      break;
    case 'Dict':
      for (const pair of expression.pairs) pair.forEach(inside);
      break;
    case 'Attribute':
      inside(expression.object);
      break;
    case 'Item':
      inside(expression.object);
      inside(expression.key);
      break;
    case 'Slice':
      expression.bounds.forEach(inside);
      break;
    case 'Call':
      inside(expression.callee);
      inArguments(expression);
      break;
    case 'Filter':
    case 'Test':
      inside(expression.operand);
      inArguments(expression);
      break;
    case 'Not':
    case 'Negative':
    case 'Positive':
      inside(expression.operand);
      break;
    case 'Binary':
    case 'And':
    case 'Or':
      inside(expression.left);
      inside(expression.right);
      break;
    case 'Compare':
      inside(expression.first);
      for (const [, part] of expression.rest) inside(part);
      break;
    case 'Concat':
      expression.parts.forEach(inside);
      break;
    case 'Conditional':
      for (const part of [expression.test, expression.value, expression.otherwise]) inside(part);
      break;
  }
}
