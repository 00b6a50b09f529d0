import type { StringDfa } from '../automata/dfa.ts';
import type { DecimalRange } from './decimal.ts';
import type { LiteralTrie } from './literal.ts';

/** A place for a value: the possible values, and the least number of tokens that one takes (Infinity if none fits). */
export interface GrammarNode {
  readonly alternatives: readonly Alternative[];
  cost: number;
}

export type Alternative = LiteralValue | StringValue | NumberValue | ArrayValue | ObjectValue;

/** One of several values, as compact JSON. */
export interface LiteralValue {
  readonly kind: 'literal';
  readonly trie: LiteralTrie;
}

export interface StringValue {
  readonly kind: 'string';
  readonly dfa: StringDfa;
  /** Minimum and maximum number of characters. */
  readonly least: number;
  readonly most: number;
}

export interface NumberValue {
  readonly kind: 'number';
  readonly range: DecimalRange;
}

export interface ArrayValue {
  readonly kind: 'array';
  readonly prefix: readonly GrammarNode[];
  readonly rest: GrammarNode;
  readonly least: number;
  readonly most: number;
}

export interface Property {
  /** `"name":` */
  readonly key: LiteralTrie;
  readonly node: GrammarNode;
  readonly required: boolean;
}

export interface ObjectValue {
  readonly kind: 'object';
  /** In the order in which they are written. */
  readonly properties: readonly Property[];
  /** Keys and values of unlisted properties; undefined if none are written. */
  readonly additional: { readonly keys: StringDfa; readonly node: GrammarNode } | undefined;
}

/** The least number of tokens of a value; bytes outside literals count as one token each. */
export function costOf(alternative: Alternative): number {
  switch (alternative.kind) {
    case 'literal':
      return alternative.trie.cost(0);
    case 'string':
      return 1 + alternative.dfa.distance[alternative.dfa.start]! + alternative.least;
    case 'number':
      return alternative.range.shortest();
    case 'array':
      return alternative.least === 0 ? 2 : costAfterItem(alternative, 0);
    case 'object': {
      const rest = costAfterProperty(alternative, 0);
      return alternative.properties.some(({ required }) => required) ? rest : 1 + rest;
    }
  }
}

export function itemAt(array: ArrayValue, index: number): GrammarNode {
  return array.prefix[index] ?? array.rest;
}

/** The least number of tokens from after item `count` to the end of the array. */
export function costAfterItem({ prefix, rest, least }: ArrayValue, count: number): number {
  let cost = 1;
  for (let i = count; i < Math.min(least, prefix.length); i++) cost += 1 + prefix[i]!.cost;
  const more = least - Math.max(count, prefix.length);
  return more > 0 ? cost + more * (1 + rest.cost) : cost;
}

/**
 * The least number of tokens from after a property to the end of the object, if the next property is `from` or a
 * later one.
 */
export function costAfterProperty({ properties }: ObjectValue, from: number): number {
  let cost = 1;
  for (let i = from; i < properties.length; i++) {
    const { key, node, required } = properties[i]!;
    if (required) cost += 1 + key.cost(0) + node.cost;
  }
  return cost;
}
