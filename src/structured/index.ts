/** Constrained generation: JSON by a schema. */
export type { TokenConstraint } from './constraint.ts';
export { type CompiledJsonSchema, compileJsonSchema, type JsonConstraintOptions } from './json-schema.ts';
