import type { TrainingRows } from '../../batches.ts';
import { RopewalkError } from '../../errors.ts';
import type { CausalLM } from '../../families/family.ts';
import type { Engine, SessionSettings } from '../../runtime/engine.ts';
import { HostMemory } from '../../runtime/host-memory.ts';
import { EmbeddingStage } from '../blocks/block-embedding.ts';
import { modelPieces, type Piece } from '../blocks/block-graph.ts';
import { ChunkedHead } from '../blocks/block-head-chunks.ts';
import { Stage, StageKinds } from '../blocks/block-stage.ts';
import { contextFeeds, countOf, lossFeeds } from '../feeds.ts';
import { notFinite } from '../finite.ts';
import type { SequenceShape } from '../graph.ts';
import type { Learner, StepResult, TrainedParameter, UpdateSettings } from '../learner.ts';
import type { OptimizedParameter } from '../optimizers/optimizer.ts';
import type { Parallel } from '../parallel/parallel.ts';
import { Slices } from '../parallel/slices.ts';
import { codecOf } from '../parallel/wire.ts';
import { GatheredWeights, type StageWeight } from './gathered-weights.ts';
import { ScatteredGradients } from './scattered-gradients.ts';
import { compactEmbedding, ShardedTable } from './sharded-embedding.ts';
import { ShardedHeadChunks } from './sharded-head.ts';
import { shardedChunk, stageWeights, tablesOf } from './stages.ts';

export interface ShardedLearnerOptions {
  readonly trains?: (path: string) => boolean;
  readonly settings?: SessionSettings;
  readonly memory?: HostMemory;
  /** Vocabulary entries whose logits exist at the same time. */
  readonly headChunk?: number;
}

interface Parts {
  readonly embedding: EmbeddingStage;
  /** The rows that a step's tokens read. */
  readonly rows: Float32Array;
  readonly table: ShardedTable;
  readonly tablePath: string;
  /** Layers and the final norm. */
  readonly blocks: readonly Stage[];
  readonly kinds: StageKinds;
  readonly head: ChunkedHead;
  readonly chunks: ShardedHeadChunks;
  readonly weights: GatheredWeights;
  readonly gradients: ScatteredGradients;
  /** Trained weights of the embedding without its table, and of each block. */
  readonly trained: readonly (readonly StageWeight[])[];
  /** Gradients of this rank's slices of the weights with a row per token, by path. */
  readonly tableGradients: ReadonlyMap<string, Float32Array>;
  /** The input of each block and the output of the final norm. */
  readonly activations: readonly Float32Array[];
  readonly passed: readonly [Float32Array, Float32Array];
}

/**
 * A model of which every rank has slices: of the weights, the gradients and the optimizer's states (Rajbhandari et al. 2019,
 * arXiv:1910.02054, stage 3). It is trained block by block, with updates during the backward pass, like `BlockLearner` with
 * gradients as you go: losses and updates are the same. A rank has one block at a time in memory, and the next one on its
 * way.
 */
export class ShardedLearner implements Learner {
  readonly #own: ReadonlyMap<string, Float32Array>;
  readonly #parts: Parts;
  readonly #parallel: Parallel;

  private constructor(
    readonly model: CausalLM,
    readonly shape: SequenceShape,
    readonly parameters: readonly TrainedParameter[],
    readonly slices: Slices,
    own: ReadonlyMap<string, Float32Array>,
    parts: Parts,
    parallel: Parallel,
  ) {
    this.#own = own;
    this.#parts = parts;
    this.#parallel = parallel;
  }

  /** @param shape of this rank's micro-batches. */
  static async create(
    engine: Engine,
    model: CausalLM,
    shape: SequenceShape,
    parallel: Parallel,
    {
      trains = () => true,
      settings: given,
      memory = new HostMemory(engine.kernelThreads),
      headChunk,
    }: ShardedLearnerOptions,
  ): Promise<ShardedLearner> {
    const settings = { inBackground: true, ...given };
    const { communicator } = parallel.ranks;
    const codec = codecOf(parallel.wire);
    const tokens = shape.batch * shape.seq;
    const [first, ...rest] = modelPieces(model, shape) as [Piece, ...Piece[]];
    const compact = compactEmbedding(first, tokens);
    if (!compact)
      throw new RopewalkError('the model has no table of tokens, so its weights cannot be sharded.');
    const { table } = compact;

    const all = [...model.parameters()].map(([name, { shape: dims }]) => ({ name, shape: dims }));
    const slices = new Slices(all, communicator.rank, communicator.size, false, tablesOf(model, table.path));
    const { own, parameters } = allocateSlices(memory, all, slices, trains);
    const tableGradients = new Map(
      [...tablesOf(model, table.path)]
        .filter(trains)
        .map((path) => [path, memory.allocFloat32(own.get(path)!.length)]),
    );

    const pieces = [compact.piece, ...rest];
    const stages = stageWeights(pieces, table.path);
    const trained = stages.map((stage) => stage.filter(({ path }) => trains(path)));
    checkApart([...stages.flat(), ...[...tablesOf(model, table.path)].map((path) => ({ path }))]);
    const weights = new GatheredWeights(communicator, slices, own, stages, memory);
    const gradients = new ScatteredGradients(communicator, slices, codec, parameters, trained, memory);

    const rows = memory.allocFloat32(tokens * table.shape[1]!);
    weights.values.set(table.path, rows);
    const embedding = await EmbeddingStage.create(engine, compact.piece, weights.values, trains, settings);
    const kinds = new StageKinds(engine, settings);
    let active = embedding.trained.length > 0;
    const blocks = rest.map((piece) => {
      const stage = new Stage(kinds.kindOf(piece), piece, weights.values, trains, active);
      active = stage.isActive;
      return stage;
    });

    const [length, width] = first.y.shape as [number, number];
    const { weight, bias } = model.head;
    const headWeight = (path: string, numbers: number) => ({
      ...{ own: own.get(path)!, gradient: tableGradients.get(path), width: numbers },
    });
    const chunks = new ShardedHeadChunks(
      communicator,
      headWeight(weight.path, width),
      bias && headWeight(bias.path, 1),
      slices.boundsOf(weight.path).map((bound) => bound / width),
      headChunk ?? shardedChunk(length, width, weight.shape[0]!),
      codec,
      memory,
    );
    const headParts = { engine, settings, model, values: weights.values, trains, rows: length, width };
    const head = new ChunkedHead(headParts, chunks);
    await embedding.compile();
    for (const block of blocks) await block.compile(undefined);
    await head.compile();

    const array = () => memory.allocFloat32(length * width);
    return new ShardedLearner(
      model,
      shape,
      parameters,
      slices,
      own,
      {
        ...{ embedding, rows, tablePath: table.path, blocks, kinds, head, chunks, weights, gradients },
        table: new ShardedTable(communicator, own.get(table.path)!, width, slices.boundsOf(table.path)),
        ...{ trained, tableGradients, passed: [array(), array()] },
        activations: Array.from({ length: blocks.length + 1 }, array),
      },
      parallel,
    );
  }

  /** This rank's slices of all weights. */
  values(): Map<string, Float32Array> {
    return new Map(this.#own);
  }

  async fill(write: (values: Map<string, Float32Array>) => void | Promise<void>): Promise<void> {
    await write(this.values());
  }

  async step(batches: readonly TrainingRows[], settings: UpdateSettings): Promise<StepResult> {
    const [batch, ...others] = batches;
    const { together } = settings;
    if (!batch || others.length > 0 || !together) {
      throw new RopewalkError(
        `a step of sharded weights is one micro-batch of every rank, but there are ${batches.length}; accumulate none.`,
      );
    }
    const { head, chunks, weights, gradients, activations, passed } = this.#parts;
    const { tokens } = together;
    gradients.begin();
    await this.#forward(batch);
    const feeds = lossFeeds(batch, 1 / Math.max(1, tokens));
    const loss = await together.sumLoss(
      await head.backward(activations.at(-1)!, feeds, passed[0], new Map()),
    );
    await chunks.settle();
    if (!(settings.accept?.({ loss }) ?? true)) {
      return { loss, tokens, gradientNorm: Number.NaN, updated: false };
    }
    if (!Number.isFinite(loss))
      throw notFinite(
        loss,
        [...this.#own].map(([name, value]) => ({ name, value })),
      );
    gradients.accept(settings, loss);
    await this.#headUpdate();
    await this.#backward(batch);
    await weights.forget();
    chunks.forget();
    return { loss, tokens, gradientNorm: gradients.gradientNorm, updated: true };
  }

  async evaluate(batches: Iterable<TrainingRows> | AsyncIterable<TrainingRows>) {
    const { head, activations } = this.#parts;
    let sum = 0;
    let tokens = 0;
    for await (const batch of batches) {
      await this.#forward(batch);
      sum += await head.loss(activations.at(-1)!, lossFeeds(batch, 1));
      tokens += countOf(batch);
    }
    return { loss: sum / tokens, tokens };
  }

  async release(): Promise<void> {
    const { embedding, kinds, head } = this.#parts;
    await embedding.release();
    await kinds.release();
    await head.release();
  }

  /** The feeds of the stages: the table's rows are in the order of the tokens. */
  #context(batch: TrainingRows) {
    const context = contextFeeds(batch, this.shape);
    const places = { data: Int32Array.from(batch.inputs, (_, i) => i), shape: [batch.inputs.length] };
    return { context, embedding: { ...context, input_ids: places } };
  }

  async #forward(batch: TrainingRows): Promise<void> {
    const { embedding, table, rows, blocks, weights, activations } = this.#parts;
    const feeds = this.#context(batch);
    weights.prefetch(0);
    await table.read(batch.inputs, rows);
    await weights.use(0);
    weights.prefetch(1);
    await embedding.forward(activations[0]!, feeds.embedding);
    for (const [i, block] of blocks.entries()) {
      await weights.use(i + 1);
      weights.prefetch(i + 2);
      await block.forward(activations[i]!, activations[i + 1]!, feeds.context, false);
    }
  }

  /** Updates the head, unless its weight is also the embedding's, which has further gradients. */
  async #headUpdate(): Promise<void> {
    const { head, gradients, tableGradients, tablePath } = this.#parts;
    const own = head.trained
      .filter((path) => path !== tablePath)
      .flatMap((path) => gradients.withGradient(path, tableGradients.get(path)!));
    if (head.trained.some((path) => path !== tablePath)) await gradients.update(own);
  }

  async #backward(batch: TrainingRows): Promise<void> {
    const { blocks, weights, gradients, trained, activations, passed } = this.#parts;
    const feeds = this.#context(batch);
    let [dy, dx] = passed;
    for (let i = blocks.length - 1; i >= 0 && blocks[i]!.isActive; i--) {
      await weights.use(i + 1);
      if (i > 0 && blocks[i - 1]!.isActive) weights.prefetch(i);
      const arrays = gradients.open(trained[i + 1]!, 'write');
      await blocks[i]!.backward({ x: activations[i]!, dy, dx }, arrays, feeds.context);
      await gradients.close(arrays);
      [dy, dx] = [dx, dy];
    }
    await this.#embeddingBackward(dy, feeds.embedding);
    await gradients.settle();
  }

  /** With the gradients of a table that is also the head, which are complete only now. */
  async #embeddingBackward(dy: Float32Array, context: ReturnType<typeof contextFeeds>): Promise<void> {
    const { embedding, gradients, trained, head, table, tablePath, tableGradients, rows } = this.#parts;
    if (embedding.trained.length === 0) return;
    const dense = gradients.open(trained[0]!, 'add');
    const dRows = new Float32Array(rows.length);
    const arrays = new Map([...dense, [tablePath, dRows] as const]);
    const sink = {
      open: (paths: readonly string[]) => ({
        arrays: new Map(paths.map((path) => [path, arrays.get(path)!])),
        close: async () => {},
      }),
    };
    await embedding.backward(dy, sink, context);
    const gradient = tableGradients.get(tablePath);
    const also: OptimizedParameter[] = [];
    if (gradient) {
      if (!head.trained.includes(tablePath)) gradient.fill(0);
      await table.addGradients(dRows, gradient, codecOf(this.#parallel.wire));
      also.push(...gradients.withGradient(tablePath, gradient));
    }
    await gradients.close(dense, also);
  }
}

/** This rank's slices of all weights, those that are trained with room for states beside them. */
function allocateSlices(
  memory: HostMemory,
  all: readonly { readonly name: string; readonly shape: readonly number[] }[],
  slices: Slices,
  trains: (path: string) => boolean,
): { own: Map<string, Float32Array>; parameters: TrainedParameter[] } {
  const own = new Map<string, Float32Array>();
  const lengthOf = (name: string) => {
    const { start, end } = slices.rangeOf(name);
    return end - start;
  };
  const trained = all.filter(({ name }) => trains(name));
  const groups = memory.allocGroups(
    trained.map(({ name }) => [lengthOf(name)]),
    trained.map(({ name }) => 8 * lengthOf(name) + 256),
  );
  for (const [i, { name }] of trained.entries()) own.set(name, groups[i]![0]!);
  for (const { name } of all) if (!trains(name)) own.set(name, memory.allocFloat32(lengthOf(name)));
  const parameters = trained
    .map(({ name, shape }) => ({ name, shape, value: own.get(name)!, range: slices.rangeOf(name) }))
    .filter(({ value }) => value.length > 0);
  return { own: new Map(all.map(({ name }) => [name, own.get(name)!])), parameters };
}

/** @throws RopewalkError if stages share a weight, apart from a head that is the embedding. */
function checkApart(weights: readonly { readonly path: string }[]): void {
  const seen = new Set<string>();
  for (const { path } of weights) {
    if (seen.has(path))
      throw new RopewalkError(`several stages of the model share ${path}, so its weights cannot be sharded.`);
    seen.add(path);
  }
}
