import type { TrainingRows } from '../../batches.ts';
import { RopewalkError } from '../../errors.ts';
import type { CausalLM } from '../../families/family.ts';
import type { DeviceMemory, DeviceTensor } from '../../runtime/device.ts';
import type { Engine, SessionSettings } from '../../runtime/engine.ts';
import { modelPieces } from '../blocks/block-graph.ts';
import { headGraph } from '../blocks/block-head.ts';
import { StageKinds } from '../blocks/block-stage.ts';
import { contextFeeds, countOf, lossFeeds } from '../feeds.ts';
import { notFinite } from '../finite.ts';
import type { SequenceShape } from '../graph.ts';
import type { Learner, StepResult, UpdateSettings } from '../learner.ts';
import { crossEntropy, type Loss } from '../loss.ts';
import { DeviceEmbedding, DeviceHead, LOSS } from './device-ends.ts';
import { DeviceGradients, type GradientTargets } from './device-gradients.ts';
import { type DeviceOptimizer, type DeviceParameter, isOnDevice } from './device-optimizer.ts';
import { DeviceStage } from './device-stage.ts';
import { Feeds } from './device-values.ts';
import { DeviceWeights } from './device-weights.ts';
import { NormSum, Report } from './report.ts';

export interface DeviceLearnerOptions {
  /** Default {@link crossEntropy}. */
  readonly loss?: Loss;
  /** Whether a parameter is trained, by its path; the others are frozen. Default all. */
  readonly trains?: (path: string) => boolean;
  readonly settings?: SessionSettings;
  /** As in `BlockLearnerOptions`. */
  readonly gradients: 'kept' | 'as you go';
  readonly activations?: 'kept' | 'recomputed';
  /** Called when the runs of a phase of a step are started: forward, head, backward, update. */
  readonly onPhase?: (phase: string) => void;
}

interface Stages {
  readonly embedding: DeviceEmbedding;
  /** Layers and the final norm. */
  readonly blocks: readonly DeviceStage[];
  readonly head: DeviceHead;
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
  readonly onDevice: { readonly memory: DeviceMemory; readonly parameters: readonly DeviceParameter[] };
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
    const parameters = parts.trained.map((name) => {
      const tensor = parts.weights.tensors.get(name)!;
      return { name, shape: tensor.shape, value: [tensor], gradient: [parts.gradients.of(name)] };
    });
    this.onDevice = { memory, parameters };
  }

  /** @param shape number and length of the sequences in a micro-batch. */
  static async create(
    engine: Engine,
    model: CausalLM,
    shape: SequenceShape,
    options: DeviceLearnerOptions,
  ): Promise<DeviceLearner> {
    if (!engine.openMemory) throw new RopewalkError('this engine keeps no values on a device.');
    const memory = await engine.openMemory();
    const { trains = () => true, settings, loss = crossEntropy } = options;
    const keeps = options.activations === 'kept';
    const weights = new DeviceWeights(memory, model);
    const feeds = new Feeds(memory);
    const [first, ...rest] = modelPieces(model, shape);
    const [rows, width] = first!.y.shape as [number, number];
    const activation = () => memory.allocate('float32', [rows, width]);
    const activations = Array.from({ length: rest.length + 1 }, activation);
    const passed = [activation(), activation()] as const;
    /** The gradient of a stage's output; the next one is that of its input. */
    const gradientAt = (stage: number): DeviceTensor => passed[(rest.length - 1 - stage) & 1]!;

    const ends = { y: activations[0]!, dy: gradientAt(-1) };
    const embedding = new DeviceEmbedding(engine, settings, first!, ends, weights.tensors, trains, feeds);
    await embedding.prepare();
    const kinds = new StageKinds(engine, settings);
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
    const graph = headGraph({ model, rows, width, trains }, loss);
    const head = new DeviceHead(engine, settings, graph, around, weights.tensors, feeds);

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
    const stages = { embedding, blocks, head, kinds };
    const parts = { weights, stages, gradients, feeds, report, norms, trained, groups };
    const learner = new DeviceLearner(model, shape, memory, parts, options);
    await learner.#targets(false);
    return learner;
  }

  /** The names of the weights that an update covers, for each update of a step: see `DeviceOptimizer.prepare`. */
  get updatedTogether(): readonly (readonly string[])[] {
    return this.#asYouGo
      ? this.#groups.filter((names) => names.length > 0)
      : [this.onDevice.parameters.map(({ name }) => name)];
  }

  /** Waits for everything that was started. */
  wait(): void {
    this.#report.readLoss();
  }

  /** Copies of the current weights. */
  values(): Map<string, Float32Array> {
    return this.#weights.values();
  }

  /** Replaces all weights: they are zeros before they are filled, and copied to the device afterwards. */
  async fill(write: (values: Map<string, Float32Array>) => void | Promise<void>): Promise<void> {
    const { tensors } = this.#weights;
    const values = new Map(
      [...tensors].map(([path, { byteLength }]) => [path, new Float32Array(byteLength / 4)]),
    );
    await write(values);
    this.#weights.write(values);
  }

  async step(batches: readonly TrainingRows[], settings: UpdateSettings): Promise<StepResult> {
    const { optimizer, together } = settings;
    if (!isOnDevice(optimizer)) throw new Error('the optimizer is not on the device');
    if (together) throw new RopewalkError('ranks train on processors only; leave out the device.');
    if (this.#asYouGo) return this.#updateAsYouGo(batches, settings, optimizer);
    const tokens = await this.#computeGradients(batches);
    const names = this.onDevice.parameters.map(({ name }) => name);
    const { norm, scale } = optimizer.measure(names, settings.clip);
    const { loss, gradientNorm } = this.#report.read(norm);
    const updated = settings.accept?.({ loss, gradientNorm }) ?? true;
    if (updated) {
      if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) throw this.#notFinite(loss);
      optimizer.update(names, { learningRate: settings.learningRate, scale });
      this.#onPhase('update');
    }
    return { loss, tokens, gradientNorm, updated };
  }

  async evaluate(batches: Iterable<TrainingRows> | AsyncIterable<TrainingRows>) {
    let sum = 0;
    let tokens = 0;
    for await (const batch of batches) {
      await this.#forward(batch, 1);
      await this.#stages.head.loss(this.#gradients.of(LOSS));
      sum += this.#report.readLoss();
      tokens += countOf(batch);
    }
    return { loss: sum / tokens, tokens };
  }

  async release(): Promise<void> {
    const { embedding, blocks, head, kinds } = this.#stages;
    for (const block of blocks) block.release();
    await embedding.release();
    await head.release();
    await kinds.release();
    await this.#gradients.release();
    await this.#report.release();
    await this.#norms.release();
    await this.onDevice.memory.release();
  }

  /** @returns the counted tokens of all micro-batches. */
  async #computeGradients(batches: readonly TrainingRows[]): Promise<number> {
    const tokens = batches.reduce((sum, batch) => sum + countOf(batch), 0);
    for (const [i, batch] of batches.entries()) {
      const targets = await this.#targets(i > 0);
      await this.#forward(batch, 1 / Math.max(1, tokens));
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
    await this.#forward(batch, 1 / Math.max(1, tokens));
    this.#stages.head.backward(targets.head);
    const loss = this.#report.readLoss();
    if (!(settings.accept?.({ loss }) ?? true)) {
      return { loss, tokens, gradientNorm: Number.NaN, updated: false };
    }
    if (!Number.isFinite(loss)) throw this.#notFinite(loss);
    const { clip, learningRate } = settings;
    this.#onPhase('head');
    this.#norms.begin();
    const update = (group: number) => {
      const names = this.#groups[group]!;
      if (names.length === 0) return;
      const { norm, scale } = optimizer.measure(names, clip);
      this.#norms.add(group, norm);
      optimizer.update(names, { learningRate, scale });
    };
    const { blocks } = this.#stages;
    update(blocks.length + 1);
    this.#backward(targets, update);
    this.#onPhase('backward and update');
    const gradientNorm = Math.sqrt(this.#norms.read());
    if (!Number.isFinite(gradientNorm)) throw this.#notFinite(loss);
    return { loss, tokens, gradientNorm, updated: true };
  }

  async #forward(batch: TrainingRows, factor: number): Promise<void> {
    this.#feeds.write({ ...contextFeeds(batch, this.shape), ...lossFeeds(batch, factor) });
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

  /** Names the first weight, or else the first gradient, that is not finite. */
  #notFinite(loss: number) {
    const isBad = (data: Float32Array) => data.some((value) => !Number.isFinite(value));
    for (const name of this.#weights.tensors.keys()) {
      const value = this.#weights.value(name);
      if (isBad(value)) return notFinite(loss, [{ name, value }]);
    }
    const value = new Float32Array();
    for (const { name, gradient } of this.onDevice.parameters) {
      for (const tensor of gradient) {
        const data = new Float32Array(tensor.byteLength / 4);
        this.onDevice.memory.read(tensor, data);
        if (isBad(data)) return notFinite(loss, [{ name, value, gradient: data }]);
      }
    }
    return notFinite(loss, []);
  }
}
