import type { Flat } from './conjunction.ts';

const TYPES = ['null', 'boolean', 'number', 'string', 'array', 'object'] as const;
export type ValueType = (typeof TYPES)[number];

/** The types that all schemas allow; only integer restricts a number. */
export function typesOf(flats: readonly Flat[]): { values: readonly ValueType[]; integer: boolean } {
  let values: readonly ValueType[] = TYPES;
  let integer = false;
  for (const { schema } of flats) {
    if (schema.type === undefined) continue;
    const given = [schema.type].flat() as string[];
    values = values.filter(
      (type) => given.includes(type) || (type === 'number' && given.includes('integer')),
    );
    if (!given.includes('number')) integer = true;
  }
  return { values, integer };
}

/** A listed value's type. */
export function typeOf(value: unknown): ValueType {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : (typeof value as ValueType);
}

/** JSON with sorted keys: equal for values that are equal in JSON Schema. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/** The stricter of two bounds on a length. */
export function lengths(flats: readonly Flat[], min: string, max: string): { least: number; most: number } {
  return {
    least: Math.max(0, ...flats.map(({ schema }) => (schema[min] ?? 0) as number)),
    most: Math.min(...flats.map(({ schema }) => (schema[max] ?? Number.POSITIVE_INFINITY) as number)),
  };
}
