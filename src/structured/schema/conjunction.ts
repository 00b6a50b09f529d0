import { isNothing, type JsonSchema, resolveReference, type SchemaObject, schemaError } from './keywords.ts';

/** A schema with its location. */
export interface Place {
  readonly schema: JsonSchema;
  readonly pointer: string;
}

/** A schema without references and combinations: keywords that constrain a value by themselves. */
export interface Flat {
  readonly schema: SchemaObject;
  readonly pointer: string;
}

/** Pairs of alternatives of a `oneOf`, each with the other constraints there: no value may fit both. */
export type MustBeDisjoint = (
  places: readonly Place[],
  pointer: string,
  first: number,
  second: number,
) => void;

const MOST_ALTERNATIVES = 128;
/** Limit on the choices tried at one location, including impossible ones. */
const MOST_CHOICES = 2000;

/** Locations in a document: the same schema object is the same location, so that conjunctions can be compared. */
export class SchemaDocument {
  readonly #places = new Map<SchemaObject, { place: Place; id: number }>();

  constructor(readonly root: JsonSchema) {}

  place(schema: JsonSchema, pointer: string): Place {
    if (typeof schema === 'boolean') return { schema, pointer };
    const known = this.#places.get(schema);
    if (known) return known.place;
    const place = { schema, pointer };
    this.#places.set(schema, { place, id: this.#places.size });
    return place;
  }

  /** A key of a conjunction of locations: independent of order, repetition and `true`. */
  key(places: readonly Place[]): string {
    if (places.some(({ schema }) => isNothing(schema))) return 'false';
    const ids = places.filter(({ schema }) => schema !== true);
    const numbers = ids.map(({ schema }) => this.#places.get(schema as SchemaObject)!.id);
    return [...new Set(numbers)].sort((a, b) => a - b).join();
  }

  /**
   * The ways to satisfy several schemas at once: references resolved, `allOf` joined, one alternative of each `anyOf`
   * and `oneOf` chosen. No way means that no value fits.
   *
   * @throws RopewalkError if there are too many ways, or a reference leads to itself.
   */
  ways(places: readonly Place[], mustBeDisjoint: MustBeDisjoint): Flat[][] {
    const done: Flat[][] = [];
    let tried = 0;
    const expand = (todo: readonly Place[], flats: readonly Flat[], seen: ReadonlySet<JsonSchema>) => {
      if (++tried > MOST_CHOICES) {
        throw schemaError(places[0]?.pointer ?? '', 'it has too many combinations of alternatives');
      }
      const queue = [...todo];
      const ours = [...flats];
      const visited = new Set(seen);
      const choices: { readonly place: Flat; readonly keyword: 'anyOf' | 'oneOf' }[] = [];
      for (let next = queue.shift(); next; next = queue.shift()) {
        const { schema, pointer } = next;
        if (isNothing(schema)) return;
        if (typeof schema === 'boolean' || visited.has(schema)) continue;
        visited.add(schema);
        ours.push({ schema, pointer });
        const target = this.#reference(schema, pointer);
        if (target) queue.push(target);
        for (const part of this.#parts(schema, pointer, 'allOf')) queue.push(part);
        for (const keyword of ['anyOf', 'oneOf'] as const) {
          if (schema[keyword] !== undefined) choices.push({ place: { schema, pointer }, keyword });
        }
      }
      let ways: Place[][] = [[]];
      for (const { place, keyword } of choices) {
        const parts = this.#parts(place.schema, place.pointer, keyword);
        ways = ways.flatMap((way) => parts.map((part) => [...way, part]));
        if (ways.length + done.length > MOST_ALTERNATIVES) {
          throw schemaError(
            place.pointer,
            `combined with the other keywords there, it has more than ${MOST_ALTERNATIVES} alternatives`,
          );
        }
      }
      if (choices.length === 0) done.push(ours);
      else for (const way of ways) expand(way, ours, visited);
    };
    expand(places, [], new Set());
    if (done.length > MOST_ALTERNATIVES) {
      throw schemaError(places[0]?.pointer ?? '', `it has more than ${MOST_ALTERNATIVES} alternatives`);
    }
    for (const place of places) this.#checkOneOf(place, places, mustBeDisjoint, new Set());
    return done;
  }

  /** Checks every `oneOf` that applies at `place`: its alternatives must exclude each other, given the rest. */
  #checkOneOf(
    { schema, pointer }: Place,
    all: readonly Place[],
    mustBeDisjoint: MustBeDisjoint,
    seen: Set<JsonSchema>,
  ): void {
    if (typeof schema === 'boolean' || seen.has(schema)) return;
    seen.add(schema);
    const target = this.#reference(schema, pointer);
    const parts = [
      ...(target ? [target] : []),
      ...(['allOf', 'anyOf', 'oneOf'] as const).flatMap((keyword) => this.#parts(schema, pointer, keyword)),
    ];
    for (const part of parts) this.#checkOneOf(part, all, mustBeDisjoint, seen);
    const alternatives = this.#parts(schema, pointer, 'oneOf');
    if (alternatives.length < 2) return;
    const rest = this.#without(schema, pointer);
    for (let second = 1; second < alternatives.length; second++) {
      for (let first = 0; first < second; first++) {
        mustBeDisjoint(
          [rest, alternatives[first]!, alternatives[second]!],
          `${pointer}/oneOf`,
          first,
          second,
        );
      }
    }
  }

  readonly #withoutChoices = new Map<SchemaObject, SchemaObject>();

  /** A schema's own keywords without its alternatives. */
  #without(schema: SchemaObject, pointer: string): Place {
    let rest = this.#withoutChoices.get(schema);
    if (!rest) {
      rest = Object.fromEntries(
        Object.entries(schema).filter(([keyword]) => keyword !== 'oneOf' && keyword !== 'anyOf'),
      );
      this.#withoutChoices.set(schema, rest);
    }
    return this.place(rest, pointer);
  }

  #reference(schema: SchemaObject, pointer: string): Place | undefined {
    if (schema.$ref === undefined) return undefined;
    const seen = new Set<JsonSchema>([schema]);
    let [target, at] = [schema, pointer];
    // A cycle of references says nothing.
    while (typeof target.$ref === 'string') {
      const next = resolveReference(this.root, target.$ref, at);
      at = target.$ref.slice(1);
      if (seen.has(next)) throw schemaError(`${pointer}/$ref`, 'the reference refers to itself');
      seen.add(next);
      if (typeof next === 'boolean') break;
      target = next;
    }
    const reference = schema.$ref as string;
    return this.place(resolveReference(this.root, reference, pointer), reference.slice(1));
  }

  #parts(schema: SchemaObject, pointer: string, keyword: 'allOf' | 'anyOf' | 'oneOf'): Place[] {
    const list = (schema[keyword] ?? []) as JsonSchema[];
    return list.map((part, i) => this.place(part, `${pointer}/${keyword}/${i}`));
  }
}
