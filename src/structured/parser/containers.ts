import { QUOTE, type StringDfa } from '../automata/dfa.ts';
import type { LiteralTrie } from '../schema/literal.ts';
import {
  type ArrayValue,
  costAfterItem,
  costAfterProperty,
  costOf,
  type GrammarNode,
  itemAt,
  type ObjectValue,
} from '../schema/values.ts';
import { isSpace, Position, whitespace } from './position.ts';
import { StringFrame } from './scalars.ts';

const COMMA = 0x2c;
const COLON = 0x3a;
const CLOSE_ARRAY = 0x5d;
const CLOSE_OBJECT = 0x7d;

/** The position before a value, followed by `parent`. */
type BeforeValue = (node: GrammarNode, parent: Position) => Position;

/** Where in an array or object: after the opening bracket, before a key, or after a value. */
type Phase = 'open' | 'key' | 'after';

/** An open array or object: its positions by phase, index and white space. */
abstract class Frame<P extends Position> {
  readonly #positions = new Map<string, P>();

  at(phase: Phase, index: number, space: number): P {
    const key = `${phase}${index} ${space}`;
    const known = this.#positions.get(key);
    if (known) return known;
    const position = this.make(phase, index, space);
    this.#positions.set(key, position);
    return position;
  }

  protected abstract make(phase: Phase, index: number, space: number): P;
}

export class ArrayFrame extends Frame<InArray> {
  /** Items are counted only as far as their number matters. */
  readonly #cap: number;

  constructor(
    readonly value: ArrayValue,
    readonly parent: Position,
    readonly beforeValue: BeforeValue,
  ) {
    super();
    const { prefix, least, most } = value;
    this.#cap = most < Number.POSITIVE_INFINITY ? most : Math.max(prefix.length, least);
  }

  override at(phase: Phase, index: number, space: number): InArray {
    return super.at(phase, Math.min(index, this.#cap), space);
  }

  protected make(phase: Phase, index: number, space: number): InArray {
    return new InArray(this, phase, index, space);
  }
}

/** In an array: just opened, or after `count` items (at most the frame's cap). */
class InArray extends Position {
  override readonly lines = true;
  readonly cost: number;

  readonly #frame: ArrayFrame;
  readonly #phase: Phase;
  readonly #count: number;
  readonly #space: number;

  constructor(frame: ArrayFrame, phase: Phase, count: number, space: number) {
    super();
    this.#frame = frame;
    this.#phase = phase;
    this.#count = count;
    this.#space = space;
    const { value, parent } = frame;
    this.cost = parent.cost + (phase === 'open' ? costOf(value) - 1 : costAfterItem(value, count));
  }

  step(byte: number): readonly Position[] {
    const frame = this.#frame;
    const phase = this.#phase;
    const count = this.#count;
    const { value, parent } = frame;
    const mayClose = count >= value.least;
    if (byte === CLOSE_ARRAY) return mayClose ? [parent] : [];
    const item = itemAt(value, count);
    const mayGoOn = count < value.most && item.cost < Number.POSITIVE_INFINITY;
    if (phase === 'after') {
      if (byte === COMMA && this.#space === 0) return mayGoOn ? [frame.beforeValue(item, this.#after())] : [];
      const space = mayClose ? whitespace(this.#space, byte, true) : -1;
      return space < 0 ? [] : [frame.at(phase, count, space)];
    }
    const space = whitespace(this.#space, byte, true);
    if (space >= 0) return [frame.at(phase, count, space)];
    if (!mayGoOn || isSpace(byte)) return [];
    return frame.beforeValue(item, this.#after()).step(byte);
  }

  #after(): Position {
    return this.#frame.at('after', this.#count + 1, 0);
  }
}

export class ObjectFrame extends Frame<InObject> {
  constructor(
    readonly value: ObjectValue,
    readonly parent: Position,
    readonly beforeValue: BeforeValue,
  ) {
    super();
  }

  /** Index of the first required property from one on; their number if there is none. */
  required(from: number): number {
    const at = this.value.properties.findIndex((property, i) => i >= from && property.required);
    return at < 0 ? this.value.properties.length : at;
  }

  /** The least number of tokens from before a key, if the next property is `from` or a later one. */
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

/** In an object: just opened, before a key, or after a value. Properties from `index` on may follow, in order. */
class InObject extends Position {
  readonly cost: number;
  readonly #keyCost: number;
  #afterQuote: readonly Position[] | undefined;

  readonly #frame: ObjectFrame;
  readonly #phase: Phase;
  readonly #index: number;
  readonly #space: number;

  constructor(frame: ObjectFrame, phase: Phase, index: number, space: number) {
    super();
    this.#frame = frame;
    this.#phase = phase;
    this.#index = index;
    this.#space = space;
    const { value, parent } = frame;
    this.#keyCost = frame.costOfKey(index);
    const cost =
      phase === 'open'
        ? costOf(value) - 1
        : phase === 'key'
          ? this.#keyCost
          : costAfterProperty(value, index);
    this.cost = parent.cost + cost;
  }

  step(byte: number): readonly Position[] {
    const frame = this.#frame;
    const phase = this.#phase;
    const index = this.#index;
    const mayClose = phase !== 'key' && frame.required(index) === frame.value.properties.length;
    if (byte === CLOSE_OBJECT) return mayClose ? [frame.parent] : [];
    const mayGoOn = this.#keyCost < Number.POSITIVE_INFINITY;
    if (phase === 'after' && byte === COMMA) {
      return mayGoOn && this.#space === 0 ? [frame.at('key', index, 0)] : [];
    }
    if (phase === 'after' ? mayClose : mayClose || mayGoOn) {
      const space = whitespace(this.#space, byte, true);
      if (space >= 0) return [frame.at(phase, index, space)];
    }
    if (byte !== QUOTE || phase === 'after') return [];
    this.#afterQuote ??= this.#keys();
    return this.#afterQuote;
  }

  /** After the opening quotation mark of a key. */
  #keys(): readonly Position[] {
    const frame = this.#frame;
    const index = this.#index;
    const { properties, additional } = frame.value;
    const last = frame.required(index);
    const next: Position[] = [];
    const listed: KeyReading[] = [];
    for (let i = index; i <= Math.min(last, properties.length - 1); i++) {
      const { key, node } = properties[i]!;
      if (node.cost === Number.POSITIVE_INFINITY) continue;
      listed.push({
        key,
        at: key.child(0, QUOTE)!,
        value: frame.beforeValue(node, frame.at('after', i + 1, 0)),
      });
    }
    if (listed.length > 0) next.push(new InKey(listed));
    if (last === properties.length && additional && additional.node.cost < Number.POSITIVE_INFINITY) {
      const value = frame.beforeValue(additional.node, frame.at('after', properties.length, 0));
      next.push(value.shared(additional, () => afterKey(additional.keys, value)).start());
    }
    return next;
  }
}

/** A possible listed key: `"name":`, how far it has been read, and the position before its value. */
interface KeyReading {
  readonly key: LiteralTrie;
  readonly at: number;
  readonly value: Position;
}

/** Inside a key that may be one of several properties. */
class InKey extends Position {
  override readonly literal = true;
  readonly cost: number;
  readonly #known = new Map<number, readonly Position[]>();

  readonly #readings: readonly KeyReading[];

  constructor(readings: readonly KeyReading[]) {
    super();
    this.#readings = readings;
    this.cost = Math.min(...readings.map(({ key, at, value }) => key.cost(at) + value.cost));
  }

  step(byte: number): readonly Position[] {
    const known = this.#known.get(byte);
    if (known) return known;
    const on: KeyReading[] = [];
    const next: Position[] = [];
    for (const { key, at, value } of this.#readings) {
      const to = key.child(at, byte);
      if (to === undefined) continue;
      if (key.isEnd(to)) next.push(value);
      else on.push({ key, at: to, value });
    }
    if (on.length > 0) next.push(new InKey(on));
    this.#known.set(byte, next);
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

  readonly #value: Position;

  constructor(value: Position) {
    super();
    this.#value = value;
    this.cost = 1 + value.cost;
  }

  step(byte: number): readonly Position[] {
    return byte === COLON ? [this.#value] : [];
  }
}
