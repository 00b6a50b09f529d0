import { sizeOf } from '../../graph/dims.ts';
import {
  add,
  concat,
  constant,
  div,
  input,
  mul,
  reduceMax,
  reduceSum,
  reduceSumSquare,
  reshape,
  scalar,
  sqrt,
} from '../../graph/operators/index.ts';
import type { Tensor } from '../../graph/tensor.ts';
import type { Binding, DeviceMemory, DeviceTensor } from '../../runtime/device.ts';
import type { Engine } from '../../runtime/engine.ts';
import { Executable } from '../../runtime/executable.ts';
import type { DeviceMeasure } from './device-optimizer.ts';
import type { Scalars } from './device-scalars.ts';

/** Squares that one workgroup adds up: enough for its threads, few enough for float32. */
const ROW = 1024;

/** Columns of the matrix of partial sums. */
const PARTS = 512;

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
    return new DeviceNorm(await Executable.compile(engine, normGraph(sizes)), gradients, memory, scalars);
  }

  /** @param clip the largest norm; 0 for no clipping. */
  measure(clip: number): DeviceMeasure {
    this.#scalars.write({ clip: clip > 0 ? clip : UNLIMITED, zero: 0 });
    this.#binding.run();
    return this.#result;
  }

  async release(): Promise<void> {
    this.#binding.release();
    for (const tensor of [...this.#views, this.#result.norm, this.#result.scale]) this.#memory.free(tensor);
    await this.#executable.release();
  }
}

/** A matrix of as many elements whose rows have at least {@link ROW} elements, and not many more where that divides. */
function matrixOf(size: number): readonly [number, number] {
  for (let rows = Math.max(1, Math.floor(size / ROW)); rows > 1; rows--)
    if (size % rows === 0) return [rows, size / rows];
  return [1, size];
}

function normGraph(sizes: readonly number[]): Map<string, Tensor> {
  const sums = sizes.map((size, i) => {
    const shape = matrixOf(size);
    return reshape(reduceSumSquare(input(`gradient${i}`, 'float32', shape), [1]), [shape[0]]);
  });
  const count = sums.reduce((total, { shape }) => total + (shape[0] as number), 0);
  const padding = (PARTS - (count % PARTS)) % PARTS;
  const all = concat([...sums, ...(padding > 0 ? [constant(new Float32Array(padding), [padding])] : [])], 0);
  const parts = reduceSum(reshape(all, [(count + padding) / PARTS, PARTS]), [1]);
  const norm = sqrt(reduceSum(reshape(parts, [(count + padding) / PARTS]), [0]));
  // clip / max(clip, norm + 1e-6) is 1 for a norm within the clip. The product with 0 is NaN for a norm that is not finite.
  const clip = input('clip', 'float32', [1]);
  const largest = reduceMax(concat([clip, add(norm, scalar(1e-6))], 0), [0]);
  const scale = add(div(clip, largest), mul(norm, input('zero', 'float32', [1])));
  return new Map([
    ['norm', norm],
    ['scale', scale],
  ]);
}
