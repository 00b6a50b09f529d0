import type { Budget } from './budget.ts';
import { JinjaError } from './errors.ts';
import { equal, lengthOf } from './python.ts';
import { Callable, Lazy, List, Thing, Tuple, Undefined, type Value } from './values.ts';

/** `loop` in a `for`: it looks one item ahead, and further only to determine the length. */
export class LoopContext extends Thing {
  readonly typeName = 'LoopContext';
  #source: IterableIterator<Value>;
  #length: number | undefined;
  #index0 = -1;
  #before: Value | undefined;
  #current: Value | undefined;
  #after: { readonly value: Value } | undefined;
  #changed: Tuple | undefined;

  /**
   * @param iterable the value that is iterated, if its length is known.
   * @param recurse renders the loop's body for other items, if the loop is recursive.
   */
  constructor(
    source: IterableIterator<Value>,
    readonly iterable: Value,
    readonly depth0: number,
    readonly recurse: ((items: Value, depth: number) => Value) | undefined,
    readonly budget: Budget,
  ) {
    super();
    this.#source = source;
  }

  /** Advances to the next item. @returns undefined after the last one */
  next(): { readonly value: Value } | undefined {
    const next = this.#peek();
    if (!next) return undefined;
    this.#after = undefined;
    this.#index0++;
    this.#before = this.#current;
    this.#current = next.value;
    return next;
  }

  attribute(name: string): Value | undefined {
    const index0 = this.#index0;
    switch (name) {
      case 'index0':
        return BigInt(index0);
      case 'index':
        return BigInt(index0 + 1);
      case 'length':
        return BigInt(this.#size());
      case 'revindex0':
        return BigInt(this.#size() - index0 - 1);
      case 'revindex':
        return BigInt(this.#size() - index0);
      case 'first':
        return index0 === 0;
      case 'last':
        return !this.#peek();
      case 'depth0':
        return BigInt(this.depth0);
      case 'depth':
        return BigInt(this.depth0 + 1);
      case 'previtem':
        return index0 === 0 ? new Undefined('there is no previous item') : this.#before!;
      case 'nextitem':
        return this.#nextItem();
      case 'cycle':
        return new Callable('cycle', ({ args }) => {
          if (args.length === 0) throw new JinjaError('no items for cycling given');
          return args[this.#index0 % args.length]!;
        });
      case 'changed':
        return new Callable('changed', ({ args }, budget) => {
          const now = new Tuple(args);
          const changed = !this.#changed || !equal(this.#changed, now, budget);
          if (changed) this.#changed = now;
          return changed;
        });
      default:
        return undefined;
    }
  }

  #nextItem(): Value {
    const next = this.#peek();
    return next ? next.value : new Undefined('there is no next item');
  }

  #peek(): { readonly value: Value } | undefined {
    if (this.#after) return this.#after;
    const { done, value } = this.#source.next();
    if (done) return undefined;
    this.#after = { value };
    return this.#after;
  }

  #size(): number {
    if (this.#length !== undefined) return this.#length;
    if (!(this.iterable instanceof Lazy)) {
      this.#length = lengthOf(this.iterable);
      return this.#length;
    }
    const rest: Value[] = [];
    for (let next = this.#source.next(); !next.done; next = this.#source.next()) {
      this.budget.spend(1 / 4);
      rest.push(next.value);
    }
    this.#source = new List(rest).items[Symbol.iterator]();
    this.#length = rest.length + this.#index0 + 1 + (this.#after ? 1 : 0);
    return this.#length;
  }
}
