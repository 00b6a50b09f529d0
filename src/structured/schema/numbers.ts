import type { Flat } from './conjunction.ts';
import { isMultiple, type NumberRules } from './decimal.ts';
import type { SchemaObject } from './keywords.ts';

function numberKeywords(schema: SchemaObject): Readonly<Record<string, number | undefined>> {
  return schema as Readonly<Record<string, number | undefined>>;
}

/** The combined constraints of all schemas on a number. */
export function numberRules(flats: readonly Flat[], integer: boolean): NumberRules {
  const all = flats.map(({ schema }) => numberKeywords(schema));
  const strictest = (name: string, pick: (...values: number[]) => number) => {
    const given = all.map((schema) => schema[name]).filter((value) => value !== undefined);
    return given.length > 0 ? { [name]: pick(...given) } : {};
  };
  return {
    integer,
    ...strictest('minimum', Math.max),
    ...strictest('exclusiveMinimum', Math.max),
    ...strictest('maximum', Math.min),
    ...strictest('exclusiveMaximum', Math.min),
    multipleOf: all.map((schema) => schema.multipleOf).filter((step) => step !== undefined),
  };
}

/** Whether a listed number fits the bounds and steps of all schemas. */
export function fitsNumber(value: number, flats: readonly Flat[]): boolean {
  return flats.every(({ schema }) => {
    const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = numberKeywords(schema);
    return (
      value >= (minimum ?? value) &&
      value <= (maximum ?? value) &&
      (exclusiveMinimum === undefined || value > exclusiveMinimum) &&
      (exclusiveMaximum === undefined || value < exclusiveMaximum) &&
      (multipleOf === undefined || isMultiple(value, multipleOf))
    );
  });
}
