import { RopewalkError } from '../../errors.ts';
import { anyStringBut, type StringDfa } from '../automata/dfa.ts';
import { intersection } from '../automata/intersection.ts';
import { conjuncts, patternDfa } from '../automata/nfa.ts';
import { parsePattern } from '../automata/pattern.ts';
import type { Vocabulary } from '../parser/vocabulary.ts';
import { type Flat, type Place, SchemaDocument } from './conjunction.ts';
import { DecimalRange, isContradiction } from './decimal.ts';
import { FORMATS } from './formats.ts';
import { checkSchema, escapePointer, type JsonSchema, type SchemaObject, schemaError } from './keywords.ts';
import { LiteralTrie, latin1Json } from './literal.ts';
import { type NameRule, nameRule } from './names.ts';
import { fitsNumber, numberRules } from './numbers.ts';
import { canonical, lengths, typeOf, typesOf, type ValueType } from './types.ts';
import {
  type Alternative,
  type ArrayValue,
  costOf,
  type GrammarNode,
  type LiteralValue,
  type NumberValue,
  type ObjectValue,
  type Property,
  type StringValue,
} from './values.ts';

const MOST_NODES = 10_000;
const MOST_LITERAL_BYTES = 500_000;
/** Limit on the states of all automata: half a kilobyte each. */
const MOST_STATES = 200_000;

/** A schema compiled for a vocabulary: nodes that refer to each other. */
export class Grammar {
  readonly root: GrammarNode;
  readonly #nodes = new Map<string, GrammarNode & { alternatives: Alternative[] }>();
  readonly #todo: (() => void)[] = [];
  readonly #disjoint = new Map<string, { node: GrammarNode; problem: () => Error }>();
  readonly #document: SchemaDocument;
  readonly #strings: StringDfa;
  #literalBytes = 0;
  #states = 0;
  /** Why a value is missing although some would fit: they are only values that we do not generate. */
  #beyond: Error | undefined;
  readonly #dfas = new Map<string, StringDfa[]>();

  readonly #vocabulary: Vocabulary;

  /** @throws RopewalkError naming the location in the schema that cannot be enforced or that no value fits. */
  constructor(schema: JsonSchema, vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary;
    checkSchema(schema);
    this.#strings = vocabulary.strings;
    this.#document = new SchemaDocument(schema);
    this.root = this.#node([this.#document.place(schema, '')], false);
    for (let next = this.#todo.pop(); next; next = this.#todo.pop()) next();
    this.#settleCosts();
    for (const node of this.#nodes.values()) {
      const possible = node.alternatives.filter((value) => costOf(value) < Number.POSITIVE_INFINITY);
      node.alternatives.splice(0, node.alternatives.length, ...possible);
    }
    for (const { node, problem } of this.#disjoint.values()) {
      if (node.cost < Number.POSITIVE_INFINITY) throw problem();
    }
    if (this.root.cost === Number.POSITIVE_INFINITY) {
      if (this.#beyond) throw this.#beyond;
      throw schemaError(
        '',
        'no value fits: its constraints contradict each other, or it refers to itself endlessly',
      );
    }
  }

  /** @param loose ignores formats, which some readers treat as annotations: for values that must be disjoint. */
  #node(places: readonly Place[], loose: boolean): GrammarNode {
    const key = `${loose ? '~' : ''}${this.#document.key(places)}`;
    const known = this.#nodes.get(key);
    if (known) return known;
    if (this.#nodes.size >= MOST_NODES) {
      throw schemaError(places[0]?.pointer ?? '', `the schema needs more than ${MOST_NODES} combinations`);
    }
    const node = { alternatives: [] as Alternative[], cost: Number.POSITIVE_INFINITY };
    this.#nodes.set(key, node);
    if (key.endsWith('false')) return node;
    this.#todo.push(() => {
      const ways = this.#document.ways(places, (both, pointer, first, second) =>
        this.#mustBeDisjoint(both, pointer, first, second),
      );
      const found = ways.flatMap((way) => this.#alternatives(way, loose));
      node.alternatives.push(...this.#joined(found));
    });
    return node;
  }

  #mustBeDisjoint(places: readonly Place[], pointer: string, first: number, second: number): void {
    const key = `${this.#document.key(places)} ${pointer}`;
    if (this.#disjoint.has(key)) return;
    const problem = () =>
      schemaError(
        pointer,
        `a value may fit both alternative ${first} and alternative ${second}; use anyOf, or distinguish them by type, by a required property with different const or enum values, or by bounds`,
      );
    this.#disjoint.set(key, { node: this.#node(places, true), problem });
  }

  /** The alternatives, each of one type, of schemas that apply together. */
  #alternatives(flats: readonly Flat[], loose: boolean): Alternative[] {
    const types = typesOf(flats);
    const listed = flats.filter(({ schema }) => 'enum' in schema || 'const' in schema);
    if (listed.length > 0) return this.#listed(listed, flats, types);
    const result: Alternative[] = [];
    for (const type of types.values) {
      const alternative = this.#alternative(type, flats, types.integer, loose);
      if (alternative) result.push(alternative);
    }
    return result;
  }

  /** Joins literals into one, so that it is always clear where in them a text is. */
  #joined(alternatives: readonly Alternative[]): Alternative[] {
    const literals = alternatives.filter(({ kind }) => kind === 'literal') as LiteralValue[];
    if (literals.length < 2) return [...alternatives];
    const texts = new Set(literals.flatMap(({ trie }) => trie.texts));
    return [this.#literal([...texts], []), ...alternatives.filter(({ kind }) => kind !== 'literal')];
  }

  #alternative(
    type: ValueType,
    flats: readonly Flat[],
    integer: boolean,
    loose: boolean,
  ): Alternative | undefined {
    switch (type) {
      case 'null':
        return this.#literal(['null'], flats);
      case 'boolean':
        return this.#literal(['true', 'false'], flats);
      case 'number':
        return this.#numberValue(flats, integer);
      case 'string':
        return this.#stringValue(flats, loose);
      case 'array':
        return this.#arrayValue(flats, loose);
      case 'object':
        return this.#objectValue(flats, loose);
    }
  }

  #literal(texts: readonly string[], flats: readonly Flat[]): LiteralValue {
    this.#literalBytes += texts.reduce((sum, text) => sum + text.length, 0);
    if (this.#literalBytes > MOST_LITERAL_BYTES) {
      throw schemaError(
        flats[0]?.pointer ?? '',
        `all combinations of the listed values and names exceed ${MOST_LITERAL_BYTES} bytes`,
      );
    }
    return { kind: 'literal', trie: new LiteralTrie(texts, this.#vocabulary) };
  }

  /** `enum` and `const`: the values that are in all lists and fit the other keywords. */
  #listed(
    listed: readonly Flat[],
    flats: readonly Flat[],
    types: { values: readonly ValueType[]; integer: boolean },
  ): Alternative[] {
    const lists = listed.flatMap(({ schema }) => [
      ...('enum' in schema ? [schema.enum as unknown[]] : []),
      ...('const' in schema ? [[schema.const]] : []),
    ]);
    const keys = lists.slice(1).map((list) => new Set(list.map(canonical)));
    const values = lists[0]!.filter((value) => {
      if (!keys.every((list) => list.has(canonical(value)))) return false;
      const type = typeOf(value);
      if (!types.values.includes(type)) return false;
      if (type === 'number') return !types.integer || Number.isInteger(value);
      return true;
    });
    const fitting = values.filter((value) => this.#fits(value, flats));
    return fitting.length === 0 ? [] : [this.#literal(fitting.map(latin1Json), listed)];
  }

  /** Whether a listed value fits the other keywords for its type. */
  #fits(value: unknown, flats: readonly Flat[]): boolean {
    if (typeof value === 'number') return fitsNumber(value, flats);
    if (typeof value === 'string') {
      const length = Array.from(value).length;
      const { least, most } = lengths(flats, 'minLength', 'maxLength');
      const text = latin1Json(value).slice(1, -1);
      return (
        length >= least && length <= most && this.#patterns(flats, false).every((dfa) => dfa.takes(text))
      );
    }
    if (typeof value === 'object' && value !== null) {
      const keywords = Array.isArray(value) ? ARRAY_KEYWORDS : OBJECT_KEYWORDS;
      for (const { schema, pointer } of flats) {
        const keyword = keywords.find((name) => name in schema);
        if (keyword === undefined) continue;
        throw schemaError(
          `${pointer}/${keyword}`,
          'cannot be combined with listed values that are arrays or objects',
        );
      }
    }
    return true;
  }

  /** The automata of `pattern` and `format`. */
  #patterns(flats: readonly Flat[], loose: boolean): StringDfa[] {
    const dfas: StringDfa[] = [];
    for (const { schema, pointer } of flats) {
      const format = schema.format as string | undefined;
      if (schema.pattern !== undefined)
        dfas.push(...this.#dfaOf(schema.pattern as string, `${pointer}/pattern`));
      // Formats outside this list accompany a pattern, which defines them.
      if (format !== undefined && !loose && Object.hasOwn(FORMATS, format)) {
        dfas.push(...this.#dfaOf(FORMATS[format]!, `${pointer}/format`));
      }
    }
    return [...new Set(dfas)];
  }

  /** The automata of a pattern's parts, all of which must hold. */
  #dfaOf(pattern: string, pointer: string): StringDfa[] {
    const { single } = this.#vocabulary;
    return this.#at(pointer, `pattern ${pattern}`, () =>
      conjuncts(parsePattern(pattern)).map((part) => patternDfa(part, single)),
    );
  }

  /** Creates automata once; their errors name the location in the schema. */
  #at(pointer: string, key: string, make: () => StringDfa[]): StringDfa[] {
    const known = this.#dfas.get(key);
    if (known) return known;
    try {
      const dfas = make();
      this.#states += dfas.reduce((sum, { boundary }) => sum + boundary.length, 0);
      if (this.#states > MOST_STATES) {
        throw new RopewalkError(
          `all patterns together need more than ${MOST_STATES} states; make them smaller`,
        );
      }
      this.#dfas.set(key, dfas);
      return dfas;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      throw schemaError(pointer, error.message.replace(/\.$/, ''));
    }
  }

  #stringValue(flats: readonly Flat[], loose: boolean): StringValue | undefined {
    const { least, most } = lengths(flats, 'minLength', 'maxLength');
    if (least > most) return undefined;
    const parts = this.#patterns(flats, loose);
    if (parts.length === 0) return { kind: 'string', dfa: this.#strings, least, most };
    const at = flats.find(({ schema }) => 'pattern' in schema || 'format' in schema)!;
    const place = `${at.pointer}/${'pattern' in at.schema ? 'pattern' : 'format'}`;
    const key = `${parts.map((dfa) => dfa.id).join('&')} ${least} ${most}`;
    const { single } = this.#vocabulary;
    const all = (dfas: StringDfa[]) => [intersection(dfas, least, most, single)];
    const [dfa] = this.#at(place, key, () => all(parts)) as [StringDfa];
    if (!dfa.empty) return { kind: 'string', dfa, least: 0, most: Number.POSITIVE_INFINITY };
    const named = flats.find(({ schema }) => 'format' in schema);
    const patterns = named && !loose ? this.#patterns(flats, true) : [];
    if (patterns.length > 0 && !this.#at(place, `${key} but formats`, () => all(patterns))[0]!.empty) {
      this.#beyond ??= schemaError(
        `${named!.pointer}/format`,
        'no common string of this format fits the other keywords there; omit the format if the pattern is enough',
      );
    }
    return undefined;
  }

  #numberValue(flats: readonly Flat[], integer: boolean): NumberValue | undefined {
    const rules = numberRules(flats, integer);
    const range = new DecimalRange(rules);
    if (range.shortest() < Number.POSITIVE_INFINITY) return { kind: 'number', range };
    const at = flats.find(({ schema }) => Object.keys(schema).some((name) => NUMBER_KEYWORDS.includes(name)));
    if (at && !isContradiction(rules)) {
      this.#beyond ??= schemaError(
        at.pointer,
        'the numbers that fit have more than 15 digits, which are not generated; widen the bounds, or use a string with a pattern',
      );
    }
    return undefined;
  }

  #arrayValue(flats: readonly Flat[], loose: boolean): ArrayValue | undefined {
    const { least, most } = lengths(flats, 'minItems', 'maxItems');
    if (least > most) return undefined;
    const prefixes = flats.map(({ schema }) => (schema.prefixItems ?? []) as JsonSchema[]);
    const item = (at: number): GrammarNode => {
      const places = flats.map(({ schema, pointer }, i) =>
        at < prefixes[i]!.length
          ? this.#document.place(prefixes[i]![at]!, `${pointer}/prefixItems/${at}`)
          : this.#document.place((schema.items ?? true) as JsonSchema, `${pointer}/items`),
      );
      return this.#node(places, loose);
    };
    const length = Math.min(most, Math.max(0, ...prefixes.map((prefix) => prefix.length)));
    const prefix = Array.from({ length }, (_, at) => item(at));
    return { kind: 'array', prefix, rest: item(Number.POSITIVE_INFINITY), least, most };
  }

  #objectValue(flats: readonly Flat[], loose: boolean): ObjectValue {
    const required = new Set(flats.flatMap(({ schema }) => (schema.required ?? []) as string[]));
    const listed = flats.map(({ schema }) => (schema.properties ?? {}) as SchemaObject);
    const rule = this.#nameRule(flats, loose);
    const names = new Set([
      ...listed.flatMap((properties) => Object.keys(properties)),
      ...(rule?.listed ?? []),
      ...required,
    ]);
    const rest = flats.map(({ schema, pointer }) =>
      this.#document.place(
        (schema.additionalProperties ?? true) as JsonSchema,
        `${pointer}/additionalProperties`,
      ),
    );
    const properties = Array.from(names, (name): Property => {
      const places = flats.map(({ pointer }, i) =>
        Object.hasOwn(listed[i]!, name)
          ? this.#document.place(
              listed[i]![name] as JsonSchema,
              `${pointer}/properties/${escapePointer(name)}`,
            )
          : rest[i]!,
      );
      if (rule && !rule.takes(name)) places.push(this.#document.place(false, ''));
      const { trie: key } = this.#literal([`${latin1Json(name)}:`], flats);
      return { key, node: this.#node(places, loose), required: required.has(name) };
    });
    // Other properties are written if the schema mentions them, or lists no property at all.
    const speaks = ({ schema }: Flat) => 'additionalProperties' in schema || 'propertyNames' in schema;
    const open = (names.size === 0 || flats.some(speaks)) && rule?.others !== null;
    const keys = open ? this.#otherKeys([...names], rule, flats[0]?.pointer ?? '') : undefined;
    if (!keys || keys.empty) return { kind: 'object', properties, additional: undefined };
    return { kind: 'object', properties, additional: { keys, node: this.#node(rest, loose) } };
  }

  /** The constraint of `propertyNames`; undefined if there is none. */
  #nameRule(flats: readonly Flat[], loose: boolean): NameRule | undefined {
    const places = flats.flatMap(({ schema, pointer }) =>
      schema.propertyNames === undefined
        ? []
        : [this.#document.place(schema.propertyNames as JsonSchema, `${pointer}/propertyNames`)],
    );
    if (places.length === 0) return undefined;
    const strings = [...places, this.#document.place(STRINGS, places[0]!.pointer)];
    const ways = this.#document.ways(strings, (both, pointer, first, second) =>
      this.#mustBeDisjoint(both, pointer, first, second),
    );
    const found = this.#joined(ways.flatMap((way) => this.#alternatives(way, loose)));
    return nameRule(found as (LiteralValue | StringValue)[], places[0]!.pointer);
  }

  /** Keys without a listed property. */
  #otherKeys(names: readonly string[], rule: NameRule | undefined, pointer: string): StringDfa {
    // JSON.parse keeps the key __proto__, but not every reader does.
    const excluded = [...names, '__proto__'].map((name) => latin1Json(name).slice(1, -1)).sort();
    const { single } = this.#vocabulary;
    const { dfa, least = 0, most = Number.POSITIVE_INFINITY } = rule?.others ?? {};
    const key = `keys ${JSON.stringify(excluded)} ${dfa?.id} ${least} ${most}`;
    const [keys] = this.#at(pointer, key, () => {
      const others = anyStringBut(excluded, single);
      const parts = dfa && dfa !== this.#strings ? [others, dfa] : [others];
      return [intersection(parts, least, most, single)];
    });
    return keys!;
  }

  /** Computes the least cost of every node: nodes that refer to themselves wait for those that do not. */
  #settleCosts(): void {
    // Usually created from the outside in: what they wait for comes later.
    const nodes = [...this.#nodes.values()].reverse();
    for (let changed = true; changed; ) {
      changed = false;
      for (const node of nodes) {
        const cost = Math.min(Number.POSITIVE_INFINITY, ...node.alternatives.map(costOf));
        if (cost >= node.cost) continue;
        node.cost = cost;
        changed = true;
      }
    }
  }
}

/** Names are strings, whatever else is required of them. */
const STRINGS = { type: 'string' };
const ARRAY_KEYWORDS = ['items', 'prefixItems', 'minItems', 'maxItems'];
const OBJECT_KEYWORDS = ['properties', 'required', 'additionalProperties', 'propertyNames'];
const NUMBER_KEYWORDS = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'];
