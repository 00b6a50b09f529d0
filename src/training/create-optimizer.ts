import { RopewalkError } from '../errors.ts';
import { AdamW, type AdamWOptions } from './adamw.ts';
import type { Optimizer, ParameterShape } from './optimizer-common.ts';
import { Sgd } from './sgd.ts';

export const OPTIMIZERS = ['adamw', 'sgd'] as const;
export type OptimizerKind = (typeof OPTIMIZERS)[number];

export const OPTIMIZER_STATES = ['float32'] as const;
/** What AdamW keeps its moments in. */
export type OptimizerStates = (typeof OPTIMIZER_STATES)[number];

export interface CreateOptimizerOptions extends AdamWOptions {
  /** AdamW's alone. Default `float32`. */
  readonly states?: OptimizerStates;
}

/** An optimizer that says how much memory its state takes. */
export interface SizedOptimizer extends Optimizer {
  /** Bytes of state for each weight, on average. */
  readonly bytesPerParameter: number;
}

/**
 * @param parameters those that will be updated, best a training engine's own: states lie beside their values then, as
 *   far as there is room.
 * @throws RopewalkError for an option that this kind of optimizer does not have.
 */
export function createOptimizer(
  kind: OptimizerKind,
  parameters: readonly ParameterShape[],
  options: CreateOptimizerOptions = {},
): SizedOptimizer {
  switch (kind) {
    case 'adamw':
      return new AdamW(parameters, options);
    case 'sgd':
      refuse(kind, options, ['states', 'betas', 'eps', 'weightDecay', 'decays']);
      return new Sgd();
  }
}

function refuse(
  kind: OptimizerKind,
  options: CreateOptimizerOptions,
  names: readonly (keyof CreateOptimizerOptions)[],
): void {
  const given = names.find((name) => options[name] !== undefined);
  if (given) throw new RopewalkError(`${kind} has no option "${given}"; leave it out, or choose adamw.`);
}
