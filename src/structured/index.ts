/** Constraints on what is generated: JSON by a schema. */
export type { TokenConstraint } from './constraint.ts';
export { type CompiledJsonSchema, compileJsonSchema, type JsonConstraintOptions } from './json-schema.ts';
