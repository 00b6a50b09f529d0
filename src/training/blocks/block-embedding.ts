import type { Tensor } from '../../graph/tensor.ts';
import { addInto, addRows } from '../../kernels/kernels.ts';
import type { Engine, SessionSettings } from '../../runtime/engine.ts';
import { Executable, type HostTensor, splitSum } from '../../runtime/executable.ts';
import { gradientName } from '../graph.ts';
import type { GradientSink } from './block-gradients.ts';
import { backwardGraph, forwardGraph, type Piece } from './block-graph.ts';

/** A contribution to a gradient: rows to add at some indices, or a dense array. */
type Share =
  | { readonly ids: string; readonly rows: string; readonly width: number }
  | { readonly all: string };

/** The embedding as a stage: its gradients are rows that the host adds, one per token. */
export class EmbeddingStage {
  #backwardPass: Promise<Executable> | undefined;
  readonly #shares = new Map<string, Share[]>();
  readonly #outputs = new Map<string, Tensor>();

  readonly #engine: Engine;
  readonly #settings: SessionSettings | undefined;
  readonly #piece: Piece;
  readonly #values: ReadonlyMap<string, Float32Array>;
  readonly #forwardPass: Executable;

  private constructor(
    engine: Engine,
    settings: SessionSettings | undefined,
    piece: Piece,
    values: ReadonlyMap<string, Float32Array>,
    /** Paths of the trained weights. */
    readonly trained: readonly string[],
    forwardPass: Executable,
  ) {
    this.#engine = engine;
    this.#settings = settings;
    this.#piece = piece;
    this.#values = values;
    this.#forwardPass = forwardPass;
    const names = piece.parameters.filter(({ path }) => trained.includes(path)).map(({ name }) => name);
    const gradients = backwardGraph(piece, names, false);
    for (const { path, name } of piece.parameters) {
      const gradient = gradients.get(gradientName(name));
      if (gradient) this.#plan(path, gradient);
    }
  }

  static async create(
    engine: Engine,
    piece: Piece,
    values: ReadonlyMap<string, Float32Array>,
    trains: (path: string) => boolean,
    settings?: SessionSettings,
  ): Promise<EmbeddingStage> {
    const trained = piece.parameters.map(({ path }) => path).filter(trains);
    const forward = await Executable.compile(engine, forwardGraph(piece), settings);
    return new EmbeddingStage(engine, settings, piece, values, trained, forward);
  }

  async compile(): Promise<void> {
    if (this.trained.length > 0) await this.#backwardExecutable();
  }

  /** Writes the first layer's input, `[rows, width]`. */
  async forward(y: Float32Array, context: Readonly<Record<string, HostTensor>>): Promise<void> {
    await this.#forwardPass.run({ ...this.#feeds(), ...context }, { y });
  }

  async backward(
    dy: Float32Array,
    sink: GradientSink,
    context: Readonly<Record<string, HostTensor>>,
  ): Promise<void> {
    const pass = await this.#backwardExecutable();
    const feed = { data: dy, shape: this.#piece.y.shape as number[] };
    const results = await pass.run({ ...this.#feeds(), ...context, dy: feed });
    const open = sink.open(this.trained, 'add');
    for (const [path, gradient] of open.arrays) {
      for (const share of this.#shares.get(path)!) {
        if ('all' in share) {
          addInto(gradient, results[share.all]!.data as Float32Array);
        } else {
          const ids = results[share.ids]!.data as Int32Array;
          addRows(gradient, ids, results[share.rows]!.data as Float32Array, share.width);
        }
      }
    }
    await open.close();
  }

  async release(): Promise<void> {
    await this.#forwardPass.release();
    await (await this.#backwardPass)?.release();
  }

  #plan(path: string, gradient: Tensor): void {
    const { dense, sparse } = splitSum(gradient);
    const shares: Share[] = sparse.map(({ node, shape }, i) => {
      const share = { ids: `${path}#ids${i}`, rows: `${path}#rows${i}`, width: shape[1] as number };
      this.#outputs.set(share.ids, node.inputs[0]!);
      this.#outputs.set(share.rows, node.inputs[1]!);
      return share;
    });
    if (dense) {
      shares.push({ all: path });
      this.#outputs.set(path, dense);
    }
    this.#shares.set(path, shares);
  }

  #backwardExecutable(): Promise<Executable> {
    this.#backwardPass ??= Executable.compile(this.#engine, this.#outputs, this.#settings);
    return this.#backwardPass;
  }

  #feeds(): Record<string, HostTensor> {
    const { parameters } = this.#piece;
    return Object.fromEntries(
      parameters.map(({ name, path, shape }) => [name, { data: this.#values.get(path)!, shape }]),
    );
  }
}
