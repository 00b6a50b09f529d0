import type { PartialNumber } from './json-schema-decimal.ts';
import { DEAD, EXIT, type StringDfa } from './json-schema-dfa.ts';
import {
  type ArrayValue,
  costAfterItem,
  costAfterProperty,
  costOf,
  type GrammarNode,
  itemAt,
  type LiteralValue,
  type NumberValue,
  type ObjectValue,
  type StringValue,
} from './json-schema-grammar.ts';
import type { LiteralTrie } from './json-schema-literal.ts';

const QUOTE = 0x22;
const SPACE = 0x20;
const NEWLINE = 0x0a;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Spaces that may follow a line break: eight levels of indentation by two, and never without end. */
const MOST_INDENT = 16;
/** Ways to read the text so far that are followed at once; of more, the cheapest. */
const MOST_READINGS = 64;

/**
 * A place in the text, with all that is open around it: what has been read of a value, and its `parent`, the place
 * after that value. Places are shared, so that the same place is the same object (numbers aside).
 */
export abstract class Position {
  /** Least number of tokens to the end of the text. */
  abstract readonly cost: number;
  /** Where a byte may lead: to several places when it is not yet clear which alternative this is. */
  abstract step(byte: number): readonly Position[];
  /** What was worked out for this place: tokens that may follow here. */
  memo: unknown;
  private inner: Map<object | number, unknown> | undefined;

  /** Something that exists once for this place and `key`. */
  shared<T>(key: object | number, make: () => T): T {
    this.inner ??= new Map();
    const known = this.inner.get(key);
    if (known !== undefined) return known as T;
    const made = make();
    this.inner.set(key, made);
    return made;
  }
}

/** All places that a byte leads to from several. */
export function advance(positions: readonly Position[], byte: number): readonly Position[] {
  if (positions.length === 1) return positions[0]!.step(byte);
  const next: Position[] = [];
  for (const position of positions) {
    for (const to of position.step(byte)) if (!next.includes(to)) next.push(to);
  }
  return cheapest(next);
}

/** The least cost of several places; Infinity for none. */
export function leastCost(positions: readonly Position[]): number {
  let least = Number.POSITIVE_INFINITY;
  for (const { cost } of positions) least = Math.min(least, cost);
  return least;
}

/**
 * Of many places the cheapest: each of them can be ended, so that leaving some out is safe. Literals come first: their
 * cost counts whole tokens, and inside a token it is no measure.
 */
export function cheapest(positions: readonly Position[]): readonly Position[] {
  if (positions.length <= MOST_READINGS) return positions;
  const rank = (position: Position) => (position instanceof InLiteral || position instanceof InKey ? 0 : 1);
  return [...positions].sort((a, b) => rank(a) - rank(b) || a.cost - b.cost).slice(0, MOST_READINGS);
}

/** After the whole text. */
export class Done extends Position {
  readonly cost = 0;

  step(): readonly Position[] {
    return [];
  }
}

/** The place before a value. */
export function beforeValue(node: GrammarNode, parent: Position): Position {
  return parent.shared(node, () => new BeforeValue(node, parent, 0, new Map()));
}

/** White space so far: 0 none, 1 a space, 2 … a line break and spaces. Returns −1 when no more may come. */
function whitespace(state: number, byte: number, lines: boolean): number {
  if (byte === SPACE) {
    if (state === 0) return 1;
    if (state >= 2 && state < 2 + MOST_INDENT) return state + 1;
  } else if (byte === NEWLINE && state === 0 && lines) return 2;
  return -1;
}

class BeforeValue extends Position {
  readonly cost: number;

  constructor(
    private readonly node: GrammarNode,
    private readonly parent: Position,
    private readonly space: number,
    private readonly spaces: Map<number, BeforeValue>,
  ) {
    super();
    this.cost = node.cost + parent.cost;
  }

  step(byte: number): readonly Position[] {
    const { node, parent } = this;
    const space = whitespace(this.space, byte, parent instanceof InArray);
    if (space >= 0) {
      const known = this.spaces.get(space) ?? new BeforeValue(node, parent, space, this.spaces);
      this.spaces.set(space, known);
      return [known];
    }
    const next: Position[] = [];
    for (const alternative of node.alternatives) {
      for (const position of begin(alternative, parent, byte)) {
        if (!next.includes(position)) next.push(position);
      }
    }
    return cheapest(next);
  }
}

function begin(
  alternative: GrammarNode['alternatives'][number],
  parent: Position,
  byte: number,
): readonly Position[] {
  switch (alternative.kind) {
    case 'literal':
      return parent.shared(alternative, () => new InLiteral(alternative, 0, parent, new Map())).step(byte);
    case 'string':
      if (byte !== QUOTE) return [];
      return [parent.shared(alternative, () => new StringFrame(alternative, parent)).start()];
    case 'number': {
      const number = alternative.range.start(byte);
      return number ? numberPositions(alternative, number, parent) : [];
    }
    case 'array':
      if (byte !== OPEN_ARRAY) return [];
      return [parent.shared(alternative, () => new ArrayFrame(alternative, parent)).at('open', 0, 0)];
    case 'object':
      if (byte !== OPEN_OBJECT) return [];
      return [parent.shared(alternative, () => new ObjectFrame(alternative, parent)).at('open', 0, 0)];
  }
}

class InLiteral extends Position {
  readonly cost: number;

  constructor(
    private readonly value: LiteralValue,
    private readonly node: number,
    private readonly parent: Position,
    private readonly known: Map<number, InLiteral>,
  ) {
    super();
    const { trie } = value;
    this.cost = parent.cost + (trie.isEnd(node) ? trie.costToGoOn(node) : trie.cost(node));
  }

  step(byte: number): readonly Position[] {
    const { trie } = this.value;
    const node = trie.child(this.node, byte);
    if (node === undefined) return [];
    const ended = trie.isEnd(node) ? [this.parent] : [];
    if (!trie.goesOn(node)) return ended;
    const next = this.known.get(node) ?? new InLiteral(this.value, node, this.parent, this.known);
    this.known.set(node, next);
    return [next, ...ended];
  }
}

class InNumber extends Position {
  constructor(
    private readonly value: NumberValue,
    private readonly number: PartialNumber,
    private readonly parent: Position,
    readonly cost: number,
  ) {
    super();
  }

  step(byte: number): readonly Position[] {
    const next = this.value.range.next(this.number, byte);
    return next ? numberPositions(this.value, next, this.parent) : [];
  }
}

/** A number may end where it is complete, and may go on where it can become another one. */
function numberPositions(value: NumberValue, number: PartialNumber, parent: Position): readonly Position[] {
  const more = value.range.more(number);
  const positions: Position[] = value.range.complete(number) ? [parent] : [];
  if (more < Number.POSITIVE_INFINITY)
    positions.push(new InNumber(value, number, parent, more + parent.cost));
  return positions;
}

/** A string that is open, in all the states it can be in. */
class StringFrame {
  private readonly positions = new Map<number, InString>();

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
    const known = this.positions.get(key);
    if (known) return known;
    const position = new InString(this, state, counted);
    this.positions.set(key, position);
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

  constructor(
    private readonly frame: StringFrame,
    readonly state: number,
    readonly count: number,
  ) {
    super();
    ({ dfa: this.dfa, least: this.least, most: this.most } = frame.value);
    this.parent = frame.parent;
    this.cost = this.dfa.distance[state]! + Math.max(0, this.least - count) + this.parent.cost;
  }

  step(byte: number): readonly Position[] {
    const next = this.dfa.table[this.state * 256 + byte]!;
    if (next === DEAD) return [];
    if (next === EXIT) return this.count >= this.least ? [this.parent] : [];
    const count = this.count + this.dfa.boundary[this.state]!;
    return count > this.most ? [] : [this.frame.at(next, count)];
  }
}

/** Where in an array or object: after its opening bracket, before a key, or after a value. */
type Phase = 'open' | 'key' | 'after';

/** An array or object that is open: its places by phase, index and white space. */
abstract class Frame<P extends Position> {
  private readonly positions = new Map<string, P>();

  at(phase: Phase, index: number, space: number): P {
    const key = `${phase}${index} ${space}`;
    const known = this.positions.get(key);
    if (known) return known;
    const position = this.make(phase, index, space);
    this.positions.set(key, position);
    return position;
  }

  protected abstract make(phase: Phase, index: number, space: number): P;
}

class ArrayFrame extends Frame<InArray> {
  /** Items are counted as long as their number makes a difference. */
  private readonly cap: number;

  constructor(
    readonly value: ArrayValue,
    readonly parent: Position,
  ) {
    super();
    const { prefix, least, most } = value;
    this.cap = most < Number.POSITIVE_INFINITY ? most : Math.max(prefix.length, least);
  }

  override at(phase: Phase, index: number, space: number): InArray {
    return super.at(phase, Math.min(index, this.cap), space);
  }

  protected make(phase: Phase, index: number, space: number): InArray {
    return new InArray(this, phase, index, space);
  }
}

/** In an array: opened, or after `count` items (at most the frame's cap). */
class InArray extends Position {
  readonly cost: number;

  constructor(
    private readonly frame: ArrayFrame,
    private readonly phase: Phase,
    private readonly count: number,
    private readonly space: number,
  ) {
    super();
    const { value, parent } = frame;
    this.cost = parent.cost + (phase === 'open' ? costOf(value) - 1 : costAfterItem(value, count));
  }

  step(byte: number): readonly Position[] {
    const { frame, phase, count } = this;
    const { value, parent } = frame;
    const mayClose = count >= value.least;
    if (byte === CLOSE_ARRAY) return mayClose ? [parent] : [];
    const item = itemAt(value, count);
    const mayGoOn = count < value.most && item.cost < Number.POSITIVE_INFINITY;
    if (phase === 'after') {
      if (byte === COMMA && this.space === 0) return mayGoOn ? [beforeValue(item, this.after())] : [];
      const space = mayClose ? whitespace(this.space, byte, true) : -1;
      return space < 0 ? [] : [frame.at(phase, count, space)];
    }
    const space = whitespace(this.space, byte, true);
    if (space >= 0) return [frame.at(phase, count, space)];
    if (!mayGoOn || byte === SPACE || byte === NEWLINE) return [];
    return beforeValue(item, this.after()).step(byte);
  }

  private after(): Position {
    return this.frame.at('after', this.count + 1, 0);
  }
}

class ObjectFrame extends Frame<InObject> {
  constructor(
    readonly value: ObjectValue,
    readonly parent: Position,
  ) {
    super();
  }

  /** Index of the first required property from one on; their number when there is none. */
  required(from: number): number {
    const at = this.value.properties.findIndex((property, i) => i >= from && property.required);
    return at < 0 ? this.value.properties.length : at;
  }

  /** Least number of tokens from before a key, the next property being `from` or a later one. */
  costOfKey(from: number): number {
    const { properties, additional } = this.value;
    const last = this.required(from);
    if (last < properties.length) return costAfterProperty(this.value, from) - 1;
    let least = Number.POSITIVE_INFINITY;
    for (let i = from; i < properties.length; i++) {
      const { key, node } = properties[i]!;
      least = Math.min(least, key.cost(0) + node.cost + 1);
    }
    if (!additional) return least;
    return Math.min(
      least,
      1 + additional.keys.distance[additional.keys.start]! + 1 + additional.node.cost + 1,
    );
  }

  protected make(phase: Phase, index: number, space: number): InObject {
    return new InObject(this, phase, index, space);
  }
}

/** In an object: opened, before a key, or after a value. Properties from `index` on may follow, in order. */
class InObject extends Position {
  readonly cost: number;
  private readonly keyCost: number;
  private afterQuote: readonly Position[] | undefined;

  constructor(
    private readonly frame: ObjectFrame,
    private readonly phase: Phase,
    private readonly index: number,
    private readonly space: number,
  ) {
    super();
    const { value, parent } = frame;
    this.keyCost = frame.costOfKey(index);
    const cost =
      phase === 'open' ? costOf(value) - 1 : phase === 'key' ? this.keyCost : costAfterProperty(value, index);
    this.cost = parent.cost + cost;
  }

  step(byte: number): readonly Position[] {
    const { frame, phase, index } = this;
    const mayClose = phase !== 'key' && frame.required(index) === frame.value.properties.length;
    if (byte === CLOSE_OBJECT) return mayClose ? [frame.parent] : [];
    const mayGoOn = this.keyCost < Number.POSITIVE_INFINITY;
    if (phase === 'after' && byte === COMMA) {
      return mayGoOn && this.space === 0 ? [frame.at('key', index, 0)] : [];
    }
    if (phase === 'after' ? mayClose : mayClose || mayGoOn) {
      const space = whitespace(this.space, byte, true);
      if (space >= 0) return [frame.at(phase, index, space)];
    }
    if (byte !== QUOTE || phase === 'after') return [];
    this.afterQuote ??= this.keys();
    return this.afterQuote;
  }

  /** After a key's opening quotation mark. */
  private keys(): readonly Position[] {
    const { frame, index } = this;
    const { properties, additional } = frame.value;
    const last = frame.required(index);
    const next: Position[] = [];
    const listed: KeyReading[] = [];
    for (let i = index; i <= Math.min(last, properties.length - 1); i++) {
      const { key, node } = properties[i]!;
      if (node.cost === Number.POSITIVE_INFINITY) continue;
      listed.push({ key, at: key.child(0, QUOTE)!, value: beforeValue(node, frame.at('after', i + 1, 0)) });
    }
    if (listed.length > 0) next.push(new InKey(listed));
    if (last === properties.length && additional && additional.node.cost < Number.POSITIVE_INFINITY) {
      const value = beforeValue(additional.node, frame.at('after', properties.length, 0));
      next.push(value.shared(additional, () => afterKey(additional.keys, value)).start());
    }
    return next;
  }
}

/** A listed key that this may be: `"name":`, how far it has been read, and the place before its value. */
interface KeyReading {
  readonly key: LiteralTrie;
  readonly at: number;
  readonly value: Position;
}

/** Inside the key of one of several properties. */
class InKey extends Position {
  readonly cost: number;
  private readonly known = new Map<number, readonly Position[]>();

  constructor(private readonly readings: readonly KeyReading[]) {
    super();
    this.cost = Math.min(...readings.map(({ key, at, value }) => key.cost(at) + value.cost));
  }

  step(byte: number): readonly Position[] {
    const known = this.known.get(byte);
    if (known) return known;
    const on: KeyReading[] = [];
    const next: Position[] = [];
    for (const { key, at, value } of this.readings) {
      const to = key.child(at, byte);
      if (to === undefined) continue;
      if (key.isEnd(to)) next.push(value);
      else on.push({ key, at: to, value });
    }
    if (on.length > 0) next.push(new InKey(on));
    this.known.set(byte, next);
    return next;
  }
}

/** An unlisted key, then a colon, then its value. */
function afterKey(keys: StringDfa, value: Position): StringFrame {
  const unbounded = { kind: 'string', dfa: keys, least: 0, most: Number.POSITIVE_INFINITY } as const;
  return new StringFrame(unbounded, new BeforeColon(value));
}

class BeforeColon extends Position {
  readonly cost: number;

  constructor(private readonly value: Position) {
    super();
    this.cost = 1 + value.cost;
  }

  step(byte: number): readonly Position[] {
    return byte === COLON ? [this.value] : [];
  }
}
