import { emitModel } from '../onnx/emit.ts';
import { dialectOf, type Engine, type SessionSettings } from '../runtime/engine.ts';
import { Executable, type HostTensor } from '../runtime/executable.ts';
import { backwardGraph, forwardGraph, type Piece, type PieceParameter } from './block-graph.ts';
import { gradientName } from './graph.ts';

/** Compiled passes, shared by all stages whose graphs are equal. */
export class StageKinds {
  private readonly kinds: { readonly bytes: Uint8Array; readonly kind: StageKind }[] = [];

  constructor(
    private readonly engine: Engine,
    private readonly settings: SessionSettings | undefined,
  ) {}

  kindOf(piece: Piece): StageKind {
    const { bytes } = emitModel(forwardGraph(piece), { dialect: dialectOf(this.engine) });
    const known = this.kinds.find((kind) => equalBytes(kind.bytes, bytes));
    if (known) return known.kind;
    const kind = new StageKind(this.engine, piece, this.settings);
    this.kinds.push({ bytes, kind });
    return kind;
  }

  /** Different graphs among the stages. */
  get count(): number {
    return this.kinds.length;
  }

  async release(): Promise<void> {
    for (const { kind } of this.kinds) await kind.release();
  }
}

class StageKind {
  private forwardPass: Promise<Executable> | undefined;
  private readonly backwardPasses = new Map<string, Promise<Executable>>();

  constructor(
    private readonly engine: Engine,
    private readonly piece: Piece,
    private readonly settings: SessionSettings | undefined,
  ) {}

  forward(): Promise<Executable> {
    this.forwardPass ??= Executable.compile(this.engine, forwardGraph(this.piece), this.settings);
    return this.forwardPass;
  }

  backward(trained: readonly string[], inputGradient: boolean): Promise<Executable> {
    const key = JSON.stringify([trained, inputGradient]);
    const known = this.backwardPasses.get(key);
    if (known) return known;
    const graph = backwardGraph(this.piece, trained, inputGradient);
    const made = Executable.compile(this.engine, graph, this.settings);
    this.backwardPasses.set(key, made);
    return made;
  }

  async release(): Promise<void> {
    await (await this.forwardPass)?.release();
    for (const pass of this.backwardPasses.values()) await (await pass).release();
  }
}

/** One layer, or the last norm: which weights a kind's passes are run with. */
export class Stage {
  /** Those whose gradients are wanted. */
  readonly trained: readonly PieceParameter[];

  constructor(
    private readonly kind: StageKind,
    private readonly piece: Piece,
    private readonly values: ReadonlyMap<string, Float32Array>,
    trains: (path: string) => boolean,
    /** Whether anything before it is trained. */
    private readonly inputGradient: boolean,
  ) {
    this.trained = piece.parameters.filter(({ path }) => trains(path));
  }

  /** Whether anything of it or before it is trained. */
  get isActive(): boolean {
    return this.inputGradient || this.trained.length > 0;
  }

  async compile(): Promise<void> {
    await this.kind.forward();
    if (this.isActive) await this.backwardPass();
  }

  /** @param context the feeds of packed rows. */
  async forward(x: Float32Array, y: Float32Array, context: Readonly<Record<string, HostTensor>>) {
    const pass = await this.kind.forward();
    await pass.run({ ...this.feeds(), ...context, x: this.rows(x) }, { y });
  }

  /**
   * @param x what {@link forward} was given.
   * @param dx where the gradient of x is written, when anything before is trained.
   * @param gradients where those of {@link trained} are, by path.
   */
  async backward(
    { x, dy, dx }: { readonly x: Float32Array; readonly dy: Float32Array; readonly dx: Float32Array },
    gradients: ReadonlyMap<string, Float32Array>,
    context: Readonly<Record<string, HostTensor>>,
  ): Promise<void> {
    const pass = await this.backwardPass();
    const into: Record<string, Float32Array> = this.inputGradient ? { dx } : {};
    for (const { path, name } of this.trained) into[gradientName(name)] = gradients.get(path)!;
    await pass.run({ ...this.feeds(), ...context, x: this.rows(x), dy: this.rows(dy) }, into);
  }

  private backwardPass(): Promise<Executable> {
    return this.kind.backward(
      this.trained.map(({ name }) => name),
      this.inputGradient,
    );
  }

  private feeds(): Record<string, HostTensor> {
    const { parameters } = this.piece;
    return Object.fromEntries(
      parameters.map(({ name, path, shape }) => [name, { data: this.values.get(path)!, shape }]),
    );
  }

  private rows(data: Float32Array): HostTensor {
    return { data, shape: this.piece.y.shape as number[] };
  }
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
