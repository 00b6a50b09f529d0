import { RopewalkError } from '../errors.ts';
import { sumsOfSquares } from '../kernels/kernels.ts';

/** Euclidean norm of all gradients as one vector, accumulated in float64. NaN or infinite if a gradient is. */
export function globalNorm(gradients: Iterable<Float32Array>): number {
  return Math.sqrt(sumsOfSquares([...gradients]).reduce((sum, each) => sum + each, 0));
}

/**
 * The factor that scales gradients of this norm to at most `maxNorm`, as in torch.nn.utils.clip_grad_norm_: 1 if they
 * are within it. Pass it to an optimizer's step as `gradientScale`, so that the gradients need no extra pass.
 *
 * @returns NaN if the norm is not finite, which an optimizer refuses: no factor repairs such gradients.
 */
export function clipCoefficient(norm: number, maxNorm: number): number {
  if (!(maxNorm > 0)) {
    throw new RopewalkError(`the largest gradient norm is ${maxNorm}; give a number above 0.`);
  }
  return Number.isFinite(norm) ? Math.min(1, maxNorm / (norm + 1e-6)) : Number.NaN;
}
