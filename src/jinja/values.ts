import type { Budget } from './budget.ts';
import { JinjaError } from './errors.ts';
import { Text } from './text.ts';

/** A value of a template: Python's, with bigint for int and number for float. */
export type Value =
  | Text
  | bigint
  | number
  | boolean
  | null
  | Undefined
  | List
  | Tuple
  | Dict
  | Range
  | View
  | Lazy
  | Thing
  | Callable;

/** An undefined value; printed as nothing, and an error when used. */
export class Undefined {
  /**
   * @param message what an error says
   * @param strict whether it is an error to print, compare or test it too, as with Jinja2's StrictUndefined; undefined
   *   leaves it to how the program runs
   */
  constructor(
    readonly message: string,
    readonly strict?: boolean,
  ) {}

  fail(): never {
    throw new JinjaError(this.message);
  }

  /** Before it counts as nothing: an error where it is strict. */
  use(): void {
    if (this.strict) this.fail();
  }
}

export class List {
  /** @param written the error for printing it unchanged; undefined if that is allowed */
  constructor(
    readonly items: readonly Value[],
    readonly written?: string,
  ) {}
}

export class Tuple {
  /** @param names of a named tuple's fields */
  constructor(
    readonly items: readonly Value[],
    readonly names: readonly string[] = [],
  ) {}
}

/** A dict, in insertion order. */
export class Dict {
  readonly #entries = new Map<string, [Value, Value]>();

  /** @param source the caller's number of an input whose loop iterations are recorded */
  constructor(readonly source?: number) {}

  get size(): number {
    return this.#entries.size;
  }

  get(key: Value): Value | undefined {
    return this.#entries.get(hashKey(key))?.[1];
  }

  has(key: Value): boolean {
    return this.#entries.has(hashKey(key));
  }

  set(key: Value, value: Value): void {
    const hash = hashKey(key);
    const entry = this.#entries.get(hash);
    if (entry) entry[1] = value;
    else this.#entries.set(hash, [key, value]);
  }

  entries(): IterableIterator<[Value, Value]> {
    return this.#entries.values();
  }
}

export class Range {
  constructor(
    readonly start: bigint,
    readonly step: bigint,
    readonly length: number,
    readonly stop: bigint,
  ) {}

  at(index: number): bigint {
    return this.start + BigInt(index) * this.step;
  }
}

/** The result of a dict's `items()`, `keys()` or `values()`. */
export class View {
  constructor(
    readonly dict: Dict,
    readonly kind: 'items' | 'keys' | 'values',
  ) {}

  *values(): IterableIterator<Value> {
    for (const [key, value] of this.dict.entries()) {
      yield this.kind === 'items' ? new Tuple([key, value]) : this.kind === 'keys' ? key : value;
    }
  }
}

/** A generator: its items are produced on demand, once. */
export class Lazy {
  constructor(readonly source: IterableIterator<Value>) {}
}

/** An object with attributes: a namespace, a loop, a cycler. */
export abstract class Thing {
  abstract readonly typeName: string;
  /** Undefined if there is no such attribute. */
  abstract attribute(name: string): Value | undefined;
}

export class Namespace extends Thing {
  readonly typeName = 'Namespace';
  readonly attributes = new Map<string, Value>();

  attribute(name: string): Value | undefined {
    return this.attributes.get(name);
  }
}

/** The arguments of a callable. */
export interface Given {
  readonly args: readonly Value[];
  readonly kwargs: ReadonlyMap<string, Value>;
}

export class Callable {
  constructor(
    readonly name: string,
    readonly call: (given: Given, budget: Budget) => Value,
    readonly attributes: ReadonlyMap<string, Value> = new Map(),
  ) {}
}

/** A string that is equal for keys that are equal in Python. @throws JinjaError for unhashable values */
export function hashKey(key: Value): string {
  if (typeof key === 'bigint') return `n${key}`;
  if (typeof key === 'boolean') return key ? 'n1' : 'n0';
  if (typeof key === 'number') return Number.isInteger(key) ? `n${BigInt(key)}` : `f${key}`;
  if (key === null) return 'N';
  if (key instanceof Undefined) return 'U';
  if (key instanceof Tuple) {
    const parts = key.items.map(hashKey);
    return `(${parts.map((part) => `${part.length}:${part}`).join('')}`;
  }
  if (key instanceof Text) return `s${key.value}`;
  if (key instanceof Range) {
    const { length, start, step } = key;
    return `r${length},${length > 0 ? start : ''},${length > 1 ? step : ''}`;
  }
  throw new JinjaError(`a ${typeName(key)} cannot be a key (unhashable type)`);
}

/** Python's name of a value's type. */
export function typeName(value: Value): string {
  if (value === null) return 'NoneType';
  if (typeof value === 'bigint') return 'int';
  if (typeof value === 'number') return 'float';
  if (typeof value === 'boolean') return 'bool';
  if (value instanceof Undefined) return 'Undefined';
  if (value instanceof List) return 'list';
  if (value instanceof Tuple) return 'tuple';
  if (value instanceof Dict) return 'dict';
  if (value instanceof Range) return 'range';
  if (value instanceof View) return `dict_${value.kind}`;
  if (value instanceof Lazy) return 'generator';
  if (value instanceof Callable) return 'function';
  if (value instanceof Thing) return value.typeName;
  return 'str';
}
