import type { Attributes, Operator } from '../tensor.ts';
import * as activations from './activations.ts';
import * as attention from './attention.ts';
import * as cachedAttention from './cached-attention.ts';
import * as distillation from './distillation.ts';
import * as elementwise from './elementwise.ts';
import * as gemm from './gemm.ts';
import * as indexing from './indexing.ts';
import * as loss from './loss.ts';
import * as matmul from './matmul.ts';
import * as norms from './norms.ts';
import * as reduce from './reduce.ts';
import * as rotary from './rotary.ts';
import * as sequence from './sequence.ts';
import * as shape from './shape.ts';

function isOperator(value: unknown): value is Operator<Attributes> {
  return typeof value === 'object' && value !== null && 'infer' in value && 'name' in value;
}

/** Every operator there is, by name. */
export const operators: ReadonlyMap<string, Operator<Attributes>> = new Map(
  [
    activations,
    attention,
    cachedAttention,
    distillation,
    elementwise,
    gemm,
    indexing,
    loss,
    matmul,
    norms,
    reduce,
    rotary,
    sequence,
    shape,
  ]
    .flatMap((module) => Object.values(module).filter(isOperator))
    .map((operator) => [operator.name, operator]),
);
