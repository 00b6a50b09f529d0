import { sizeOf } from '../../graph/dims.ts';
import { add, div, input, maximum, mul, scalar, sqrt } from '../../graph/operators/index.ts';
import type { Tensor } from '../../graph/tensor.ts';
import type { Binding, DeviceMemory, DeviceTensor } from '../../runtime/device.ts';
import type { Engine } from '../../runtime/engine.ts';
import { Executable } from '../../runtime/executable.ts';
import { matrixOf, sumOfSquares } from '../optimizers/sums.ts';
import type { DeviceMeasure } from './device-optimizer.ts';
import type { Scalars } from './device-scalars.ts';
import { ON_DEVICE } from './device-updates.ts';

/** Stands for no clipping: larger than any norm whose square float32 holds. */
const UNLIMITED = 1e30;

/** Euclidean norm of some gradients as one vector, and the factor that clips them; in float32, in a tree of sums. */
export class DeviceNorm {
  readonly #executable: Executable;
  readonly #binding: Binding;
  readonly #views: readonly DeviceTensor[];
  readonly #memory: DeviceMemory;
  readonly #scalars: Scalars;
  readonly #result: DeviceMeasure;

  private constructor(
    executable: Executable,
    gradients: readonly DeviceTensor[],
    memory: DeviceMemory,
    scalars: Scalars,
  ) {
    this.#executable = executable;
    this.#memory = memory;
    this.#scalars = scalars;
    this.#views = gradients.map((gradient) =>
      memory.view(gradient, matrixOf(sizeOf(gradient.shape) as number)),
    );
    this.#result = { norm: memory.allocate('float32', [1]), scale: memory.allocate('float32', [1]) };
    this.#binding = executable.bind(
      {
        ...Object.fromEntries(this.#views.map((view, i) => [`gradient${i}`, view])),
        clip: scalars.tensor('clip'),
        zero: scalars.tensor('zero'),
        unscale: scalars.tensor('unscale'),
      },
      { ...this.#result },
    );
  }

  static async create(
    engine: Engine,
    memory: DeviceMemory,
    gradients: readonly DeviceTensor[],
    scalars: Scalars,
  ): Promise<DeviceNorm> {
    const sizes = gradients.map(({ shape }) => sizeOf(shape) as number);
    return new DeviceNorm(
      await Executable.compile(engine, normGraph(sizes), ON_DEVICE),
      gradients,
      memory,
      scalars,
    );
  }

  /**
   * @param clip the largest norm; 0 for no clipping.
   * @param lossScale what the gradients are multiplied by.
   */
  measure(clip: number, lossScale: number): DeviceMeasure {
    this.#scalars.write({ clip: clip > 0 ? clip : UNLIMITED, zero: 0, unscale: 1 / lossScale });
    this.#binding.run();
    return this.#result;
  }

  async release(): Promise<void> {
    this.#binding.release();
    for (const tensor of [...this.#views, this.#result.norm, this.#result.scale]) this.#memory.free(tensor);
    await this.#executable.release();
  }
}

function normGraph(sizes: readonly number[]): Map<string, Tensor> {
  const whole = sqrt(sumOfSquares(sizes.map((size, i) => input(`gradient${i}`, 'float32', matrixOf(size)))));
  const unscale = input('unscale', 'float32', [1]);
  const norm = mul(whole, unscale);
  // The product with 0 is NaN for a norm that is not finite.
  const clip = input('clip', 'float32', [1]);
  const within = div(clip, maximum(clip, add(norm, scalar(1e-6))));
  const scale = add(mul(within, unscale), mul(norm, input('zero', 'float32', [1])));
  return new Map([
    ['norm', norm],
    ['scale', scale],
  ]);
}
