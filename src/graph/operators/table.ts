import type { Operator } from '../tensor.ts';
import * as exported from './index.ts';

function isOperator(value: unknown): value is Operator {
  return typeof value === 'object' && value !== null && 'infer' in value && 'name' in value;
}

/** All operators by name. */
export const operators: ReadonlyMap<string, Operator> = new Map(
  Object.values<unknown>(exported)
    .filter(isOperator)
    .map((operator) => [operator.name, operator]),
);
