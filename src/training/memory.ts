import type { CausalLM } from '../families/family.ts';
import { sizeOf } from '../graph/dims.ts';
import { input } from '../graph/operators/index.ts';
import { backwardGraph, keepingGraphs, modelPieces, type Piece } from './blocks/block-graph.ts';
import { vocabularyChunk } from './blocks/block-head-chunks.ts';
import { type MemoryMode, usesWholeGraph } from './create-learner.ts';
import { lossInputs, type SequenceShape, trainingGraph } from './graph.ts';
import { crossEntropy, type Loss } from './loss.ts';
import { type DeviceEstimate, estimateOnDevice } from './on-device/device-estimate.ts';
import type { Shard } from './parallel/shard.ts';
import { peakBytes } from './peak-bytes.ts';
import { compactEmbedding } from './sharded/sharded-embedding.ts';
import { shardedChunk, stageWeights, tablesOf } from './sharded/stages.ts';

export interface MemoryOptions {
  readonly memory: MemoryMode;
  readonly trains: (path: string) => boolean;
  /** Micro-batches per step. */
  readonly accumulate: number;
  /** Bytes of the optimizer's state for a trained weight of this shape. */
  readonly stateBytes: (shape: readonly number[]) => number;
  readonly loss?: Loss;
  /** Processes that train together, and what they divide among themselves. Default one. */
  readonly ranks?: number;
  readonly shard?: Shard;
  /** A second model that only runs forward: its weights are held, and its head a second time for the loss. */
  readonly teacher?: CausalLM;
  /** Whether weights, gradients and states are in the memory of a device. */
  readonly onDevice?: boolean;
}

/** The memory of training, in bytes. */
export interface MemoryEstimate {
  readonly weights: number;
  readonly gradients: number;
  readonly optimizer: number;
  /** Peak of activations and other tensors of the graphs. */
  readonly activations: number;
  /** Weights of an online teacher. */
  readonly teacher?: number;
  /** The program and the engine. */
  readonly program: number;
  readonly total: number;
  /** The memory of the device, if there is one; the rest is then what the host has. */
  readonly device?: DeviceEstimate;
}

/** Node, the engine's library and its compiled graphs, measured on small models. */
const PROGRAM = 300 * 2 ** 20;

/** Open MPI, and the data of two calls in flight: measured on small models. */
const COMMUNICATION = 30 * 2 ** 20;

/**
 * Estimates the memory of training from the lifetimes of the tensors in the graphs that would run. Nothing is
 * compiled or allocated.
 */
export function estimateMemory(
  model: CausalLM,
  shape: SequenceShape,
  options: MemoryOptions,
): MemoryEstimate {
  const { memory, trains, accumulate, stateBytes, ranks = 1, shard = 'none' } = options;
  if (options.onDevice) {
    // The weights are in the host's memory once, while they are read or made.
    const weights = 4 * model.parameterCount();
    const program = programBytes(1);
    const device = estimateOnDevice(model, shape, options);
    const none = { gradients: 0, optimizer: 0, activations: 0 };
    return { weights, ...none, program, total: weights + program, device };
  }
  if (shard === 'all' && ranks > 1) return estimateSharded(model, shape, options, ranks);
  const sizes = [...model.parameters()].map(([path, { size, shape: dims }]) => ({ path, size, dims }));
  const trained = sizes.filter(({ path }) => trains(path));
  const count = (list: readonly { readonly size: number }[]) => list.reduce((sum, { size }) => sum + size, 0);
  const whole = usesWholeGraph(model, memory);
  // In the whole graph, the gradients of further micro-batches have separate arrays until they are added.
  const copies = whole && accumulate > 1 ? 2 : 1;
  const gradients =
    memory === 'light' ? largestStage(model, shape, trains, ranks > 1 ? 2 : 1) : 4 * copies * count(trained);
  const activations = whole
    ? peakBytes([
        ...trainingGraph(model, shape, { trains, ...(options.loss && { loss: options.loss }) }).values(),
      ])
    : blockActivations(model, shape, options);
  const weights = 4 * count(sizes);
  const states = trained.reduce((sum, { dims }) => sum + stateBytes(dims), 0);
  const optimizer = shard === 'none' ? states : states / ranks;
  const program = programBytes(ranks);
  const teacher =
    options.teacher && 4 * (options.teacher.parameterCount() + options.teacher.head.weight.size);
  const total = weights + gradients + optimizer + activations + program + (teacher ?? 0);
  return { weights, gradients, optimizer, activations, ...(teacher && { teacher }), program, total };
}

function programBytes(ranks: number): number {
  return PROGRAM + (ranks > 1 ? COMMUNICATION : 0);
}

/** Where every rank has slices of everything: those, and what a rank holds of a stage while it runs. */
function estimateSharded(
  model: CausalLM,
  shape: SequenceShape,
  options: MemoryOptions,
  ranks: number,
): MemoryEstimate {
  const { trains, stateBytes } = options;
  const all = [...model.parameters()].map(([path, { size, shape: dims }]) => ({ path, size, dims }));
  const count = (list: readonly { readonly size: number }[]) => list.reduce((sum, { size }) => sum + size, 0);
  const trained = all.filter(({ path }) => trains(path));
  const [first, ...rest] = modelPieces(model, shape) as [Piece, ...Piece[]];
  const tokens = shape.batch * shape.seq;
  const table = compactEmbedding(first, tokens)?.table.path ?? '';
  const stages = stageWeights([first, ...rest], table);
  const most = Math.max(...stages.map(count));
  const mostTrained = Math.max(...stages.map((stage) => count(stage.filter(({ path }) => trains(path)))));
  const [vocabSize, width] = model.head.weight.shape as [number, number];
  const chunk = shardedChunk(tokens, width, vocabSize);
  const tables = count(trained.filter(({ path }) => tablesOf(model, table).has(path)));
  // Two stages and two chunks of the head: one in use, one on its way.
  const weights = 4 * (count(all) / ranks + 2 * most + 2 * chunk * width);
  const chunkGradients = trains(model.head.weight.path) ? 2 * chunk * width : 0;
  const gradients = 4 * (2 * mostTrained + mostTrained / ranks + tables / ranks + chunkGradients);
  const optimizer = trained.reduce((sum, { dims }) => sum + stateBytes(dims), 0) / ranks;
  // The rows that the tokens read, their gradients, and both on their way.
  const activations = blockActivations(model, shape, options, chunk) + 4 * 4 * tokens * width;
  const program = programBytes(ranks);
  const total = weights + gradients + optimizer + activations + program;
  return { weights, gradients, optimizer, activations, program, total };
}

/** The gradients of one stage at a time, or of two (one of which is added up over the ranks), plus those that several stages share for longer. */
function largestStage(
  model: CausalLM,
  shape: SequenceShape,
  trains: (path: string) => boolean,
  stagesAtATime: number,
): number {
  const { weight, bias } = model.head;
  const head = [weight, ...(bias ? [bias] : [])].map(({ path, size }) => ({ path, size }));
  const stages = [
    ...modelPieces(model, shape).map(({ parameters }) =>
      parameters.map(({ path, shape: dims }) => ({ path, size: sizeOf(dims) })),
    ),
    head,
  ].map((stage) => stage.filter(({ path }) => trains(path)));
  const places = new Map<string, number>();
  for (const { path } of stages.flat()) places.set(path, (places.get(path) ?? 0) + 1);
  const several = new Map(
    stages
      .flat()
      .filter(({ path }) => places.get(path)! > 1)
      .map(({ path, size }) => [path, size]),
  );
  const own = stages.map((stage) =>
    stage.filter(({ path }) => !several.has(path)).reduce((sum, { size }) => sum + size, 0),
  );
  return (
    4 * (stagesAtATime * Math.max(0, ...own) + [...several.values()].reduce((sum, size) => sum + size, 0))
  );
}

function blockActivations(
  model: CausalLM,
  shape: SequenceShape,
  { memory, trains, loss = crossEntropy }: MemoryOptions,
  headChunk?: number,
): number {
  const pieces = modelPieces(model, shape);
  const [rows, width] = pieces[0]!.y.shape as [number, number];
  let kept = 0;
  let peak = 0;
  for (const piece of pieces.slice(1)) {
    const names = piece.parameters.filter(({ path }) => trains(path)).map(({ name }) => name);
    const bytes = stageBytes(piece, names, memory === 'fast');
    kept += bytes.kept;
    peak = Math.max(peak, bytes.peak);
  }
  // The input of each block, the output of the final norm, and the gradients between blocks.
  const between = 4 * rows * width * (pieces.length + 2);
  return between + kept + Math.max(peak, headBytes(model, rows, width, memory, loss, headChunk));
}

function stageBytes(piece: Piece, names: readonly string[], keeps: boolean): { kept: number; peak: number } {
  if (!keeps) return { kept: 0, peak: peakBytes([...backwardGraph(piece, names, true).values()]) };
  const { forward, backward, kept } = keepingGraphs(piece, names, true, 'onnxruntime');
  const bytes = kept.reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
  return { kept: bytes, peak: Math.max(peakBytes([...forward.values()]), peakBytes([...backward.values()])) };
}

/** Logits of a chunk and their gradients; or those of the whole vocabulary, if few enough to keep. */
function headBytes(
  model: CausalLM,
  rows: number,
  width: number,
  memory: MemoryMode,
  loss: Loss,
  given?: number,
): number {
  const vocabSize = model.head.weight.shape[0]!;
  const chunk = given ?? vocabularyChunk(rows, vocabSize);
  if (given === undefined && (loss !== crossEntropy || chunk >= vocabSize)) {
    const hidden = input('hidden', 'float32', [rows, width]);
    return 2 * peakBytes([loss(lossInputs(model, hidden, rows)).loss]);
  }
  const all = 4 * rows * vocabSize;
  return 3 * 4 * rows * chunk + (memory === 'fast' && all <= 256 * 2 ** 20 ? all : 0);
}
