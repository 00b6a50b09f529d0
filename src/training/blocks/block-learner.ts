import type { TrainingRows } from '../../batches.ts';
import { RopewalkError } from '../../errors.ts';
import type { CausalLM } from '../../families/family.ts';
import { dialectOf, type Engine, type SessionSettings } from '../../runtime/engine.ts';
import type { HostTensor } from '../../runtime/executable.ts';
import { HostMemory } from '../../runtime/host-memory.ts';
import { applyGradients } from '../apply-gradients.ts';
import { contextFeeds, countOf, lossFeeds } from '../feeds.ts';
import { notFinite } from '../finite.ts';
import type { SequenceShape } from '../graph.ts';
import type { Learner, StepResult, TrainedParameter, UpdateSettings } from '../learner.ts';
import { crossEntropy, type Loss } from '../loss.ts';
import { allocateTrainable } from '../optimizers/optimizer.ts';
import { EmbeddingStage } from './block-embedding.ts';
import { type GradientSink, KeptGradients } from './block-gradients.ts';
import { modelPieces } from './block-graph.ts';
import { GraphHead, type HeadParts, type HeadStage } from './block-head.ts';
import { ChunkedHead, KEPT_BYTES, vocabularyChunk, WholeHeadChunks } from './block-head-chunks.ts';
import { RowsHead, rowsAtATime } from './block-head-rows.ts';
import { Stage, StageKinds } from './block-stage.ts';
import { UpdatingGradients } from './block-updates.ts';

export interface BlockLearnerOptions {
  /** Default {@link crossEntropy}. */
  readonly loss?: Loss;
  /** Whether a parameter is trained, by its path; the others are frozen. Default all. */
  readonly trains?: (path: string) => boolean;
  readonly settings?: SessionSettings;
  readonly memory?: HostMemory;
  /**
   * Vocabulary entries whose logits exist at the same time, in the default loss: two passes over chunks of the vocabulary. Default:
   * as many as fit into 64 MiB where logits are kept or {@link headRows} cannot be used; if that is all of them, there is one pass.
   */
  readonly headChunk?: number;
  /** Rows whose logits exist at the same time, in the default loss over a large vocabulary. Default: `rowsAtATime`. */
  readonly headRows?: number;
  /**
   * `kept`: the gradients of all weights are kept until all are known, so they can be clipped by their global norm
   * and accumulated over micro-batches. `as you go`: a block is updated as soon as its gradient exists, and clipped
   * by its own norm; a step is one micro-batch.
   */
  readonly gradients: 'kept' | 'as you go';
  /**
   * `recomputed`: only each block's input is kept, and its forward pass is repeated. `kept`: everything that the
   * backward pass needs is kept, except what is cheaper to compute than to keep. Default `recomputed`.
   */
  readonly activations?: 'kept' | 'recomputed';
  /**
   * Whether gradients are added up over several ranks: as you go, those of a block are on their way while the next one
   * computes. Default false.
   */
  readonly overlaps?: boolean;
}

interface Stages {
  readonly embedding: EmbeddingStage;
  /** Layers and the final norm. */
  readonly blocks: readonly Stage[];
  readonly head: HeadStage;
  readonly kinds: StageKinds;
}

/** The feeds of the stages for one micro-batch. */
interface Feeds {
  readonly context: Readonly<Record<string, HostTensor>>;
  readonly loss: Readonly<Record<string, HostTensor>>;
}

/**
 * A model that is trained block by block: one compiled session per kind of block runs every layer in turn, with that
 * layer's weights, and then backward, where it recomputes the block. Only the blocks' inputs are kept (Chen et al.
 * 2016, arXiv:1604.06174). Losses and gradients are those of `WholeGraphLearner`; a step costs one more forward pass.
 */
export class BlockLearner implements Learner {
  readonly #weights: ReadonlyMap<string, Float32Array>;
  readonly #stages: Stages;
  readonly #activations: readonly Float32Array[];
  readonly #passed: readonly [Float32Array, Float32Array];
  readonly #sink: KeptGradients | UpdatingGradients;

  private constructor(
    readonly model: CausalLM,
    readonly shape: SequenceShape,
    readonly parameters: readonly TrainedParameter[],
    weights: ReadonlyMap<string, Float32Array>,
    stages: Stages,
    /** The input of each block and the output of the final norm: `[rows, width]` each, reused in every step. */
    activations: readonly Float32Array[],
    /** Gradients of activations, `[rows, width]`: the block's output gradient and its input gradient. */
    passed: readonly [Float32Array, Float32Array],
    sink: KeptGradients | UpdatingGradients,
  ) {
    this.#weights = weights;
    this.#stages = stages;
    this.#activations = activations;
    this.#passed = passed;
    this.#sink = sink;
  }

  /** @param shape number and length of the sequences in a micro-batch. */
  static async create(
    engine: Engine,
    model: CausalLM,
    shape: SequenceShape,
    options: BlockLearnerOptions,
  ): Promise<BlockLearner> {
    const { memory = new HostMemory(engine.kernelThreads), trains = () => true } = options;
    const overlaps = options.overlaps === true && options.gradients === 'as you go';
    const settings = { ...(overlaps && { inBackground: true }), ...options.settings };
    const pieces = modelPieces(model, shape);
    const all = [...model.parameters()].map(([name, { shape, size }]) => ({ name, shape, size }));
    const trained = all.filter(({ name }) => trains(name));
    const kept = options.gradients === 'kept' ? allocateTrainable(memory, trained) : undefined;
    const parameters = kept ?? allocateValues(memory, trained);
    const own = new Map(parameters.map(({ name, value }) => [name, value]));
    const values = new Map(all.map(({ name, size }) => [name, own.get(name) ?? memory.allocFloat32(size)]));

    const [first, ...rest] = pieces as [(typeof pieces)[number], ...typeof pieces];
    const embedding = await EmbeddingStage.create(engine, first, values, trains, settings);
    const kinds = new StageKinds(engine, settings);
    let active = embedding.trained.length > 0;
    const blocks = rest.map((piece) => {
      const stage = new Stage(kinds.kindOf(piece), piece, values, trains, active);
      active = stage.isActive;
      return stage;
    });
    const [rows, width] = first.y.shape as [number, number];
    const parts = { engine, settings, model, values, trains, rows, width };
    const keepsIn = options.activations === 'kept' ? memory : undefined;
    const head = headStage(parts, options, keepsIn);
    for (const stage of [embedding, ...blocks, head]) await stage.compile(keepsIn);

    const array = () => memory.allocFloat32(rows * width);
    const activations = Array.from({ length: blocks.length + 1 }, array);
    const paths = [embedding.trained, ...blocks.map((block) => block.trained.map(({ path }) => path))];
    const sink = kept
      ? new KeptGradients(kept)
      : new UpdatingGradients(memory, parameters, [...paths, head.trained], overlaps);
    const stages = { embedding, blocks, head, kinds };
    return new BlockLearner(model, shape, parameters, values, stages, activations, [array(), array()], sink);
  }

  /** The number of different graphs among the layers and the final norm. */
  get kinds(): number {
    return this.#stages.kinds.count;
  }

  values(): Map<string, Float32Array> {
    return new Map(this.#weights);
  }

  async fill(write: (values: Map<string, Float32Array>) => void | Promise<void>): Promise<void> {
    await write(this.values());
  }

  /**
   * The gradients of the mean loss over the counted tokens of all micro-batches, as `WholeGraphLearner` computes
   * them.
   *
   * @param tokens counted tokens of the step, if other ranks have a share of it.
   * @returns the mean loss in nats, or this share of it, the number of tokens it is over, and the gradients, valid until the next call.
   * @throws RopewalkError when gradients are not kept.
   */
  async computeGradients(
    batches: readonly TrainingRows[],
    tokens: number = batches.reduce((sum, batch) => sum + countOf(batch), 0),
  ) {
    if (!(this.#sink instanceof KeptGradients)) {
      throw new RopewalkError(
        "gradients are used as soon as they exist; create the learner with gradients: 'kept'.",
      );
    }
    let loss = 0;
    this.#sink.begin();
    for (const batch of batches) {
      const feeds = this.#feeds(batch, 1 / Math.max(1, tokens));
      await this.#forward(feeds, true);
      const head = await this.#headBackward(feeds, this.#sink);
      loss += head.loss;
      await head.close();
      await this.#backward(feeds, this.#sink);
    }
    return { loss, tokens, trainables: this.#sink.trainables };
  }

  /**
   * One optimizer step. If gradients are kept, they are clipped by their global norm. As you go, each block is
   * clipped by its own norm, `accept` gets only the loss, and if a gradient is not finite, later blocks have already
   * been updated: resume from a checkpoint.
   *
   * @throws RopewalkError when values are not finite; as you go, when there are several micro-batches.
   */
  async step(batches: readonly TrainingRows[], settings: UpdateSettings): Promise<StepResult> {
    if (this.#sink instanceof UpdatingGradients) return this.#updateAsYouGo(batches, settings, this.#sink);
    const measured = await this.computeGradients(batches, settings.together?.tokens);
    return applyGradients(measured.trainables, measured, settings);
  }

  async evaluate(batches: Iterable<TrainingRows> | AsyncIterable<TrainingRows>) {
    let sum = 0;
    let tokens = 0;
    for await (const batch of batches) {
      const feeds = this.#feeds(batch, 1);
      await this.#forward(feeds, false);
      sum += await this.#stages.head.loss(this.#activations.at(-1)!, feeds.loss);
      tokens += countOf(batch);
    }
    return { loss: sum / tokens, tokens };
  }

  async release(): Promise<void> {
    const { embedding, head, kinds } = this.#stages;
    await embedding.release();
    await kinds.release();
    await head.release();
  }

  async #updateAsYouGo(
    batches: readonly TrainingRows[],
    settings: UpdateSettings,
    sink: UpdatingGradients,
  ): Promise<StepResult> {
    const [batch, ...others] = batches;
    if (!batch || others.length > 0) {
      throw new RopewalkError(
        `a step has ${batches.length} micro-batches, but weights are updated as soon as their gradients exist, which allows ` +
          "one; keep gradients (gradients: 'kept') to accumulate several.",
      );
    }
    const { together } = settings;
    const tokens = together?.tokens ?? countOf(batch);
    const feeds = this.#feeds(batch, 1 / Math.max(1, tokens));
    sink.begin();
    await this.#forward(feeds, true);
    const head = await this.#headBackward(feeds, sink);
    const loss = together ? await together.sumLoss(head.loss) : head.loss;
    if (!(settings.accept?.({ loss }) ?? true)) {
      return { loss, tokens, gradientNorm: Number.NaN, updated: false };
    }
    if (!Number.isFinite(loss))
      throw notFinite(
        loss,
        [...this.#weights].map(([name, value]) => ({ name, value })),
      );
    sink.accept(settings, loss);
    await head.close();
    await this.#backward(feeds, sink);
    await sink.settle();
    return { loss, tokens, gradientNorm: sink.gradientNorm, updated: true };
  }

  #feeds(batch: TrainingRows, factor: number): Feeds {
    return { context: contextFeeds(batch, this.shape), loss: lossFeeds(batch, factor) };
  }

  async #forward({ context }: Feeds, keep: boolean): Promise<void> {
    const activations = this.#activations;
    await this.#stages.embedding.forward(activations[0]!, context);
    for (const [i, block] of this.#stages.blocks.entries()) {
      await block.forward(activations[i]!, activations[i + 1]!, context, keep);
    }
  }

  async #headBackward({ loss: feeds }: Feeds, sink: GradientSink) {
    const { head } = this.#stages;
    const { arrays, close } = sink.open(head.trained, head.gradients);
    const loss = await head.backward(this.#activations.at(-1)!, feeds, this.#passed[0], arrays);
    return { loss, close };
  }

  /** From the gradient of the final activations back to the first trained stage. */
  async #backward({ context }: Feeds, sink: GradientSink): Promise<void> {
    let [dy, dx] = this.#passed;
    const { blocks, embedding } = this.#stages;
    for (let i = blocks.length - 1; i >= 0 && blocks[i]!.isActive; i--) {
      const block = blocks[i]!;
      const open = sink.open(
        block.trained.map(({ path }) => path),
        'write',
      );
      await block.backward({ x: this.#activations[i]!, dy, dx }, open.arrays, context);
      await open.close();
      [dy, dx] = [dx, dy];
    }
    if (embedding.trained.length > 0) await embedding.backward(dy, sink, context);
  }
}

function headStage(
  parts: HeadParts,
  { loss = crossEntropy, headChunk, headRows }: BlockLearnerOptions,
  memory: HostMemory | undefined,
): HeadStage {
  const vocabSize = parts.model.head.weight.shape[0]!;
  // Logits that fit are kept: as fast, and nothing is added up in memory.
  const kept = memory !== undefined && 4 * parts.rows * vocabSize <= KEPT_BYTES;
  const inRows = headChunk === undefined && !kept && runsInRows(parts);
  if (loss === crossEntropy && (headRows !== undefined || inRows)) {
    return new RowsHead(parts, headRows ?? rowsAtATime(parts.rows, vocabSize));
  }
  const chunk = headChunk ?? vocabularyChunk(parts.rows, vocabSize);
  return loss === crossEntropy && chunk < vocabSize
    ? new ChunkedHead(parts, new WholeHeadChunks(parts, chunk), memory)
    : new GraphHead(parts, loss);
}

/** Whether there are too many logits for one graph, and a sum may be written over one of its terms: not with provider libraries. */
function runsInRows({ engine, rows, model }: HeadParts): boolean {
  const vocabSize = model.head.weight.shape[0]!;
  return dialectOf(engine) === 'onnxruntime' && vocabularyChunk(rows, vocabSize) < vocabSize;
}

function allocateValues(
  memory: HostMemory,
  parameters: readonly { readonly name: string; readonly shape: readonly number[]; readonly size: number }[],
): TrainedParameter[] {
  // With room for an optimizer's state, as in allocateTrainable.
  const groups = memory.allocGroups(
    parameters.map(({ size }) => [size]),
    parameters.map(({ size }) => 8 * size + 256),
  );
  return parameters.map(({ name, shape }, i) => ({ name, shape, value: groups[i]![0]! }));
}
