import { fill } from '../../kernels/kernels.ts';
import type { Codec, Communicator, Pending } from '../../ranks/communicator.ts';
import type { HostMemory } from '../../runtime/host-memory.ts';
import { sumOfAll } from '../apply-gradients.ts';
import { clipCoefficient } from '../clip.ts';
import { notFinite } from '../finite.ts';
import type { TrainedParameter, UpdateSettings } from '../learner.ts';
import type { OptimizedParameter } from '../optimizers/optimizer.ts';
import type { Slices } from '../parallel/slices.ts';
import { cutPadded, paddedSize, type StageWeight } from './gathered-weights.ts';

interface Scattering {
  readonly pending: Pending;
  readonly own: readonly OptimizedParameter[];
}

/**
 * Gradients that are added up over the ranks as soon as a stage is done, each rank its slices, which it then uses to
 * update its slices of the weights. While a stage's gradients are on their way, the stage before computes its own.
 */
export class ScatteredGradients {
  readonly #communicator: Communicator;
  readonly #codec: Codec | undefined;
  readonly #slices: Slices;
  readonly #parameters: ReadonlyMap<string, TrainedParameter>;
  readonly #buffers: readonly [Float32Array, Float32Array];
  readonly #sums: Float32Array;
  #turn = 0;
  #scattering: Scattering | undefined;
  #settings: UpdateSettings | undefined;
  #loss = 0;
  #sumOfSquares = 0;

  /**
   * @param parameters this rank's slices of the trained weights.
   * @param stages the trained weights of each stage.
   */
  constructor(
    communicator: Communicator,
    slices: Slices,
    codec: Codec | undefined,
    parameters: readonly TrainedParameter[],
    stages: readonly (readonly StageWeight[])[],
    memory: HostMemory,
  ) {
    this.#communicator = communicator;
    this.#slices = slices;
    this.#codec = codec;
    this.#parameters = new Map(parameters.map((parameter) => [parameter.name, parameter]));
    const most = Math.max(0, ...stages.map((stage) => paddedSize(stage.map(({ size }) => size))));
    this.#buffers = [memory.allocFloat32(most), memory.allocFloat32(most)];
    const own = stages.map((stage) => paddedSize(stage.map(({ path }) => this.#ownSize(path))));
    this.#sums = memory.allocFloat32(Math.max(0, ...own));
  }

  /** Begins a step. */
  begin(): void {
    this.#settings = undefined;
    this.#sumOfSquares = 0;
  }

  /** From here on, gradients are used: the step's loss is known and accepted. */
  accept(settings: UpdateSettings, loss: number): void {
    this.#settings = settings;
    this.#loss = loss;
  }

  /** Global norm of the step's gradients, before clipping. */
  get gradientNorm(): number {
    return Math.sqrt(this.#sumOfSquares);
  }

  /** Arrays for a stage's gradients. @param mode `add`: they are zeros. */
  open(stage: readonly StageWeight[], mode: 'write' | 'add'): Map<string, Float32Array> {
    this.#turn = 1 - this.#turn;
    const arrays = cutPadded(this.#buffers[this.#turn]!, stage);
    if (mode === 'add') for (const array of arrays.values()) fill(array, 0);
    return arrays;
  }

  /**
   * Updates with the gradients of the stage before, and starts to add up those of this one.
   *
   * @param also further gradients of this stage, which are added up already.
   */
  async close(
    arrays: ReadonlyMap<string, Float32Array>,
    also: readonly OptimizedParameter[] = [],
  ): Promise<void> {
    await this.settle();
    const sizes = [...arrays.keys()].map((path) => ({ path, size: this.#ownSize(path) }));
    const sums = cutPadded(this.#sums, sizes);
    const parts = [...arrays].map(([path, whole]) => ({
      whole,
      own: sums.get(path)!,
      bounds: this.#slices.boundsOf(path),
    }));
    const own = [...sums].flatMap(([path, gradient]) => this.withGradient(path, gradient));
    this.#scattering = {
      pending: this.#communicator.reduceScatter(parts, this.#codec),
      own: [...own, ...also],
    };
  }

  /** Waits for gradients that are on their way, and updates with them. */
  async settle(): Promise<void> {
    const scattering = this.#scattering;
    if (!scattering) return;
    this.#scattering = undefined;
    await scattering.pending.wait();
    await this.update(scattering.own);
  }

  /** Updates this rank's slices of one stage, all clipped by their norm over all ranks. */
  async update(own: readonly OptimizedParameter[]): Promise<void> {
    const { optimizer, learningRate, clip } = this.#settings!;
    const sum = Float64Array.of(sumOfAll(own));
    await this.#communicator.sum([sum]);
    const squares = sum[0]!;
    if (!Number.isFinite(squares)) throw notFinite(this.#loss, own);
    this.#sumOfSquares += squares;
    const gradientScale = clip > 0 ? clipCoefficient(Math.sqrt(squares), clip) : 1;
    optimizer.step(own, { learningRate, gradientScale });
  }

  /** This rank's slice of a weight with its gradient; none if it has no elements. */
  withGradient(path: string, gradient: Float32Array): OptimizedParameter[] {
    const parameter = this.#parameters.get(path);
    if (!parameter) return [];
    const { name, shape, value } = parameter;
    return [{ name, shape, value, gradient, offset: this.#slices.rangeOf(path).start }];
  }

  #ownSize(path: string): number {
    const { start, end } = this.#slices.rangeOf(path);
    return end - start;
  }
}
