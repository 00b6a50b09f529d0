import type { TrainingRows } from '../../batches.ts';
import { RopewalkError } from '../../errors.ts';
import type { CausalLM } from '../../families/family.ts';
import type { DeviceMemory, DeviceTensor } from '../../runtime/device.ts';
import type { Precision } from '../../runtime/devices.ts';
import type { Engine, SessionSettings } from '../../runtime/engine.ts';
import { needHalf } from '../../runtime/half.ts';
import { modelPieces, type Piece } from '../blocks/block-graph.ts';
import type { HeadGraph } from '../blocks/block-head.ts';
import { StageKinds } from '../blocks/block-stage.ts';
import { contextFeeds, countOf, lossFeeds } from '../feeds.ts';
import { notFinite } from '../finite.ts';
import type { SequenceShape } from '../graph.ts';
import type { Learner, OnDevice, StepResult, UpdateSettings } from '../learner.ts';
import { crossEntropy, type Loss } from '../loss.ts';
import { LossScale } from '../loss-scale.ts';
import { DeviceEmbedding, DeviceHead, LOSS } from './device-ends.ts';
import { DeviceGradients, type GradientTargets } from './device-gradients.ts';
import { type DeviceOptimizer, isOnDevice } from './device-optimizer.ts';
import { DeviceStage } from './device-stage.ts';
import { Feeds } from './device-values.ts';
import { DeviceWeights, downloadParts, readParts, tableBytes, weightParts } from './device-weights.ts';
import { deviceHeadGraph, partedEmbedding, tablesOf } from './parted-tables.ts';
import { NormSum, Report } from './report.ts';

export interface DeviceLearnerOptions {
  /** Default {@link crossEntropy}. */
  readonly loss?: Loss;
  /** What `evaluate` measures. Default {@link loss}. */
  readonly evaluationLoss?: Loss;
  /** Whether a parameter is trained, by its path; the others are frozen. Default all. */
  readonly trains?: (path: string) => boolean;
  readonly settings?: SessionSettings;
  /** As in `BlockLearnerOptions`. */
  readonly gradients: 'kept' | 'as you go';
  /** Of the products. In float16 the loss is scaled, and what else is computed, kept and updated is float32. Default float32. */
  readonly precision?: Precision | undefined;
  readonly activations?: 'kept' | 'recomputed';
  /** The most bytes of a part of the embedding or the head. By default what the device allows: see `tableBytes`. */
  readonly tableBytes?: number;
  /** As in `LearnerOptions`. */
  readonly wholeTables?: boolean | undefined;
  /** Called when the runs of a phase of a step are started: forward, head, backward, update. */
  readonly onPhase?: (phase: string) => void;
}

interface Stages {
  readonly embedding: DeviceEmbedding;
  /** Layers and the final norm. */
  readonly blocks: readonly DeviceStage[];
  readonly head: DeviceHead;
  readonly evaluationHead: DeviceHead;
  readonly kinds: StageKinds;
}

/** The targets of all stages for a micro-batch. */
interface Targets {
  readonly head: GradientTargets;
  readonly blocks: readonly GradientTargets[];
  readonly embedding: GradientTargets;
}

/**
 * A model that is trained on a device, block by block as `BlockLearner` does. Weights, gradients, activations and the optimizer's
 * states are in the device's memory. Every pass is bound once to the tensors that it reads and writes; a step writes ids, targets
 * and their weights, runs the passes, and reads the loss and the gradient norm.
 */
export class DeviceLearner implements Learner {
  readonly parameters = [];
  readonly onDevice: OnDevice;
  readonly lossScale: LossScale | undefined;
  readonly #others: { release(): Promise<void> }[] = [];
  #first: Promise<Targets> | undefined;
  #further: Promise<Targets> | undefined;

  readonly #weights: DeviceWeights;
  readonly #stages: Stages;
  readonly #gradients: DeviceGradients;
  readonly #feeds: Feeds;
  readonly #report: Report;
  readonly #norms: NormSum;
  readonly #keeps: boolean;
  readonly #asYouGo: boolean;
  readonly #onPhase: (phase: string) => void;
  readonly #groups: readonly (readonly string[])[];

  private constructor(
    readonly model: CausalLM,
    readonly shape: SequenceShape,
    memory: DeviceMemory,
    parts: {
      readonly weights: DeviceWeights;
      readonly stages: Stages;
      readonly gradients: DeviceGradients;
      readonly feeds: Feeds;
      readonly report: Report;
      readonly norms: NormSum;
      readonly trained: readonly string[];
      readonly groups: readonly (readonly string[])[];
    },
    options: DeviceLearnerOptions,
  ) {
    this.#weights = parts.weights;
    this.#stages = parts.stages;
    this.#gradients = parts.gradients;
    this.#feeds = parts.feeds;
    this.#report = parts.report;
    this.#norms = parts.norms;
    this.#keeps = options.activations === 'kept';
    this.#asYouGo = options.gradients === 'as you go';
    this.#onPhase = options.onPhase ?? (() => {});
    this.#groups = parts.groups;
    this.lossScale = options.precision === 'float16' ? new LossScale() : undefined;
    const parameters = parts.trained.map((name) => {
      const { shape: dims } = model.parameters().get(name)!;
      const gradient = parts.weights.parts.get(name)!.map((part) => parts.gradients.of(part.name));
      return { name, shape: dims, value: parts.weights.tensorsOf(name), gradient };
    });
    const updates = this.#asYouGo ? parts.groups.filter((names) => names.length > 0) : [parts.trained];
    const releaseToo = (other: { release(): Promise<void> }) => void this.#others.push(other);
    this.onDevice = { memory, parameters, updates, releaseToo };
  }

  /** @param shape number and length of the sequences in a micro-batch. */
  static async create(
    engine: Engine,
    model: CausalLM,
    shape: SequenceShape,
    options: DeviceLearnerOptions,
  ): Promise<DeviceLearner> {
    if (!engine.openMemory) throw new RopewalkError('this engine keeps no values on a device.');
    const { trains: wanted = () => true, loss = crossEntropy, precision = 'float32' } = options;
    if (precision === 'float16') await needHalf(engine);
    const needsWhole = options.wholeTables || loss !== crossEntropy;
    const most = options.tableBytes ?? tableBytes(await engine.limits?.(), needsWhole);
    const memory = await engine.openMemory();
    if (precision === 'float16' && options.gradients === 'as you go' && !memory.canWait)
      throw new RopewalkError('a browser has no float16 for weights that are updated block by block.');
    const settings = { ...options.settings, onDeviceOnly: true };
    const keeps = options.activations === 'kept';
    const feeds = new Feeds(memory);
    const [whole, ...rest] = modelPieces(model, shape) as [Piece, ...Piece[]];
    const parts = weightParts(model, tablesOf(model, whole), most);
    const weights = new DeviceWeights(memory, parts);
    const wholeOf = new Map([...parts.values()].flat().map(({ name, path }) => [name, path]));
    const trains = (name: string) => wanted(wholeOf.get(name)!);
    const first = partedEmbedding(whole, parts);
    const [rows, width] = first.y.shape as [number, number];
    const activation = () => memory.allocate('float32', [rows, width]);
    const activations = Array.from({ length: rest.length + 1 }, activation);
    const passed = [activation(), activation()] as const;
    /** The gradient of a stage's output; the next one is that of its input. */
    const gradientAt = (stage: number): DeviceTensor => passed[(rest.length - 1 - stage) & 1]!;

    const ends = { y: activations[0]!, dy: gradientAt(-1) };
    const embedding = new DeviceEmbedding(engine, settings, first, ends, weights.tensors, trains, feeds);
    await embedding.prepare();
    const kinds = new StageKinds(engine, settings, precision);
    let active = embedding.trained.length > 0;
    const blocks: DeviceStage[] = [];
    for (const [i, piece] of rest.entries()) {
      const around = {
        ...{ x: activations[i]!, y: activations[i + 1]! },
        ...{ dy: gradientAt(i), dx: gradientAt(i - 1) },
      };
      const stage = new DeviceStage(
        kinds.kindOf(piece),
        piece,
        around,
        weights.tensors,
        trains,
        active,
        feeds,
      );
      await stage.prepare(memory, keeps);
      active = stage.isActive;
      blocks.push(stage);
    }
    const around = { hidden: activations.at(-1)!, dHidden: passed[0] };
    const headParts = { model, rows, width, trains: wanted, precision, most };
    const graphOf = (of: Loss) => deviceHeadGraph(headParts, parts, of);
    const headOf = (of: HeadGraph) =>
      new DeviceHead(engine, settings, of, around, weights.tensors, feeds, precision);
    const head = headOf(graphOf(loss));
    const { evaluationLoss = loss } = options;
    const evaluationHead = evaluationLoss === loss ? head : headOf(graphOf(evaluationLoss));

    const trained = [...weights.tensors.keys()].filter(trains);
    const shapes = new Map<string, readonly number[]>([[LOSS, []]]);
    for (const path of trained) shapes.set(path, weights.tensors.get(path)!.shape);
    const stagesOf = [embedding.trained, ...blocks.map((block) => block.trained), head.trained];
    const gradients = new DeviceGradients(
      ...([engine, settings, memory, shapes] as const),
      options.gradients === 'as you go' ? stagesOf : [],
    );
    // A weight of several stages is complete at the first of them, which backpropagation reaches last.
    const groups = stagesOf.map((names, i) =>
      names.filter((name) => stagesOf.findIndex((each) => each.includes(name)) === i),
    );
    const norms = await NormSum.create(engine, settings, memory);
    const report = await Report.create(engine, settings, memory, gradients.of(LOSS));
    const stages = { embedding, blocks, head, evaluationHead, kinds };
    const made = {
      ...{ weights, stages, gradients, feeds, report, norms },
      trained: [...parts.keys()].filter(wanted),
      groups: groups.map((names) => [...new Set(names.map((name) => wholeOf.get(name)!))]),
    };
    const learner = new DeviceLearner(model, shape, memory, made, options);
    await learner.#targets(false);
    return learner;
  }

  /** Waits for everything that was started. */
  async wait(): Promise<void> {
    await this.#report.readLoss();
  }

  /** A weight is read from the device when it is used; all of them at once where the host cannot wait for it. */
  values(): ReadonlyMap<string, Float32Array> | Promise<ReadonlyMap<string, Float32Array>> {
    return this.onDevice.memory.canWait ? this.#weights : this.#weights.download();
  }

  fill(write: (values: Map<string, Float32Array>) => void | Promise<void>): Promise<void> {
    return this.#weights.write(write);
  }

  async step(batches: readonly TrainingRows[], settings: UpdateSettings): Promise<StepResult> {
    const { optimizer, together, select } = settings;
    if (!isOnDevice(optimizer)) throw new Error('the optimizer is not on the device');
    if (together) throw new Error('a learner on a device has no other ranks');
    if (select) throw new Error('all trained weights are updated on a device');
    if (this.#asYouGo) return this.#updateAsYouGo(batches, settings, optimizer);
    const factor = this.lossScale?.factor ?? 1;
    const tokens = await this.computeGradients(batches, factor);
    const [names] = this.onDevice.updates as [readonly string[]];
    const { norm, scale } = optimizer.measure(names, settings.clip, factor);
    const read = await this.#report.read(norm);
    const { gradientNorm } = read;
    const loss = read.loss / factor;
    if (this.lossScale && !(Number.isFinite(loss) && Number.isFinite(gradientNorm))) {
      this.lossScale.update(false);
      return { loss, tokens, gradientNorm: Number.NaN, updated: false, overflowed: factor };
    }
    const updated = settings.accept?.({ loss, gradientNorm }) ?? true;
    if (updated) {
      if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) throw await this.#notFinite(loss);
      optimizer.update(names, { learningRate: settings.learningRate, scale });
      this.lossScale?.update(true);
      this.#onPhase('update');
    }
    return { loss, tokens, gradientNorm, updated };
  }

  async evaluate(batches: Iterable<TrainingRows> | AsyncIterable<TrainingRows>) {
    let sum = 0;
    let tokens = 0;
    for await (const batch of batches) {
      // Rows that are only evaluated need not have what the training loss takes.
      await this.#forward(batch, 1, this.#stages.evaluationHead !== this.#stages.head);
      await this.#stages.evaluationHead.loss(this.#gradients.of(LOSS));
      sum += await this.#report.readLoss();
      tokens += countOf(batch);
    }
    return { loss: sum / tokens, tokens };
  }

  async release(): Promise<void> {
    // The last update may still run: a process that ends then can crash in its driver. A lost device has nothing to wait for.
    await this.#report.readLoss().catch(() => {});
    for (const other of this.#others.splice(0)) await other.release();
    const { embedding, blocks, head, evaluationHead, kinds } = this.#stages;
    for (const block of blocks) block.release();
    await embedding.release();
    await head.release();
    if (evaluationHead !== head) await evaluationHead.release();
    await kinds.release();
    await this.#gradients.release();
    await this.#report.release();
    await this.#norms.release();
    await this.onDevice.memory.release();
  }

  /**
   * Starts computing the gradients of the mean loss over the counted tokens of all micro-batches.
   *
   * @param factor what they are multiplied by.
   * @returns the number of those tokens.
   */
  async computeGradients(batches: readonly TrainingRows[], factor = 1): Promise<number> {
    const tokens = batches.reduce((sum, batch) => sum + countOf(batch), 0);
    for (const [i, batch] of batches.entries()) {
      const targets = await this.#targets(i > 0);
      await this.#forward(batch, factor / Math.max(1, tokens));
      this.#stages.head.backward(targets.head);
      targets.head.add();
      this.#onPhase('head');
      this.#backward(targets);
      this.#onPhase('backward');
    }
    return tokens;
  }

  async #updateAsYouGo(
    batches: readonly TrainingRows[],
    settings: UpdateSettings,
    optimizer: DeviceOptimizer,
  ): Promise<StepResult> {
    const [batch, ...others] = batches;
    if (!batch || others.length > 0) {
      throw new RopewalkError(
        `a step has ${batches.length} micro-batches, but weights are updated as soon as their gradients exist, which allows ` +
          "one; keep gradients (gradients: 'kept') to accumulate several.",
      );
    }
    const tokens = countOf(batch);
    const targets = await this.#targets(false);
    const factor = this.lossScale?.factor ?? 1;
    await this.#forward(batch, factor / Math.max(1, tokens));
    this.#stages.head.backward(targets.head);
    const loss = (await this.#report.readLoss()) / factor;
    const overflow = { loss, tokens, gradientNorm: Number.NaN, updated: false, overflowed: factor };
    if (this.lossScale && !Number.isFinite(loss)) {
      this.lossScale.update(false);
      return overflow;
    }
    if (!(settings.accept?.({ loss }) ?? true)) {
      return { loss, tokens, gradientNorm: Number.NaN, updated: false };
    }
    if (!Number.isFinite(loss)) throw await this.#notFinite(loss);
    const { clip, learningRate } = settings;
    this.#onPhase('head');
    this.#norms.begin();
    let overflowed = false;
    const update = (group: number) => {
      const names = this.#groups[group]!;
      if (names.length === 0) return;
      const { norm, scale } = optimizer.measure(names, clip, factor);
      this.#norms.add(group, norm);
      // Like an optimizer of its own, each group is updated or not by its own gradients.
      const skips = this.lossScale !== undefined && !Number.isFinite(this.#norms.readOne(norm));
      overflowed ||= skips;
      if (!skips) optimizer.update(names, { learningRate, scale });
    };
    const { blocks } = this.#stages;
    update(blocks.length + 1);
    this.#backward(targets, update);
    this.#onPhase('backward and update');
    this.lossScale?.update(!overflowed);
    if (overflowed) return overflow;
    const gradientNorm = Math.sqrt(await this.#norms.read());
    if (!Number.isFinite(gradientNorm)) throw await this.#notFinite(loss);
    return { loss, tokens, gradientNorm, updated: true };
  }

  async #forward(batch: TrainingRows, factor: number, some = false): Promise<void> {
    this.#feeds.write({ ...contextFeeds(batch, this.shape), ...lossFeeds(batch, factor) }, some);
    this.#stages.embedding.forward();
    for (const block of this.#stages.blocks) block.forward();
    this.#onPhase('forward');
  }

  /** @param done called when the gradients of a group are complete. */
  #backward(targets: Targets, done: (group: number) => void = () => {}): void {
    const { blocks, embedding } = this.#stages;
    for (let i = blocks.length - 1; i >= 0 && blocks[i]!.isActive; i--) {
      blocks[i]!.backward(targets.blocks[i]!);
      targets.blocks[i]!.add();
      done(i + 1);
    }
    embedding.backward(targets.embedding);
    targets.embedding.add();
    done(0);
  }

  /** Binds the backward passes. @param further whether gradients are added to those of the micro-batch before. */
  #targets(further: boolean): Promise<Targets> {
    if (further) this.#further ??= this.#bindBackward(true);
    else this.#first ??= this.#bindBackward(false);
    return (further ? this.#further : this.#first)!;
  }

  async #bindBackward(further: boolean): Promise<Targets> {
    const { embedding, blocks, head } = this.#stages;
    const seen = new Set<string>();
    const targetsOf = async (names: readonly string[]) => {
      const targets = await this.#gradients.targets(names, (name) => further || seen.has(name));
      for (const name of names) seen.add(name);
      return targets;
    };
    const ofHead = await targetsOf([...head.trained, LOSS]);
    await head.bindBackward(ofHead);
    const ofBlocks: GradientTargets[] = [];
    for (const block of [...blocks].reverse()) {
      const targets = await targetsOf(block.isActive ? block.trained : []);
      await block.bindBackward(targets, this.#keeps);
      ofBlocks.unshift(targets);
    }
    const ofEmbedding = await targetsOf(embedding.trained);
    await embedding.bindBackward(ofEmbedding);
    return { head: ofHead, blocks: ofBlocks, embedding: ofEmbedding };
  }

  /** A copy of a weight's gradient, from the last step. */
  gradient(name: string): Float32Array {
    const { gradient } = this.onDevice.parameters.find((each) => each.name === name)!;
    return readParts(this.onDevice.memory, gradient);
  }

  /** Names the first weight, or else the first gradient, that is not finite. */
  async #notFinite(loss: number) {
    const isBad = (data: Float32Array) => data.some((value) => !Number.isFinite(value));
    for (const name of this.#weights.keys()) {
      const value = await this.#weights.downloadOne(name);
      if (isBad(value)) return notFinite(loss, [{ name, value }]);
    }
    const value = new Float32Array();
    for (const parameter of this.onDevice.parameters) {
      const gradient = await downloadParts(this.onDevice.memory, parameter.gradient);
      if (isBad(gradient)) return notFinite(loss, [{ name: parameter.name, value, gradient }]);
    }
    return notFinite(loss, []);
  }
}
