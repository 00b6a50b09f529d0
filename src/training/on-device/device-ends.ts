import type { Tensor } from '../../graph/tensor.ts';
import type { Binding, DeviceTensor, DeviceTensors } from '../../runtime/device.ts';
import type { Precision } from '../../runtime/devices.ts';
import { dialectOf, type Engine, type SessionSettings } from '../../runtime/engine.ts';
import { Executable } from '../../runtime/executable.ts';
import { backwardGraph, forwardGraph, type Piece, productsIn } from '../blocks/block-graph.ts';
import type { HeadGraph } from '../blocks/block-head.ts';
import { gradientName } from '../graph.ts';
import type { GradientTargets } from './device-gradients.ts';
import { bind, type Feeds } from './device-values.ts';

/** A graph that is compiled when it is first bound. */
class LazyPass {
  #executable: Promise<Executable> | undefined;
  readonly #bindings: Binding[] = [];

  readonly #compile: () => Promise<Executable>;

  constructor(engine: Engine, settings: SessionSettings | undefined, outputs: () => Map<string, Tensor>) {
    this.#compile = () => Executable.compile(engine, outputs(), settings);
  }

  async bind(inputs: DeviceTensors, outputs: DeviceTensors, feeds: Feeds): Promise<Binding> {
    this.#executable ??= this.#compile();
    const binding = bind(await this.#executable, inputs, outputs, feeds);
    this.#bindings.push(binding);
    return binding;
  }

  async release(): Promise<void> {
    for (const binding of this.#bindings) binding.release();
    await (await this.#executable)?.release();
  }
}

/** The embedding: the first stage, whose gradient is a row per token. */
export class DeviceEmbedding {
  readonly trained: readonly string[];
  readonly #forwardPass: LazyPass;
  readonly #backwardPass: LazyPass;
  #forward: Binding | undefined;
  readonly #backward = new Map<GradientTargets, Binding>();

  readonly #piece: Piece;
  readonly #weights: DeviceTensors;
  readonly #y: DeviceTensor;
  readonly #dy: DeviceTensor;
  readonly #feeds: Feeds;

  constructor(
    engine: Engine,
    settings: SessionSettings | undefined,
    piece: Piece,
    { y, dy }: { readonly y: DeviceTensor; readonly dy: DeviceTensor },
    weights: ReadonlyMap<string, DeviceTensor>,
    trains: (path: string) => boolean,
    feeds: Feeds,
  ) {
    this.#piece = piece;
    this.#weights = Object.fromEntries(piece.parameters.map(({ name, path }) => [name, weights.get(path)!]));
    this.#y = y;
    this.#dy = dy;
    this.#feeds = feeds;
    const trained = piece.parameters.filter(({ path }) => trains(path));
    this.trained = trained.map(({ path }) => path);
    this.#forwardPass = new LazyPass(engine, settings, () => forwardGraph(piece));
    const names = trained.map(({ name }) => name);
    this.#backwardPass = new LazyPass(engine, settings, () => backwardGraph(piece, names, false));
  }

  async prepare(): Promise<void> {
    this.#forward = await this.#forwardPass.bind(this.#weights, { y: this.#y }, this.#feeds);
  }

  forward(): void {
    this.#forward!.run();
  }

  async bindBackward(targets: GradientTargets): Promise<void> {
    if (this.trained.length === 0) return;
    const outputs: Record<string, DeviceTensor> = {};
    for (const { name, path } of this.#piece.parameters) {
      if (this.trained.includes(path)) outputs[gradientName(name)] = targets.of(path);
    }
    const inputs = { ...this.#weights, dy: this.#dy };
    this.#backward.set(targets, await this.#backwardPass.bind(inputs, outputs, this.#feeds));
  }

  backward(targets: GradientTargets): void {
    this.#backward.get(targets)?.run();
  }

  async release(): Promise<void> {
    await this.#forwardPass.release();
    await this.#backwardPass.release();
  }
}

/** The name of the loss among the gradients that are added up over micro-batches. */
export const LOSS = 'loss';

/** The head and its loss: the last stage. */
export class DeviceHead {
  readonly trained: readonly string[];
  readonly #lossPass: LazyPass;
  readonly #gradientPass: LazyPass;
  #loss: Binding | undefined;
  readonly #backward = new Map<GradientTargets, Binding>();

  readonly #weights: DeviceTensors;
  readonly #hidden: DeviceTensor;
  readonly #dHidden: DeviceTensor;
  readonly #feeds: Feeds;

  constructor(
    engine: Engine,
    settings: SessionSettings | undefined,
    graph: HeadGraph,
    { hidden, dHidden }: { readonly hidden: DeviceTensor; readonly dHidden: DeviceTensor },
    weights: ReadonlyMap<string, DeviceTensor>,
    feeds: Feeds,
    precision: Precision,
  ) {
    this.#weights = Object.fromEntries(weights);
    this.#hidden = hidden;
    this.#dHidden = dHidden;
    this.#feeds = feeds;
    this.trained = graph.trained;
    const loss = [LOSS, graph.loss] as const;
    const pass = (outputs: readonly (readonly [string, Tensor])[]) =>
      new LazyPass(engine, settings, () => productsIn(precision, new Map(outputs), dialectOf(engine)));
    this.#lossPass = pass([loss]);
    this.#gradientPass = pass([loss, ...graph.gradients]);
  }

  /** Computes the loss alone. */
  async loss(into: DeviceTensor): Promise<void> {
    const hidden = this.#hidden;
    this.#loss ??= await this.#lossPass.bind({ ...this.#weights, hidden }, { [LOSS]: into }, this.#feeds);
    this.#loss.run();
  }

  async bindBackward(targets: GradientTargets): Promise<void> {
    const outputs: Record<string, DeviceTensor> = { [LOSS]: targets.of(LOSS), dHidden: this.#dHidden };
    for (const path of this.trained) outputs[gradientName(path)] = targets.of(path);
    const inputs = { ...this.#weights, hidden: this.#hidden };
    this.#backward.set(targets, await this.#gradientPass.bind(inputs, outputs, this.#feeds));
  }

  backward(targets: GradientTargets): void {
    this.#backward.get(targets)!.run();
  }

  async release(): Promise<void> {
    await this.#lossPass.release();
    await this.#gradientPass.release();
  }
}
