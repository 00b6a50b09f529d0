import type { Frame } from '../scopes.ts';
import type { Value } from '../values.ts';

export interface Keyword {
  readonly name: string;
  readonly value: Expression;
}

/** The arguments in a call. */
export interface Arguments {
  readonly args: readonly Expression[];
  readonly kwargs: readonly Keyword[];
  readonly dynArgs?: Expression | undefined;
  readonly dynKwargs?: Expression | undefined;
}

interface Name {
  readonly type: 'Name';
  readonly name: string;
}

/** `ns.attribute` as the target of an assignment. */
interface NamespaceRef {
  readonly type: 'NamespaceRef';
  readonly name: string;
  readonly attribute: string;
}

interface TupleNode<T = Expression> {
  readonly type: 'Tuple';
  readonly items: readonly T[];
}

export type Target = Name | NamespaceRef | TupleNode<Target>;

interface SliceNode {
  readonly type: 'Slice';
  readonly bounds: readonly [Expression | undefined, Expression | undefined, Expression | undefined];
}

export interface CallNode extends Arguments {
  readonly type: 'Call';
  readonly callee: Expression;
}

export interface FilterNode extends Arguments {
  readonly type: 'Filter';
  /** Undefined if it is applied to the text of a block. */
  readonly operand: Expression | undefined;
  readonly name: string;
}

interface TestNode extends Arguments {
  readonly type: 'Test';
  readonly operand: Expression;
  readonly name: string;
}

export type BinaryOperator = '+' | '-' | '*' | '/' | '//' | '%' | '**';
export type CompareOperator = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in';

export type Expression =
  | { readonly type: 'Const'; readonly value: Value }
  | Name
  | TupleNode
  | { readonly type: 'List'; readonly items: readonly Expression[] }
  | { readonly type: 'Dict'; readonly pairs: readonly (readonly [Expression, Expression])[] }
  | { readonly type: 'Attribute'; readonly object: Expression; readonly name: string }
  | { readonly type: 'Item'; readonly object: Expression; readonly key: Expression }
  | SliceNode
  | CallNode
  | FilterNode
  | TestNode
  | { readonly type: 'Not' | 'Negative' | 'Positive'; readonly operand: Expression }
  | {
      readonly type: 'Binary';
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly type: 'And' | 'Or'; readonly left: Expression; readonly right: Expression }
  | {
      readonly type: 'Compare';
      readonly first: Expression;
      readonly rest: readonly (readonly [CompareOperator, Expression])[];
    }
  | { readonly type: 'Concat'; readonly parts: readonly Expression[] }
  | {
      readonly type: 'Conditional';
      readonly test: Expression;
      readonly value: Expression;
      readonly otherwise: Expression | undefined;
    };

/** A macro, or the body of a call block, which has no name. */
export interface MacroNode {
  readonly name: string | undefined;
  readonly parameters: readonly string[];
  /** For the last parameters. */
  readonly defaults: readonly Expression[];
  readonly body: readonly Statement[];
  /** Which special names the body reads. */
  uses: { caller: boolean; kwargs: boolean; varargs: boolean };
  frame: Frame;
}

export interface ForNode {
  readonly type: 'For';
  readonly target: Target;
  readonly iterable: Expression;
  readonly test: Expression | undefined;
  readonly recursive: boolean;
  readonly body: readonly Statement[];
  readonly otherwise: readonly Statement[];
  frames: { body: Frame; test: Frame; otherwise: Frame };
}

interface IfNode {
  readonly type: 'If';
  readonly branches: readonly { readonly test: Expression; readonly body: readonly Statement[] }[];
  readonly otherwise: readonly Statement[];
}

export type Statement =
  | { readonly type: 'Output'; readonly parts: readonly Expression[] }
  | ForNode
  | IfNode
  | { readonly type: 'Macro'; readonly macro: MacroNode }
  | { readonly type: 'CallBlock'; readonly call: CallNode; readonly macro: MacroNode }
  | {
      readonly type: 'FilterBlock';
      readonly filter: FilterNode;
      readonly body: readonly Statement[];
      frame: Frame;
    }
  | {
      readonly type: 'With';
      readonly targets: readonly Target[];
      readonly values: readonly Expression[];
      readonly body: readonly Statement[];
      frame: Frame;
    }
  | { readonly type: 'Assign'; readonly target: Target; readonly value: Expression }
  | {
      readonly type: 'AssignBlock';
      readonly target: Target;
      readonly filter: FilterNode | undefined;
      readonly body: readonly Statement[];
      frame: Frame;
    }
  | { readonly type: 'Generation'; readonly macro: MacroNode }
  | { readonly type: 'Break' | 'Continue' };

export interface Program {
  readonly body: readonly Statement[];
  readonly frame: Frame;
  /** Whether it marks the assistant's text with `{% generation %}`. */
  readonly marksGeneration: boolean;
}
