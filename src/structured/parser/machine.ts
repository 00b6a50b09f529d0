import { QUOTE } from '../automata/dfa.ts';
import type { GrammarNode } from '../schema/values.ts';
import { ArrayFrame, ObjectFrame } from './containers.ts';
import { cheapest, Position, whitespace } from './position.ts';
import { InLiteral, numberPositions, StringFrame } from './scalars.ts';

const OPEN_ARRAY = 0x5b;
const OPEN_OBJECT = 0x7b;

/** The position before a value. */
export function beforeValue(node: GrammarNode, parent: Position): Position {
  return parent.shared(node, () => new BeforeValue(node, parent, 0, new Map()));
}

class BeforeValue extends Position {
  readonly cost: number;

  readonly #node: GrammarNode;
  readonly #parent: Position;
  readonly #space: number;
  readonly #spaces: Map<number, BeforeValue>;

  constructor(node: GrammarNode, parent: Position, space: number, spaces: Map<number, BeforeValue>) {
    super();
    this.#node = node;
    this.#parent = parent;
    this.#space = space;
    this.#spaces = spaces;
    this.cost = node.cost + parent.cost;
  }

  step(byte: number): readonly Position[] {
    const node = this.#node;
    const parent = this.#parent;
    const space = whitespace(this.#space, byte, parent.lines);
    if (space >= 0) {
      const known = this.#spaces.get(space) ?? new BeforeValue(node, parent, space, this.#spaces);
      this.#spaces.set(space, known);
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
      return [
        parent.shared(alternative, () => new ArrayFrame(alternative, parent, beforeValue)).at('open', 0, 0),
      ];
    case 'object':
      if (byte !== OPEN_OBJECT) return [];
      return [
        parent.shared(alternative, () => new ObjectFrame(alternative, parent, beforeValue)).at('open', 0, 0),
      ];
  }
}
