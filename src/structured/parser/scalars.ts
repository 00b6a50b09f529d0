import { DEAD, EXIT, type StringDfa } from '../automata/dfa.ts';
import type { PartialNumber } from '../schema/decimal.ts';
import type { LiteralValue, NumberValue, StringValue } from '../schema/values.ts';
import { Position } from './position.ts';

/** Inside one of several fixed values. */
export class InLiteral extends Position {
  override readonly literal = true;
  readonly cost: number;

  readonly #value: LiteralValue;
  readonly #node: number;
  readonly #parent: Position;
  readonly #known: Map<number, InLiteral>;

  constructor(value: LiteralValue, node: number, parent: Position, known: Map<number, InLiteral>) {
    super();
    this.#value = value;
    this.#node = node;
    this.#parent = parent;
    this.#known = known;
    const { trie } = value;
    this.cost = parent.cost + (trie.isEnd(node) ? trie.costToGoOn(node) : trie.cost(node));
  }

  step(byte: number): readonly Position[] {
    const { trie } = this.#value;
    const node = trie.child(this.#node, byte);
    if (node === undefined) return [];
    const ended = trie.isEnd(node) ? [this.#parent] : [];
    if (!trie.goesOn(node)) return ended;
    const next = this.#known.get(node) ?? new InLiteral(this.#value, node, this.#parent, this.#known);
    this.#known.set(node, next);
    return [next, ...ended];
  }
}

class InNumber extends Position {
  readonly #value: NumberValue;
  readonly #number: PartialNumber;
  readonly #parent: Position;

  constructor(
    value: NumberValue,
    number: PartialNumber,
    parent: Position,
    readonly cost: number,
  ) {
    super();
    this.#value = value;
    this.#number = number;
    this.#parent = parent;
  }

  step(byte: number): readonly Position[] {
    const next = this.#value.range.next(this.#number, byte);
    return next ? numberPositions(this.#value, next, this.#parent) : [];
  }
}

/** A number may end where it is complete, and may continue where it can become a different one. */
export function numberPositions(
  value: NumberValue,
  number: PartialNumber,
  parent: Position,
): readonly Position[] {
  const more = value.range.more(number);
  const positions: Position[] = value.range.complete(number) ? [parent] : [];
  if (more < Number.POSITIVE_INFINITY)
    positions.push(new InNumber(value, number, parent, more + parent.cost));
  return positions;
}

/** An open string, in all the states it can be in. */
export class StringFrame {
  readonly #positions = new Map<number, InString>();

  constructor(
    readonly value: StringValue,
    readonly parent: Position,
  ) {}

  start(): InString {
    return this.at(this.value.dfa.start, 0);
  }

  at(state: number, count: number): InString {
    const { dfa, least, most } = this.value;
    const counted = most === Number.POSITIVE_INFINITY ? Math.min(count, least) : count;
    const key = counted * dfa.boundary.length + state;
    const known = this.#positions.get(key);
    if (known) return known;
    const position = new InString(this, state, counted);
    this.#positions.set(key, position);
    return position;
  }
}

/** Inside a string. `count`: characters begun, as far as that matters. */
export class InString extends Position {
  readonly cost: number;
  readonly dfa: StringDfa;
  readonly parent: Position;
  readonly least: number;
  readonly most: number;

  readonly #frame: StringFrame;

  constructor(
    frame: StringFrame,
    readonly state: number,
    readonly count: number,
  ) {
    super();
    this.#frame = frame;
    ({ dfa: this.dfa, least: this.least, most: this.most } = frame.value);
    this.parent = frame.parent;
    this.cost = this.dfa.distance[state]! + Math.max(0, this.least - count) + this.parent.cost;
  }

  step(byte: number): readonly Position[] {
    const next = this.dfa.table[this.state * 256 + byte]!;
    if (next === DEAD) return [];
    if (next === EXIT) return this.count >= this.least ? [this.parent] : [];
    const count = this.count + this.dfa.boundary[this.state]!;
    return count > this.most ? [] : [this.#frame.at(next, count)];
  }
}
