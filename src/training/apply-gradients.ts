import { sumsOfSquares } from '../kernels/kernels.ts';
import { clipCoefficient } from './clip.ts';
import { notFinite } from './finite.ts';
import type { CombinedGradients, StepResult, UpdateSettings } from './learner.ts';
import type { OptimizedParameter } from './optimizers/optimizer.ts';

/** The gradients of a process that trains alone. */
export function aloneGradients(own: readonly OptimizedParameter[]): CombinedGradients {
  return {
    own,
    sumOfSquares: async (some) => sumOfAll(some),
    update: async (some, step) => step(some),
  };
}

/** Σ x² of gradients. */
export function sumOfAll(parameters: readonly OptimizedParameter[]): number {
  return sumsOfSquares(parameters.map(({ gradient }) => gradient)).reduce((sum, each) => sum + each, 0);
}

/**
 * Ends a step whose gradients are all known: adds them up over the ranks, clips them by their global norm and updates the
 * weights.
 *
 * @param measured this process's share of the loss, and the tokens of the step.
 * @throws RopewalkError when the loss or a gradient is not finite.
 */
export async function applyGradients(
  gradients: readonly OptimizedParameter[],
  measured: { readonly loss: number; readonly tokens: number },
  { optimizer, learningRate, clip, accept, together, select }: UpdateSettings,
): Promise<StepResult> {
  const combined = together ? await together.combine(gradients) : aloneGradients(gradients);
  const loss = together ? await together.sumLoss(measured.loss) : measured.loss;
  const updating = select ? select(combined.own) : combined.own;
  const gradientNorm = Math.sqrt(await combined.sumOfSquares(updating));
  const updated = accept?.({ loss, gradientNorm }) ?? true;
  if (updated) {
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) throw notFinite(loss, gradients);
    const gradientScale = clip > 0 ? clipCoefficient(gradientNorm, clip) : 1;
    await combined.update(updating, (some) => optimizer.step(some, { learningRate, gradientScale }));
  }
  return { loss, tokens: measured.tokens, gradientNorm, updated };
}
