import type { CausalLM } from '../../families/family.ts';
import { differentiate } from '../../graph/differentiate.ts';
import { sizeOf } from '../../graph/dims.ts';
import { constant, input } from '../../graph/operators/index.ts';
import type { Tensor } from '../../graph/tensor.ts';
import type { Engine, SessionSettings } from '../../runtime/engine.ts';
import { Executable, type HostTensor } from '../../runtime/executable.ts';
import { gradientName, lossInputs } from '../graph.ts';
import type { Loss } from '../loss.ts';

/** The last stage: from the final activations to the loss and back. */
export interface HeadStage {
  /** Paths of the trained weights. */
  readonly trained: readonly string[];
  /** Whether {@link backward} overwrites the arrays of gradients or adds to them. */
  readonly gradients: 'write' | 'add';
  /** @returns Σ weight · loss over the rows. @param feeds from `lossFeeds`. */
  loss(hidden: Float32Array, feeds: Readonly<Record<string, HostTensor>>): Promise<number>;
  /**
   * Returns the loss; writes the gradient of the final activations to `dHidden` and those of the trained weights to
   * `gradients`, by path.
   */
  backward(
    hidden: Float32Array,
    feeds: Readonly<Record<string, HostTensor>>,
    dHidden: Float32Array,
    gradients: ReadonlyMap<string, Float32Array>,
  ): Promise<number>;
  compile(): Promise<void>;
  release(): Promise<void>;
}

export interface HeadParts {
  readonly engine: Engine;
  readonly settings: SessionSettings | undefined;
  readonly model: CausalLM;
  readonly values: ReadonlyMap<string, Float32Array>;
  readonly trains: (path: string) => boolean;
  readonly rows: number;
  readonly width: number;
}

export interface HeadGraph {
  /** Paths of the trained weights. */
  readonly trained: readonly string[];
  readonly loss: Tensor;
  /** By `dHidden`, the gradient of the final activations, and `gradientName`. */
  readonly gradients: ReadonlyMap<string, Tensor>;
}

/** A loss of the final activations (the input `hidden`, `[rows, width]`) and its gradients; weights are inputs by their paths. */
export function headGraph(
  { model, rows, width, trains }: Pick<HeadParts, 'model' | 'rows' | 'width' | 'trains'>,
  lossOf: Loss,
): HeadGraph {
  const hidden = input('hidden', 'float32', [rows, width]);
  const { loss } = lossOf(lossInputs(model, hidden, rows));
  const { weight, bias } = model.head;
  const parameters = [...(bias ? [bias] : []), weight].filter(({ path }) => trains(path));
  const trained = parameters.map(({ path }) => path);
  const sources = [hidden, ...parameters.map(({ tensor }) => tensor)];
  const names = ['dHidden', ...trained.map(gradientName)];
  const gradients = differentiate(loss, sources).map((gradient, i) => {
    const shape = sources[i]!.shape as number[];
    return gradient ?? constant(new Float32Array(sizeOf(shape)), shape);
  });
  return { trained, loss, gradients: new Map(names.map((name, i) => [name, gradients[i]!])) };
}

/** Any loss as one graph over the final activations. The loss decides how many rows' logits exist at the same time. */
export class GraphHead implements HeadStage {
  readonly trained: readonly string[];
  readonly gradients = 'write';
  readonly #graph: HeadGraph;
  #lossPass: Promise<Executable> | undefined;
  #gradientPass: Promise<Executable> | undefined;

  readonly #parts: HeadParts;

  constructor(parts: HeadParts, lossOf: Loss) {
    this.#parts = parts;
    this.#graph = headGraph(parts, lossOf);
    this.trained = this.#graph.trained;
  }

  async loss(hidden: Float32Array, feeds: Readonly<Record<string, HostTensor>>): Promise<number> {
    const { engine, settings } = this.#parts;
    this.#lossPass ??= Executable.compile(engine, new Map([['loss', this.#graph.loss]]), settings);
    return lossOf(await (await this.#lossPass).run(this.#feeds(hidden, feeds)));
  }

  async backward(
    hidden: Float32Array,
    feeds: Readonly<Record<string, HostTensor>>,
    dHidden: Float32Array,
    gradients: ReadonlyMap<string, Float32Array>,
  ): Promise<number> {
    const into: Record<string, Float32Array> = { dHidden };
    for (const path of this.trained) into[gradientName(path)] = gradients.get(path)!;
    return lossOf(await (await this.#gradients()).run(this.#feeds(hidden, feeds), into));
  }

  async compile(): Promise<void> {
    await this.#gradients();
  }

  async release(): Promise<void> {
    await (await this.#lossPass)?.release();
    await (await this.#gradientPass)?.release();
  }

  #gradients(): Promise<Executable> {
    const { engine, settings } = this.#parts;
    const outputs = new Map([['loss', this.#graph.loss], ...this.#graph.gradients]);
    this.#gradientPass ??= Executable.compile(engine, outputs, settings);
    return this.#gradientPass;
  }

  #feeds(data: Float32Array, feeds: Readonly<Record<string, HostTensor>>) {
    const { model, values, rows, width } = this.#parts;
    const all: Record<string, HostTensor> = { ...feeds, hidden: { data, shape: [rows, width] } };
    const { weight, bias } = model.head;
    for (const { path, shape } of bias ? [weight, bias] : [weight]) {
      all[path] = { data: values.get(path)!, shape };
    }
    return all;
  }
}

function lossOf(results: Readonly<Record<string, HostTensor>>): number {
  return (results.loss!.data as Float32Array)[0]!;
}
