import { RopewalkError } from '../../errors.ts';
import { isStep } from './decimal.ts';
import { formatProblem } from './formats.ts';

/** A JSON Schema (draft 2020-12), from `JSON.parse`. */
export type JsonSchema = boolean | { readonly [keyword: string]: unknown };
export type SchemaObject = Exclude<JsonSchema, boolean>;

/** Limits on a schema, which may come from anyone. */
const MOST_DEPTH = 64;
const MOST_SCHEMAS = 5000;
const MOST_VALUES = 5000;
const MOST_PROPERTIES = 500;
const MOST_VALUE_TEXT = 200_000;

const TYPES = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'];

/** Keywords that constrain nothing. */
const ANNOTATIONS = new Set([
  ...['$schema', '$comment', 'title', 'description', 'default', 'examples', 'deprecated'],
  ...['readOnly', 'writeOnly', 'contentEncoding', 'contentMediaType', 'contentSchema'],
  ...['$defs', 'definitions'],
]);

type Check = (value: unknown, beside: SchemaObject) => string | undefined;
const isObject = (value: unknown): value is SchemaObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isSchema = (value: unknown): value is JsonSchema => typeof value === 'boolean' || isObject(value);
const must = (fits: (value: unknown) => boolean, what: string): Check => {
  return (value) => (fits(value) ? undefined : `must be ${what}`);
};
const whole = must((n) => Number.isSafeInteger(n) && (n as number) >= 0, 'a whole number of at least 0');
const number = must((n) => typeof n === 'number' && Number.isFinite(n), 'a number');
const oneSchema = must(isSchema, 'a schema (an object, true or false)');
const schemas = must((s) => Array.isArray(s) && s.length > 0 && s.every(isSchema), 'a list of schemas');
const texts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((v) => typeof v === 'string');

/** Whether every value fits: `true`, or only annotations. */
function isAnything(schema: unknown): boolean {
  return schema === true || (isObject(schema) && Object.keys(schema).every((name) => ANNOTATIONS.has(name)));
}

/** Whether no value can fit a schema by its form. */
export function isNothing(schema: JsonSchema): boolean {
  return schema === false || (isObject(schema) && 'not' in schema);
}

/** The enforced keywords, and the checks of their values. */
const ENFORCED: Readonly<Record<string, Check>> = {
  type: must(
    (type) => {
      const list = Array.isArray(type) ? type : [type];
      return list.length > 0 && list.every((name) => TYPES.includes(name as string));
    },
    `one or several of ${TYPES.join(', ')}`,
  ),
  enum: (values) => {
    if (!Array.isArray(values) || values.length === 0) return 'must be a list of values';
    return values.length > MOST_VALUES ? `has more than ${MOST_VALUES} values` : undefined;
  },
  const: () => undefined,
  properties: (value) => {
    if (!isObject(value) || !Object.values(value).every(isSchema)) return 'must be an object of schemas';
    return Object.keys(value).length > MOST_PROPERTIES
      ? `has more than ${MOST_PROPERTIES} properties`
      : undefined;
  },
  required: (value) => {
    if (!texts(value)) return 'must be a list of names';
    return value.length > MOST_PROPERTIES ? `has more than ${MOST_PROPERTIES} names` : undefined;
  },
  additionalProperties: oneSchema,
  propertyNames: oneSchema,
  items: (value) => (Array.isArray(value) ? 'is a list; use prefixItems for that' : oneSchema(value, {})),
  prefixItems: schemas,
  minItems: whole,
  maxItems: whole,
  anyOf: schemas,
  oneOf: schemas,
  allOf: schemas,
  $ref: must(
    (ref) => typeof ref === 'string' && /^#(\/|$)/.test(ref),
    'a location in this schema, such as #/$defs/name',
  ),
  minLength: whole,
  maxLength: whole,
  pattern: must((p) => typeof p === 'string' && p.length <= 2000, 'a string of at most 2000 characters'),
  format: (format, beside) => formatProblem(format, typeof beside.pattern === 'string'),
  minimum: number,
  maximum: number,
  exclusiveMinimum: number,
  exclusiveMaximum: number,
  multipleOf: (value) => {
    const problem = number(value, {}) ?? ((value as number) > 0 ? undefined : 'must be above 0');
    if (problem || isStep(value as number)) return problem;
    return 'must have at most 15 digits before and after the decimal point together';
  },
  // No value fits; zod writes it for `never`.
  not: must((not) => isAnything(not), '{}, which allows no value; describe what is allowed instead'),
};

/** Standard keywords that are not enforced, and what to do instead. */
const REFUSED = new Map([
  ['if', 'write anyOf with both cases'],
  ['then', 'write anyOf with both cases'],
  ['else', 'write anyOf with both cases'],
  ['dependentRequired', 'write anyOf with both cases'],
  ['dependentSchemas', 'write anyOf with both cases'],
  ['patternProperties', 'use propertyNames with a pattern, and additionalProperties'],
  ['minProperties', 'list the required properties'],
  ['maxProperties', 'list the properties'],
  ['uniqueItems', 'remove it and drop repeated items afterwards'],
  ['contains', 'use prefixItems or items'],
  ['minContains', 'use minItems'],
  ['maxContains', 'use maxItems'],
  ['unevaluatedProperties', 'use additionalProperties'],
  ['unevaluatedItems', 'use items'],
  ['additionalItems', 'use items with prefixItems'],
  ['$anchor', 'use $defs and #/$defs/name'],
  ['$dynamicRef', 'use $ref'],
  ['$dynamicAnchor', 'use $ref'],
  ['$recursiveRef', 'use $ref'],
  ['$vocabulary', 'remove it'],
  ['nullable', 'write "type": ["…", "null"]'],
  ['dependencies', 'write anyOf with both cases'],
]);

/** An error that names the location in the schema by its JSON pointer. */
export function schemaError(pointer: string, problem: string): RopewalkError {
  return new RopewalkError(`JSON schema at #${pointer}: ${problem}.`);
}

/**
 * Checks that everything a schema requires can be enforced: every keyword in it (and in what it refers to) is either
 * enforced or an annotation.
 *
 * @throws RopewalkError naming the first other keyword, by its JSON pointer, and the remedy.
 */
export function checkSchema(root: unknown): asserts root is JsonSchema {
  const seen = new Set<unknown>();
  let valueText = 0;
  const visit = (schema: unknown, pointer: string, depth: number): void => {
    if (typeof schema === 'boolean' || seen.has(schema)) return;
    if (!isObject(schema)) throw schemaError(pointer, 'must be a schema (an object, true or false)');
    if (depth > MOST_DEPTH) throw schemaError(pointer, `is nested deeper than ${MOST_DEPTH} schemas`);
    seen.add(schema);
    if (seen.size > MOST_SCHEMAS) throw schemaError(pointer, `is beyond ${MOST_SCHEMAS} schemas in one file`);
    for (const [keyword, value] of Object.entries(schema)) {
      const place = `${pointer}/${escapePointer(keyword)}`;
      if (ANNOTATIONS.has(keyword) || (keyword === '$id' && pointer === '')) continue;
      const check = Object.hasOwn(ENFORCED, keyword) ? ENFORCED[keyword] : undefined;
      if (!check) {
        const remedy = REFUSED.get(keyword) ?? 'remove it';
        throw schemaError(place, `the keyword "${keyword}" is not supported; ${remedy}`);
      }
      const problem = check(value, schema);
      if (problem) throw schemaError(place, problem);
      if (keyword === 'enum' || keyword === 'const') {
        checkNesting(value, place);
        valueText += JSON.stringify(value).length;
        if (valueText > MOST_VALUE_TEXT) throw schemaError(place, 'the enum and const values are too long');
      }
    }
    for (const [child, childPointer] of subschemas(schema, pointer)) visit(child, childPointer, depth + 1);
    if (typeof schema.$ref === 'string') {
      visit(resolveReference(root as JsonSchema, schema.$ref, pointer), schema.$ref.slice(1), 0);
    }
  };
  visit(root, '', 0);
}

function checkNesting(value: unknown, place: string, depth = 0): void {
  if (depth > MOST_DEPTH) throw schemaError(place, `has values nested deeper than ${MOST_DEPTH}`);
  if (typeof value !== 'object' || value === null) return;
  for (const part of Object.values(value)) checkNesting(part, place, depth + 1);
}

/** The schemas inside a schema, with their pointers. */
function* subschemas(schema: SchemaObject, pointer: string): Generator<[unknown, string]> {
  for (const keyword of ['prefixItems', 'anyOf', 'oneOf', 'allOf']) {
    const list = (schema[keyword] ?? []) as unknown[];
    for (const [i, child] of list.entries()) yield [child, `${pointer}/${keyword}/${i}`];
  }
  for (const keyword of ['items', 'additionalProperties', 'propertyNames']) {
    if (schema[keyword] !== undefined) yield [schema[keyword], `${pointer}/${keyword}`];
  }
  for (const [name, child] of Object.entries((schema.properties ?? {}) as SchemaObject)) {
    yield [child, `${pointer}/properties/${escapePointer(name)}`];
  }
}

export function escapePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}

/** Resolves a reference inside the document (RFC 6901, as a URI fragment). */
export function resolveReference(root: JsonSchema, reference: string, pointer: string): JsonSchema {
  const fail = () => schemaError(`${pointer}/$ref`, `there is nothing at ${JSON.stringify(reference)}`);
  let path: string;
  try {
    path = decodeURIComponent(reference.slice(1));
  } catch {
    throw fail();
  }
  let found: unknown = root;
  for (const part of path.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, name)) throw fail();
    found = (found as SchemaObject)[name];
  }
  if (!isSchema(found)) throw fail();
  return found;
}
