import type { CausalLM } from '../families/family.ts';
import type { Engine, SessionSettings } from '../runtime/engine.ts';
import { Executable, type HostTensor } from '../runtime/executable.ts';
import { HostMemory } from '../runtime/host-memory.ts';
import { addInto } from '../runtime/kernels.ts';
import type { Batch, EvaluationBatch } from '../text/batches.ts';
import { gradientName, lossGraph, type SequenceShape, trainingGraph } from './graph.ts';
import { allocateTrainable, type Trainable } from './optimizer.ts';

/** A batch whose rows may be left out of the loss: weight 1 counts, 0 does not. */
export interface WeightedBatch extends Batch {
  readonly weights?: Float32Array;
}

/**
 * A model ready to be trained: its weights, gradients and moments on host memory, and a compiled step. The arrays are
 * the caller's to read and write between calls.
 */
export class TrainingSession {
  /** Gradients of further micro-batches, before they are added up; allocated when first needed. */
  private scratch: Map<string, Float32Array> | undefined;
  private evaluation: Promise<Executable> | undefined;

  private constructor(
    private readonly engine: Engine,
    readonly model: CausalLM,
    readonly shape: SequenceShape,
    readonly trainables: readonly Trainable[],
    private readonly executable: Executable,
    private readonly settings: SessionSettings,
  ) {}

  /** @param shape sequences in one micro-batch and their length. */
  static async create(
    engine: Engine,
    model: CausalLM,
    shape: SequenceShape,
    settings: SessionSettings = {},
    memory = new HostMemory(),
  ): Promise<TrainingSession> {
    const parameters = [...model.parameters()].map(([name, { shape }]) => ({ name, shape }));
    const trainables = allocateTrainable(memory, parameters);
    const executable = await Executable.compile(engine, trainingGraph(model, shape), settings);
    return new TrainingSession(engine, model, shape, trainables, executable, settings);
  }

  /** The weights by path. */
  values(): Map<string, Float32Array> {
    return new Map(this.trainables.map(({ name, value }) => [name, value]));
  }

  /**
   * Fills the gradients with those of the mean loss over every counted token of all micro-batches together: the sum of
   * their losses over the total count, not a mean of means.
   *
   * @returns the mean loss in nats and the number of tokens it is over.
   */
  async computeGradients(batches: readonly WeightedBatch[]): Promise<{ loss: number; tokens: number }> {
    const tokens = batches.reduce((sum, batch) => sum + countOf(batch), 0);
    let loss = 0;
    for (const [i, batch] of batches.entries()) {
      const feeds = this.feeds(batch, 1 / Math.max(1, tokens));
      const into = i === 0 ? this.gradientTargets() : this.scratchTargets();
      const results = await this.executable.run(feeds, into);
      loss += (results.loss!.data as Float32Array)[0]!;
      if (i > 0) {
        for (const { name, gradient } of this.trainables) addInto(gradient, into[gradientName(name)]!);
      }
    }
    return { loss, tokens };
  }

  /** Mean loss over evaluation batches of this session's shape, without touching gradients. */
  async evaluate(batches: Iterable<EvaluationBatch>): Promise<{ loss: number; tokens: number }> {
    this.evaluation ??= this.compileEvaluation();
    const executable = await this.evaluation;
    let sum = 0;
    let tokens = 0;
    for (const batch of batches) {
      const { loss } = await executable.run(this.feeds(batch, 1));
      sum += (loss!.data as Float32Array)[0]!;
      tokens += batch.count;
    }
    return { loss: sum / tokens, tokens };
  }

  /** Returns the engine's memory; the host arrays stay. */
  async release(): Promise<void> {
    await this.executable.release();
    await (await this.evaluation)?.release();
  }

  private compileEvaluation(): Promise<Executable> {
    const { loss } = lossGraph(this.model, this.shape);
    return Executable.compile(this.engine, new Map([['loss', loss]]), this.settings);
  }

  private feeds({ inputs, targets, weights }: WeightedBatch, factor: number): Record<string, HostTensor> {
    const rows = inputs.length;
    const scaled = weights?.map((weight) => weight * factor) ?? new Float32Array(rows).fill(factor);
    const feeds: Record<string, HostTensor> = {
      input_ids: { data: inputs, shape: [rows] },
      targets: { data: targets, shape: [rows] },
      weights: { data: scaled, shape: [rows] },
    };
    for (const { name, value, shape } of this.trainables) feeds[name] = { data: value, shape };
    return feeds;
  }

  private gradientTargets(): Record<string, Float32Array> {
    return Object.fromEntries(this.trainables.map(({ name, gradient }) => [gradientName(name), gradient]));
  }

  private scratchTargets(): Record<string, Float32Array> {
    this.scratch ??= new Map(
      this.trainables.map(({ name, value }) => [name, new Float32Array(value.length)]),
    );
    return Object.fromEntries([...this.scratch].map(([name, data]) => [gradientName(name), data]));
  }
}

function countOf({ inputs, weights }: WeightedBatch): number {
  return weights ? weights.reduce((sum, weight) => sum + weight, 0) : inputs.length;
}
