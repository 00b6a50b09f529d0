import type { Binding, DeviceMemory, DeviceTensor } from '../../runtime/device.ts';
import type { Piece } from '../blocks/block-graph.ts';
import type { StageKind } from '../blocks/block-stage.ts';
import { gradientName } from '../graph.ts';
import type { GradientTargets } from './device-gradients.ts';
import { bind, deviceType, type Feeds } from './device-values.ts';

/** The activations around a stage, and their gradients. */
export interface Passed {
  readonly x: DeviceTensor;
  readonly y: DeviceTensor;
  readonly dy: DeviceTensor;
  readonly dx: DeviceTensor;
}

/** A layer, or the final norm: its kind's passes, bound to its own weights and activations. */
export class DeviceStage {
  /** Paths of the weights whose gradients are wanted. */
  readonly trained: readonly string[];
  #forward: Binding | undefined;
  readonly #backward = new Map<GradientTargets, Binding>();

  readonly #kind: StageKind;
  readonly #piece: Piece;
  readonly #passed: Passed;
  readonly #weights: Readonly<Record<string, DeviceTensor>>;
  readonly #inputGradient: boolean;
  readonly #feeds: Feeds;
  #kept: Readonly<Record<string, DeviceTensor>> = {};

  /** @param inputGradient whether anything before it is trained. */
  constructor(
    kind: StageKind,
    piece: Piece,
    passed: Passed,
    weights: ReadonlyMap<string, DeviceTensor>,
    trains: (path: string) => boolean,
    inputGradient: boolean,
    feeds: Feeds,
  ) {
    this.#kind = kind;
    this.#piece = piece;
    this.#passed = passed;
    this.#weights = Object.fromEntries(piece.parameters.map(({ name, path }) => [name, weights.get(path)!]));
    this.#inputGradient = inputGradient;
    this.#feeds = feeds;
    this.trained = piece.parameters.map(({ path }) => path).filter(trains);
  }

  /** Whether anything in it or before it is trained. */
  get isActive(): boolean {
    return this.#inputGradient || this.trained.length > 0;
  }

  /** @param keeps whether activations are kept for the backward pass, rather than recomputed in it. */
  async prepare(memory: DeviceMemory, keeps: boolean): Promise<void> {
    const { x, y } = this.#passed;
    if (!this.isActive || !keeps) {
      this.#forward = bind(await this.#kind.forward(), { ...this.#weights, x }, { y }, this.#feeds);
      return;
    }
    const { forward, kept } = await this.#kind.keeping(this.#names(), this.#inputGradient);
    this.#kept = Object.fromEntries(
      kept.map(({ name, dtype, shape }) => [name, memory.allocate(deviceType(name, dtype), shape)]),
    );
    this.#forward = bind(forward, { ...this.#weights, x }, { y, ...this.#kept }, this.#feeds);
  }

  forward(): void {
    this.#forward!.run();
  }

  /** Binds the backward pass. */
  async bindBackward(targets: GradientTargets, keeps: boolean): Promise<void> {
    if (!this.isActive || this.#backward.has(targets)) return;
    const names = this.#names();
    const pass = keeps
      ? (await this.#kind.keeping(names, this.#inputGradient)).backward
      : await this.#kind.backward(names, this.#inputGradient);
    const { x, dy, dx } = this.#passed;
    const outputs: Record<string, DeviceTensor> = this.#inputGradient ? { dx } : {};
    for (const { name, path } of this.#piece.parameters) {
      if (this.trained.includes(path)) outputs[gradientName(name)] = targets.of(path);
    }
    this.#backward.set(targets, bind(pass, { ...this.#weights, ...this.#kept, x, dy }, outputs, this.#feeds));
  }

  backward(targets: GradientTargets): void {
    this.#backward.get(targets)!.run();
  }

  release(): void {
    this.#forward?.release();
    for (const binding of this.#backward.values()) binding.release();
  }

  #names(): string[] {
    return this.#piece.parameters.filter(({ path }) => this.trained.includes(path)).map(({ name }) => name);
  }
}
