import { option as named, said } from '../errors.ts';
import type { CausalLM } from '../families/family.ts';
import { OptionError } from '../options.ts';
import type { Engine, SessionSettings } from '../runtime/engine.ts';
import { writesHalf } from '../runtime/half.ts';
import type { HostMemory } from '../runtime/host-memory.ts';
import { BlockLearner } from './blocks/block-learner.ts';
import type { SequenceShape } from './graph.ts';
import type { Learner } from './learner.ts';
import { crossEntropy, type Loss } from './loss.ts';
import { DeviceLearner } from './on-device/device-learner.ts';
import { shareOf } from './parallel/deal.ts';
import type { Parallel } from './parallel/parallel.ts';
import { RankLearner } from './parallel/rank-learner.ts';
import { ShardedLearner } from './sharded/sharded-learner.ts';
import { WholeGraphLearner } from './whole-graph-learner.ts';

/**
 * What a step may cost. `fast`: nothing large is computed twice. `recompute`: block by block, with each block's
 * forward pass repeated and the gradients of all weights kept: exact clipping and accumulation. `light`: like
 * `recompute`, but each block is updated as soon as its gradient exists and clipped by its own norm, with one
 * micro-batch per step.
 */
export const MEMORY_MODES = ['fast', 'recompute', 'light'] as const;
export type MemoryMode = (typeof MEMORY_MODES)[number];

export interface LearnerOptions {
  /** Default `fast`. */
  readonly memory?: MemoryMode;
  /** Default `crossEntropy`. */
  readonly loss?: Loss;
  /** What `evaluate` measures where weights are on a device; elsewhere it is {@link loss}. Default {@link loss}. */
  readonly evaluationLoss?: Loss;
  /** Whether a parameter is trained, by its path; the others are frozen. Default all. */
  readonly trains?: (path: string) => boolean;
  readonly settings?: SessionSettings;
  /** Vocabulary entries whose logits exist at the same time, where the head runs in chunks. By default the learner decides. */
  readonly headChunk?: number;
  /** Memory for weights and gradients. By default the learner allocates it. */
  readonly hostMemory?: HostMemory;
  /** Processes that train together. */
  readonly parallel?: Parallel | undefined;
}

/**
 * `fast` trains models of up to this many weights as one graph. In a small model, running many blocks would cost more
 * than they compute; in a large one, blocks that keep their activations need a third less memory besides the weights,
 * at about the same speed.
 */
const WHOLE_GRAPH = 32e6;

/** Whether a model is trained as one graph rather than block by block. */
export function usesWholeGraph(model: CausalLM, memory: MemoryMode): boolean {
  return memory === 'fast' && model.parameterCount() <= WHOLE_GRAPH;
}

/**
 * Compiles a learner for a model. Its weights are zeros: fill them through `values()`.
 *
 * @param shape number and length of the sequences in a micro-batch.
 */
export async function createLearner(
  engine: Engine,
  model: CausalLM,
  shape: SequenceShape,
  { parallel, ...options }: LearnerOptions = {},
): Promise<Learner> {
  if (engine.openMemory) {
    if (parallel) {
      throw new OptionError(
        'device',
        said`several processes train on processors only; start one, or leave out ${named('device')}.`,
      );
    }
    return createOnDevice(engine, model, shape, options);
  }
  if (writesHalf(engine)) {
    throw new OptionError(
      'precision',
      said`training in float16 keeps everything on the card, which needs koffi, an optional dependency; install it ("npm install koffi"), or train in float32.`,
    );
  }
  if (!parallel) return createLocal(engine, model, shape, options);
  const { ranks, accumulate } = parallel;
  const share = shareOf(shape.batch, accumulate, ranks.communicator.size);
  const local = { ...shape, batch: share.batch };
  const inner =
    parallel.shard === 'all'
      ? await createSharded(engine, model, local, parallel, options)
      : await createLocal(engine, model, local, options, true);
  return new RankLearner(inner, shape, accumulate, share, parallel);
}

function createOnDevice(
  engine: Engine,
  model: CausalLM,
  shape: SequenceShape,
  { memory = 'fast', hostMemory: _, headChunk: __, ...options }: LearnerOptions,
): Promise<Learner> {
  return DeviceLearner.create(engine, model, shape, {
    ...options,
    precision: engine.defaults.precision,
    gradients: memory === 'light' ? 'as you go' : 'kept',
    activations: memory === 'fast' ? 'kept' : 'recomputed',
  });
}

function createSharded(
  engine: Engine,
  model: CausalLM,
  shape: SequenceShape,
  parallel: Parallel,
  { loss = crossEntropy, trains, settings, hostMemory, headChunk }: LearnerOptions,
): Promise<Learner> {
  if (loss !== crossEntropy) {
    throw new OptionError(
      'shard',
      said`a loss other than cross-entropy needs the whole head on every rank; choose ${named('shard', 'states')}.`,
    );
  }
  return ShardedLearner.create(engine, model, shape, parallel, {
    ...(trains && { trains }),
    ...(settings && { settings }),
    ...(hostMemory && { memory: hostMemory }),
    ...(headChunk !== undefined && { headChunk }),
  });
}

function createLocal(
  engine: Engine,
  model: CausalLM,
  shape: SequenceShape,
  { memory = 'fast', hostMemory, ...rest }: LearnerOptions,
  overlaps = false,
): Promise<Learner> {
  const options = { ...rest, ...(hostMemory && { memory: hostMemory }) };
  if (memory === 'fast') {
    return usesWholeGraph(model, memory)
      ? WholeGraphLearner.create(engine, model, shape, options)
      : BlockLearner.create(engine, model, shape, { ...options, gradients: 'kept', activations: 'kept' });
  }
  const gradients = memory === 'recompute' ? 'kept' : 'as you go';
  return BlockLearner.create(engine, model, shape, { ...options, gradients, overlaps });
}
