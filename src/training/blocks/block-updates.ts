import { RopewalkError } from '../../errors.ts';
import { addInto, fill } from '../../kernels/kernels.ts';
import type { HostMemory } from '../../runtime/host-memory.ts';
import { aloneGradients } from '../apply-gradients.ts';
import { clipCoefficient } from '../clip.ts';
import { notFinite } from '../finite.ts';
import type { TrainedParameter, UpdateSettings } from '../learner.ts';
import type { GradientSink, OpenGradients } from './block-gradients.ts';

/** Elements in a cache line: gradients that share memory are aligned to it. */
const LINE = 16;

/**
 * Updates weights as soon as their gradients are complete, in the order in which backpropagation finishes them: all
 * of one stage together, clipped by their own norm. The gradients of all stages reuse the same memory; only a weight
 * that several stages share has its own, until the last of them has added to it.
 */
export class UpdatingGradients implements GradientSink {
  readonly #shared: Float32Array;
  readonly #lasting: ReadonlyMap<string, Float32Array>;
  readonly #parameters: ReadonlyMap<string, TrainedParameter>;
  readonly #places = new Map<string, number>();
  #seen = new Map<string, number>();
  #settings: UpdateSettings | undefined;
  #sumOfSquares = 0;
  #loss = 0;

  /** @param stages paths of the trained weights of each stage. */
  constructor(
    memory: HostMemory,
    parameters: readonly TrainedParameter[],
    stages: readonly (readonly string[])[],
  ) {
    this.#parameters = new Map(parameters.map((parameter) => [parameter.name, parameter]));
    for (const path of stages.flat()) this.#places.set(path, (this.#places.get(path) ?? 0) + 1);
    const sizes = stages.map((paths) =>
      paths
        .filter((path) => this.#places.get(path) === 1)
        .reduce((sum, path) => sum + this.#paddedSize(path), 0),
    );
    this.#shared = memory.allocFloat32(Math.max(0, ...sizes));
    const several = [...this.#places].filter(([, count]) => count > 1);
    this.#lasting = new Map(
      several.map(([path]) => [path, memory.allocFloat32(this.#parameters.get(path)!.value.length)]),
    );
  }

  /** Begins a step. */
  begin(): void {
    this.#settings = undefined;
    this.#seen = new Map();
    this.#sumOfSquares = 0;
  }

  /** From here on, complete gradients are used: the step's loss is known and accepted. */
  accept(settings: UpdateSettings, loss: number): void {
    this.#settings = settings;
    this.#loss = loss;
  }

  /** Global norm of the step's gradients, before clipping. */
  get gradientNorm(): number {
    return Math.sqrt(this.#sumOfSquares);
  }

  open(paths: readonly string[], mode: 'write' | 'add'): OpenGradients {
    let start = 0;
    const shares = new Map<string, Float32Array>();
    const arrays = new Map<string, Float32Array>();
    for (const path of paths) {
      const { length } = this.#parameters.get(path)!.value;
      const lasting = this.#lasting.get(path);
      let array = lasting ?? this.#shared.subarray(start, start + length);
      if (!lasting) start += this.#paddedSize(path);
      if (mode === 'add' && !this.#seen.has(path)) fill(array, 0);
      if (mode === 'write' && this.#seen.has(path)) {
        array = new Float32Array(length);
        shares.set(path, array);
      }
      arrays.set(path, array);
    }
    const close = async () => {
      for (const [path, share] of shares) addInto(this.#lasting.get(path)!, share);
      for (const path of paths) this.#seen.set(path, (this.#seen.get(path) ?? 0) + 1);
      const whole = paths.filter((path) => this.#seen.get(path) === this.#places.get(path));
      await this.#update(
        whole.map((path) => ({
          ...this.#parameters.get(path)!,
          gradient: this.#lasting.get(path) ?? arrays.get(path)!,
        })),
      );
    };
    return { arrays, close };
  }

  async #update(
    parameters: readonly (TrainedParameter & { readonly gradient: Float32Array })[],
  ): Promise<void> {
    if (!this.#settings) throw new RopewalkError('gradients came before their step was accepted.');
    const { optimizer, learningRate, clip, together, select } = this.#settings;
    const combined = together ? await together.combine(parameters) : aloneGradients(parameters);
    const updating = select ? select(combined.own) : combined.own;
    const squares = await combined.sumOfSquares(updating);
    if (!Number.isFinite(squares)) throw notFinite(this.#loss, parameters);
    this.#sumOfSquares += squares;
    const gradientScale = clip > 0 ? clipCoefficient(Math.sqrt(squares), clip) : 1;
    await combined.update(updating, (some) => optimizer.step(some, { learningRate, gradientScale }));
  }

  #paddedSize(path: string): number {
    return Math.ceil(this.#parameters.get(path)!.value.length / LINE) * LINE;
  }
}
