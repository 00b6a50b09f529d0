import { sizeOf } from '../../graph/dims.ts';
import type { Tensor } from '../../graph/tensor.ts';
import { emitModel } from '../../onnx/emit.ts';
import type { Precision } from '../../runtime/devices.ts';
import { dialectOf, type Engine, type SessionSettings } from '../../runtime/engine.ts';
import { Executable, type HostTensor } from '../../runtime/executable.ts';
import type { HostMemory } from '../../runtime/host-memory.ts';
import { gradientName } from '../graph.ts';
import {
  backwardGraph,
  forwardGraph,
  type KeepingGraphs,
  keepingGraphs,
  type Piece,
  type PieceParameter,
  productsIn,
} from './block-graph.ts';

/** Compiled passes, shared by all stages whose graphs are equal. */
export class StageKinds {
  readonly #kinds: { readonly bytes: Uint8Array; readonly kind: StageKind }[] = [];

  readonly #engine: Engine;
  readonly #settings: SessionSettings | undefined;
  readonly #precision: Precision;

  /** @param precision of the products. */
  constructor(engine: Engine, settings: SessionSettings | undefined, precision: Precision = 'float32') {
    this.#engine = engine;
    this.#settings = settings;
    this.#precision = precision;
  }

  kindOf(piece: Piece): StageKind {
    const { bytes } = emitModel(forwardGraph(piece), { dialect: dialectOf(this.#engine) });
    const known = this.#kinds.find((kind) => equalBytes(kind.bytes, bytes));
    if (known) return known.kind;
    const kind = new StageKind(this.#engine, piece, this.#settings, this.#precision);
    this.#kinds.push({ bytes, kind });
    return kind;
  }

  /** The number of different graphs among the stages. */
  get count(): number {
    return this.#kinds.length;
  }

  async release(): Promise<void> {
    for (const { kind } of this.#kinds) await kind.release();
  }
}

export interface KeepingPasses {
  readonly forward: Executable;
  readonly backward: Executable;
  readonly kept: KeepingGraphs['kept'];
}

/** The compiled passes of all stages with one graph, each compiled on first use. */
export class StageKind {
  #forwardPass: Promise<Executable> | undefined;
  readonly #backwardPasses = new Map<string, Promise<Executable>>();
  readonly #keepingPasses = new Map<string, Promise<KeepingPasses>>();

  readonly #engine: Engine;
  readonly #piece: Piece;
  readonly #settings: SessionSettings | undefined;
  readonly #precision: Precision;

  constructor(
    engine: Engine,
    piece: Piece,
    settings: SessionSettings | undefined,
    precision: Precision = 'float32',
  ) {
    this.#engine = engine;
    this.#piece = piece;
    this.#settings = settings;
    this.#precision = precision;
  }

  forward(): Promise<Executable> {
    this.#forwardPass ??= this.#compile(forwardGraph(this.#piece));
    return this.#forwardPass;
  }

  backward(trained: readonly string[], inputGradient: boolean): Promise<Executable> {
    const key = JSON.stringify([trained, inputGradient]);
    const known = this.#backwardPasses.get(key);
    if (known) return known;
    const made = this.#compile(backwardGraph(this.#piece, trained, inputGradient));
    this.#backwardPasses.set(key, made);
    return made;
  }

  /** Both passes, with activations kept in between. */
  keeping(trained: readonly string[], inputGradient: boolean): Promise<KeepingPasses> {
    const key = JSON.stringify([trained, inputGradient]);
    const known = this.#keepingPasses.get(key);
    if (known) return known;
    const engine = this.#engine;
    const settings = this.#settings;
    const graphs = keepingGraphs(
      ...([this.#piece, trained, inputGradient, dialectOf(engine), this.#precision] as const),
    );
    const made = (async () => ({
      forward: await Executable.compile(engine, graphs.forward, settings),
      backward: await Executable.compile(engine, graphs.backward, settings),
      kept: graphs.kept,
    }))();
    this.#keepingPasses.set(key, made);
    return made;
  }

  async release(): Promise<void> {
    await (await this.#forwardPass)?.release();
    for (const pass of this.#backwardPasses.values()) await (await pass).release();
    for (const passes of this.#keepingPasses.values()) {
      await (await passes).forward.release();
      await (await passes).backward.release();
    }
  }

  #compile(graph: ReadonlyMap<string, Tensor>): Promise<Executable> {
    const written = productsIn(this.#precision, graph, dialectOf(this.#engine));
    return Executable.compile(this.#engine, written, this.#settings);
  }
}

/** One layer, or the final norm: the weights that its kind's passes run with. */
export class Stage {
  /** The weights whose gradients are wanted. */
  readonly trained: readonly PieceParameter[];
  /** Values of the forward pass that are kept for the backward pass. */
  #kept: Readonly<Record<string, HostTensor>> | undefined;

  readonly #kind: StageKind;
  readonly #piece: Piece;
  readonly #values: ReadonlyMap<string, Float32Array>;
  readonly #inputGradient: boolean;

  constructor(
    kind: StageKind,
    piece: Piece,
    values: ReadonlyMap<string, Float32Array>,
    trains: (path: string) => boolean,
    /** Whether anything before it is trained. */
    inputGradient: boolean,
  ) {
    this.#kind = kind;
    this.#piece = piece;
    this.#values = values;
    this.#inputGradient = inputGradient;
    this.trained = piece.parameters.filter(({ path }) => trains(path));
  }

  /** Whether anything in it or before it is trained. */
  get isActive(): boolean {
    return this.#inputGradient || this.trained.length > 0;
  }

  /** @param memory for kept activations; without it they are recomputed. */
  async compile(memory: HostMemory | undefined): Promise<void> {
    if (!this.isActive) await this.#kind.forward();
    else if (!memory) await Promise.all([this.#kind.forward(), this.#backwardPass()]);
    else {
      const { kept } = await this.#keeping();
      const arrays = kept.map(({ name, shape }) => [
        name,
        { data: memory.allocFloat32(sizeOf(shape)), shape },
      ]);
      this.#kept = Object.fromEntries(arrays) as Record<string, HostTensor>;
    }
  }

  /**
   * @param context the feeds of packed rows.
   * @param keep whether a backward pass follows.
   */
  async forward(
    x: Float32Array,
    y: Float32Array,
    context: Readonly<Record<string, HostTensor>>,
    keep: boolean,
  ): Promise<void> {
    const kept = this.#kept;
    const pass = keep && kept ? (await this.#keeping()).forward : await this.#kind.forward();
    await pass.run({ ...this.#feeds(), ...context, x: this.#rows(x) }, { y, ...(keep && kept) });
  }

  /**
   * @param x the input of {@link forward}.
   * @param dx receives the gradient of x, if anything before is trained.
   * @param gradients receive those of {@link trained}, by path.
   */
  async backward(
    { x, dy, dx }: { readonly x: Float32Array; readonly dy: Float32Array; readonly dx: Float32Array },
    gradients: ReadonlyMap<string, Float32Array>,
    context: Readonly<Record<string, HostTensor>>,
  ): Promise<void> {
    const pass = this.#kept ? (await this.#keeping()).backward : await this.#backwardPass();
    const into: Record<string, Float32Array> = this.#inputGradient ? { dx } : {};
    for (const { path, name } of this.trained) into[gradientName(name)] = gradients.get(path)!;
    const feeds = { ...this.#feeds(), ...context, ...this.#kept };
    await pass.run({ ...feeds, x: this.#rows(x), dy: this.#rows(dy) }, into);
  }

  #backwardPass(): Promise<Executable> {
    return this.#kind.backward(this.#trainedNames(), this.#inputGradient);
  }

  #keeping(): Promise<KeepingPasses> {
    return this.#kind.keeping(this.#trainedNames(), this.#inputGradient);
  }

  #trainedNames(): string[] {
    return this.trained.map(({ name }) => name);
  }

  #feeds(): Record<string, HostTensor> {
    const { parameters } = this.#piece;
    return Object.fromEntries(
      parameters.map(({ name, path, shape }) => [name, { data: this.#values.get(path)!, shape }]),
    );
  }

  #rows(data: Float32Array): HostTensor {
    return { data, shape: this.#piece.y.shape as number[] };
  }
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  // Masks of long sequences make models of many megabytes: a callback for each byte took seconds.
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
