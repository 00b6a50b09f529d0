import { RopewalkError } from '../../errors.ts';
import { addInto, fill } from '../../kernels/kernels.ts';
import type { HostMemory } from '../../runtime/host-memory.ts';
import { aloneGradients } from '../apply-gradients.ts';
import { clipCoefficient } from '../clip.ts';
import { notFinite } from '../finite.ts';
import type { CombinedGradients, TrainedParameter, UpdateSettings } from '../learner.ts';
import type { GradientSink, OpenGradients } from './block-gradients.ts';

/** Elements in a cache line: gradients that share memory are aligned to it. */
const LINE = 16;

/** Gradients that are being added up over the ranks. */
interface Waiting {
  readonly parameters: readonly (TrainedParameter & { readonly gradient: Float32Array })[];
  readonly combined: Promise<CombinedGradients>;
}

/**
 * Updates weights as soon as their gradients are complete, in the order in which backpropagation finishes them: all
 * of one stage together, clipped by their own norm. The gradients of all stages reuse the same memory; only a weight
 * that several stages share has its own, until the last of them has added to it.
 *
 * Over several ranks, a stage's gradients are added up while the stage before computes its own, in a second memory.
 */
export class UpdatingGradients implements GradientSink {
  readonly #shared: readonly Float32Array[];
  #turn = 0;
  #waiting: Waiting | undefined;
  readonly #lasting: ReadonlyMap<string, Float32Array>;
  readonly #parameters: ReadonlyMap<string, TrainedParameter>;
  readonly #places = new Map<string, number>();
  #seen = new Map<string, number>();
  #settings: UpdateSettings | undefined;
  #sumOfSquares = 0;
  #loss = 0;

  /**
   * @param stages paths of the trained weights of each stage.
   * @param overlaps whether there are other ranks.
   */
  constructor(
    memory: HostMemory,
    parameters: readonly TrainedParameter[],
    stages: readonly (readonly string[])[],
    overlaps = false,
  ) {
    this.#parameters = new Map(parameters.map((parameter) => [parameter.name, parameter]));
    for (const path of stages.flat()) this.#places.set(path, (this.#places.get(path) ?? 0) + 1);
    const sizes = stages.map((paths) =>
      paths
        .filter((path) => this.#places.get(path) === 1)
        .reduce((sum, path) => sum + this.#paddedSize(path), 0),
    );
    const most = Math.max(0, ...sizes);
    this.#shared = Array.from({ length: overlaps ? 2 : 1 }, () => memory.allocFloat32(most));
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
    this.#turn = (this.#turn + 1) % this.#shared.length;
    const shares = new Map<string, Float32Array>();
    const arrays = new Map<string, Float32Array>();
    for (const path of paths) {
      const { length } = this.#parameters.get(path)!.value;
      const lasting = this.#lasting.get(path);
      let array = lasting ?? this.#shared[this.#turn]!.subarray(start, start + length);
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
    await this.settle();
    const { together } = this.#settings;
    const combined = together ? together.combine(parameters) : Promise.resolve(aloneGradients(parameters));
    // An error is reported when it is waited for.
    combined.catch(() => {});
    this.#waiting = { parameters, combined };
    if (!together) await this.settle();
  }

  /** Waits for gradients that are being added up, and updates with them. */
  async settle(): Promise<void> {
    const waiting = this.#waiting;
    if (!waiting) return;
    this.#waiting = undefined;
    const { parameters } = waiting;
    const combined = await waiting.combined;
    const { optimizer, learningRate, clip, select } = this.#settings!;
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
